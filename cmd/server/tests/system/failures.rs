//! What visitors get when something is wrong.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use testkit::{
    origin::{Origin, read_head},
    process::{Agent, Key, Server},
};
use tokio::{io::AsyncWriteExt, net::TcpListener, sync::mpsc, time::timeout};

#[tokio::test]
async fn a_target_that_is_down_is_a_502_at_once_and_works_when_it_is_up() {
    let server = Server::start(&[]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let agent = Agent::publish(
        &server,
        &format!("127.0.0.1:{port}"),
        &Key::fresh(),
        &["-q"],
    )
    .await;
    let answer = timeout(Duration::from_secs(5), agent.visitor().get("/"))
        .await
        .expect("at once");
    assert_eq!(
        (answer.status.as_u16(), answer.error()),
        (502, Some("target-unreachable"))
    );
    assert!(
        !answer.text().contains(&port.to_string()),
        "no address is told to visitors: {}",
        answer.text()
    );
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let answering = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_head(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup")
            .await
            .unwrap();
    };
    let visitor = agent.visitor();
    let (answer, ()) = tokio::join!(visitor.get("/"), answering);
    assert_eq!(answer.text(), "up");
}

#[tokio::test]
async fn a_silent_target_is_a_504_after_the_head_timeout() {
    let server = Server::configured("[exchanges]\nhead_timeout = \"300ms\"").await;
    let origin = Origin::accepting(|tcp| async move {
        let _open = tcp;
        std::future::pending::<()>().await;
    })
    .await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let answer = agent.visitor().get("/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.error()),
        (504, Some("target-timeout"))
    );
}

#[tokio::test]
async fn unknown_hosts_are_404_and_known_ones_without_agent_502_at_once() {
    let server = Server::start(&[]).await;
    let visitor = server.visitor();
    let unknown = visitor.asking_for("nothing.localhost").get("/").await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.error()),
        (404, Some("unknown-host"))
    );
    let label = "a".repeat(52);
    let known = visitor.asking_for(format!("{label}.localhost"));
    let offline = timeout(Duration::from_secs(1), known.get("/"));
    let offline = offline.await.expect("within a second");
    assert_eq!(
        (offline.status.as_u16(), offline.error()),
        (502, Some("tunnel-offline"))
    );
}

#[tokio::test]
async fn browsers_get_a_page_and_programs_problem_json_with_the_same_request_id() {
    let server = Server::start(&[]).await;
    let visitor = server.visitor().asking_for("nothing.localhost");
    let json = visitor.get("/").await;
    assert_eq!(json.headers["content-type"], "application/problem+json");
    let id = json.headers["adit-request-id"].to_str().unwrap().to_owned();
    assert!(
        json.text().contains(&id) && json.text().contains("\"code\":\"unknown-host\""),
        "{}",
        json.text()
    );
    let request = Request::get("/")
        .header("accept", "text/html,*/*;q=0.8")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let page = visitor.request(request).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.text().contains("<!doctype html>") && page.text().contains("unknown-host"));
}

#[tokio::test]
async fn a_request_that_went_in_circles_is_a_508() {
    let server = Server::start(&[]).await;
    let origin = Origin::echo().await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let request = Request::get("/").header(
        "via",
        "1.1 a, 1.1 b, 1.1 c, 1.1 d, 1.1 e, 1.1 f, 1.1 g, 1.1 h, 1.1 i",
    );
    let answer = agent
        .visitor()
        .request(request.body(Full::new(Bytes::new())).unwrap())
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.error()),
        (508, Some("loop"))
    );
}

#[tokio::test]
async fn a_slow_upload_is_a_408_and_frees_the_service() {
    let server = Server::configured("[exchanges]\nbody_timeout = \"300ms\"").await;
    let origin = Origin::echo().await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let mut raw = agent.visitor().raw().await;
    raw.say("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nx")
        .await;
    let (answer, _) = raw.rest().await;
    assert!(
        answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_head_are_closed_on_time() {
    let server = Server::configured("[visitors]\nheader_timeout = \"300ms\"").await;
    for start in [
        "",
        "G",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX-Half",
    ] {
        let mut raw = server.visitor().raw().await;
        raw.say(start).await;
        timeout(Duration::from_secs(5), raw.rest())
            .await
            .unwrap_or_else(|_| panic!("{start:?} is still open"));
    }
    // A keep-alive connection that waits between whole requests is not hurried.
    let mut raw = server.visitor().raw().await;
    raw.say("GET /_adit/health/live HTTP/1.1\r\nHost: {host}\r\n\r\n")
        .await;
    raw.until("200 OK").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    raw.say("GET /_adit/health/live HTTP/1.1\r\nHost: {host}\r\n\r\n")
        .await;
    raw.until("200 OK").await;
}

#[tokio::test]
async fn a_visitor_who_does_not_read_is_cut_off_and_the_service_freed() {
    let server =
        Server::configured("[exchanges]\nwrite_stall = \"300ms\"\nmax_body = \"unlimited\"").await;
    let (freed, mut free) = mpsc::channel::<()>(1);
    let origin = Origin::accepting(move |mut tcp| {
        let freed = freed.clone();
        async move {
            read_head(&mut tcp).await;
            tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            // More than every buffer on the way holds; it ends when the agent lets go.
            while tcp.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
            freed.send(()).await.unwrap();
        }
    })
    .await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let mut raw = agent.visitor().raw().await;
    raw.say("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").await;
    timeout(Duration::from_secs(20), free.recv())
        .await
        .expect("the service is freed");
}
