//! Limits that an operator sets, as visitors and agents' owners meet them.

use testkit::{
    origin::Origin,
    process::{Agent, Key, Server},
    visitor::{Answer, Visitor},
};

use crate::tunnel::Tunnel;

/// What a visitor gets who is over a limit.
fn is_over(answer: &Answer, whose: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.error()),
        (429, Some("rate-limited"))
    );
    let field = |name: &str| answer.headers[name].to_str().unwrap();
    assert!(field("retry-after").parse::<u32>().unwrap() >= 1);
    assert!(field("ratelimit-policy").starts_with(&format!("\"{whose}\";q=")));
    assert!(field("ratelimit").starts_with(&format!("\"{whose}\";r=0;t=")));
}

#[tokio::test]
async fn a_visitor_over_his_rate_waits_and_another_one_does_not() {
    let settings = "trusted_proxies = ['loopback']\n[limits]\nvisitor_requests_per_second = 1\nvisitor_request_burst = 2\n";
    let tunnel = Tunnel::configured(settings, Origin::echo().await).await;
    let from = |address| {
        let visitor = tunnel.visitor();
        async move { visitor.get_with("/", &[("x-forwarded-for", address)]).await }
    };
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(from("192.0.2.1").await);
    }
    assert_eq!(answers[0].status, 200);
    let refused = answers.iter().find(|answer| answer.status == 429);
    is_over(refused.expect("six are more than two"), "visitor");
    assert_eq!(from("192.0.2.2").await.status, 200);
}

#[tokio::test]
async fn a_tunnel_over_its_rate_waits_for_all_and_the_next_one_does_not() {
    let settings = "[limits]\ntunnel_requests_per_second = 1\ntunnel_request_burst = 2\n";
    let server = Server::configured(settings).await;
    let origin = Origin::echo().await;
    let mut busy = Agent::publish(&server, &origin.port(), &Key::fresh(), &[]).await;
    let calm = Agent::publish(&server, &origin.port(), &Key::fresh(), &[]).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(busy.visitor().get("/").await);
    }
    assert_eq!(answers[0].status, 200);
    let refused = answers.iter().find(|answer| answer.status == 429);
    is_over(refused.expect("six are more than two"), "tunnel");
    let reached = "a limit was reached: visitors ask for more";
    busy.program.says(reached).await;
    assert_eq!(calm.visitor().get("/").await.status, 200);
}

#[tokio::test]
async fn an_address_that_asks_for_names_that_nobody_holds_is_slowed_down() {
    let settings = "[limits]\nvisitor_misses_per_second = 1\nvisitor_miss_burst = 2\n";
    let tunnel = Tunnel::configured(settings, Origin::echo().await).await;
    let mut answers = Vec::new();
    for name in 0..6 {
        let host = format!("name{name}.localhost");
        answers.push(tunnel.visitor().asking_for(host).get("/").await);
    }
    assert_eq!(answers[0].error(), Some("unknown-host"));
    let refused = answers.iter().find(|answer| answer.status == 429);
    is_over(refused.expect("six are more than two"), "misses");
    assert_eq!(
        tunnel.visitor().get("/").await.status,
        200,
        "a tunnel that is here is served"
    );
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_then_one_more_when_one_ends() {
    // The agent's own does not count any more when its link is up.
    let settings = "[visitors]\nmax_connections_per_address = 1\n";
    let tunnel = Tunnel::configured(settings, Origin::echo().await).await;
    let mut held = tunnel.visitor().raw().await;
    held.say("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").await;
    held.until("HTTP/1.1 200").await;
    let (answer, _) = tunnel.visitor().raw().await.rest().await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    drop(held);
    until_served(&tunnel.visitor()).await;
}

/// Until the server has noticed that a connection ended.
async fn until_served(visitor: &Visitor) {
    let served = async {
        loop {
            let mut raw = visitor.raw().await;
            let asked = b"GET / HTTP/1.1\r\nHost: ";
            let rest = format!("{}\r\nConnection: close\r\n\r\n", visitor.host());
            if raw.try_send(asked).await && raw.try_send(rest.as_bytes()).await {
                let (answer, _) = raw.rest().await;
                if answer.starts_with(b"HTTP/1.1 200") {
                    return;
                }
            }
        }
    };
    let served = tokio::time::timeout(testkit::visitor::PATIENCE, served).await;
    served.expect("a place is free again");
}

#[tokio::test]
async fn an_agent_says_which_limits_it_is_held_to_and_when_one_is_reached() {
    let settings =
        "[exchanges]\nmax_body = 'unlimited'\n[links]\nkib_per_second = 64\nkib_burst = 64\n";
    let server = Server::configured(settings).await;
    let origin = Origin::echo().await;
    let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-v"]).await;
    agent.program.says("64 KiB a second on a link").await;
    let answer = agent.visitor().post("/", vec![b'x'; 100_000]).await;
    assert_eq!(answer.status, 200, "it waits and is not lost");
    let reached = "a limit was reached: this link carries more";
    agent.program.says(reached).await;
}
