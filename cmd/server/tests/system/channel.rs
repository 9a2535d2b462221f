//! Agents that come over TCP: what a visitor notices of it (nothing), and what becomes of it on networks and servers that
//! do not play along.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Response;
use testkit::{
    origin::{Origin, full, read_head},
    process::{Agent, Folder, Key, Server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

const CHANNEL: [&str; 2] = ["--channel-listen", "127.0.0.1:0"];

const TCP: &[&str] = &["--transport", "tcp"];

const AUTO: &[&str] = &["--transport", "auto"];

/// How long it may take until an agent is back.
const PATIENCE: Duration = Duration::from_secs(20);

async fn origin() -> Origin {
    Origin::serving(|_| async { Response::new(full("here")) }).await
}

/// A server with a channel.
async fn server() -> Server {
    Server::start(&CHANNEL).await
}

/// Where the channel of a server listens.
async fn channel_of(server: &mut Server) -> String {
    let address = |line: &str| {
        Some(
            line.split_once("over TCP, on ")?
                .1
                .split(' ')
                .next()?
                .to_owned(),
        )
    };
    server.program.line("where its channel is", address).await
}

async fn works(agent: &Agent) {
    let answer = agent.visitor().get("/").await;
    assert_eq!(answer.text(), "here", "{}", answer.status);
}

#[tokio::test]
async fn a_service_is_published_over_tcp_and_agent_and_server_say_so() {
    let (mut server, origin) = (server().await, origin().await);
    let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), TCP).await;
    works(&agent).await;
    agent.program.says("over TCP; visitors of").await;
    server.program.says("transport=tcp").await;
}

#[tokio::test]
async fn bodies_of_any_size_and_websockets_pass_through_the_channel() {
    let options = [&CHANNEL[..], &["--max-body", "unlimited"]].concat();
    let server = Server::start(&options).await;
    let echo = Origin::echo().await;
    let agent = Agent::publish(&server, &echo.port(), &Key::fresh(), TCP).await;
    let body = Bytes::from(
        (0..3_000_000_u32)
            .flat_map(u32::to_be_bytes)
            .collect::<Vec<_>>(),
    );
    let answer = agent.visitor().post("/", body.clone()).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.ends_with(&body),
        "{} bytes came back",
        answer.body.len()
    );

    let sockets = Origin::echoing_sockets().await;
    let agent = Agent::publish(&server, &sockets.port(), &Key::fresh(), TCP).await;
    let mut socket = agent.visitor().open_socket("/").await;
    for len in [0, 1, 70_000, 300_000] {
        let message = Message::binary(vec![7; len]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
}

#[tokio::test]
async fn a_granted_name_is_published_over_tcp_by_the_key_that_has_it() {
    let (folder, key) = (Folder::empty(), Key::made().await);
    let keys = folder.write("keys", &format!("name=blog {}\n", key.entry().await));
    let options = [&CHANNEL[..], &["--keys-file", &keys]].concat();
    let server = Server::start(&options).await;
    let origin = origin().await;
    let named = [TCP, &["--subdomain", "blog"]].concat();
    let agent = Agent::publish(&server, &origin.port(), &key, &named).await;
    assert!(agent.url.starts_with("http://blog.localhost:"));
    works(&agent).await;
    let (code, said) = Agent::turned_away(&server, &origin.port(), &Key::fresh(), &named).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("name-not-granted"), "{said}");
}

#[tokio::test]
async fn a_join_token_is_asked_for_before_a_ticket_is_given() {
    let folder = Folder::empty();
    let file = folder.write("tokens", "a-token-that-nobody-would-ever-guess-000\n");
    let options = [&CHANNEL[..], &["--token-file", &file]].concat();
    let server = Server::start(&options).await;
    let origin = origin().await;
    let (code, said) = Agent::turned_away(&server, &origin.port(), &Key::fresh(), TCP).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("token"), "{said}");
    let knowing = [TCP, &["--token-file", &file]].concat();
    works(&Agent::publish(&server, &origin.port(), &Key::fresh(), &knowing).await).await;
}

#[tokio::test]
async fn an_agent_asks_for_another_ticket_when_its_server_was_restarted() {
    let (server, origin) = (server().await, origin().await);
    let addr = server.addr.to_string();
    let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), TCP).await;
    server.program.kill().await;
    agent.program.says("connection lost").await;
    // On the port for visitors; that of the channel is another, and so is its key.
    let _server = Server::at(&addr, &CHANNEL).await;
    agent.program.says("again over TCP").await;
    works(&agent).await;
}

#[tokio::test]
async fn a_server_that_goes_down_is_left_in_order() {
    let (mut server, origin) = (server().await, origin().await);
    let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), TCP).await;
    works(&agent).await;
    server.program.signal("TERM").await;
    agent.program.says("the server is going down").await;
    let status = timeout(PATIENCE, server.program.ended()).await.unwrap();
    assert!(status.success(), "{:?}", server.program.output());
    server.program.says("everything in flight has ended").await;
}

#[tokio::test]
async fn the_newer_of_two_agents_takes_the_name_over_whatever_each_came_by() {
    let (server, origin) = (server().await, origin().await);
    let key = Key::fresh();
    let mut first = Agent::publish(&server, &origin.port(), &key, &[]).await;
    let mut second = Agent::publish(&server, &origin.port(), &key, TCP).await;
    assert_eq!(first.ended().await.0, Some(4));
    works(&second).await;
    let third = Agent::publish(&server, &origin.port(), &key, &[]).await;
    assert_eq!(second.ended().await.0, Some(4));
    works(&third).await;
}

#[tokio::test]
async fn auto_goes_over_tcp_where_it_is_offered_and_by_websocket_where_not() {
    let origin = origin().await;
    for (options, said) in [
        (&CHANNEL[..], "over TCP; visitors"),
        (&[], "by WebSocket; visitors"),
    ] {
        let server = Server::start(options).await;
        let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), AUTO).await;
        agent.program.says(said).await;
        works(&agent).await;
    }
}

#[tokio::test]
async fn auto_goes_by_websocket_where_the_channel_is_swallowed_or_another_answers_there() {
    let origin = origin().await;
    // Takes connections and says nothing; and a server that is none.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let swallowed = silent.local_addr().unwrap().to_string();
    let stranger = Origin::saying("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let mut other = server().await;
    let foreign = channel_of(&mut other).await;
    for advertised in [swallowed, format!("127.0.0.1:{}", stranger.port()), foreign] {
        let options = [&CHANNEL[..], &["--channel-advertise", &advertised]].concat();
        let server = Server::start(&options).await;
        let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), AUTO).await;
        agent.program.says("by WebSocket; visitors").await;
        works(&agent).await;
    }
}

/// A proxy that passes everything on but upgrades.
async fn without_upgrades(server: &Server) -> Origin {
    let to = server.addr;
    Origin::accepting(move |mut near: TcpStream| async move {
        let head = read_head(&mut near).await;
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        if text.contains("upgrade:") {
            let no = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
            near.write_all(no).await.ok();
            return;
        }
        let mut far = TcpStream::connect(to).await.unwrap();
        far.write_all(&head).await.unwrap();
        copy_bidirectional(&mut near, &mut far).await.ok();
    })
    .await
}

#[tokio::test]
async fn a_network_that_lets_no_websocket_through_is_no_hindrance() {
    let (server, origin) = (server().await, origin().await);
    let proxy = without_upgrades(&server).await;
    let door = format!("127.0.0.1:{}", proxy.port()).parse().unwrap();
    for options in [TCP, AUTO] {
        let agent = Agent::dial(door, &origin.port(), &Key::fresh(), options).await;
        let answer = agent.visitor_at(server.addr).get("/").await;
        assert_eq!(answer.text(), "here", "{}", answer.status);
    }
}

#[tokio::test]
async fn whoever_has_no_ticket_is_let_go_and_disturbs_nobody() {
    let settings = "channel_listen = \"127.0.0.1:0\"\n[admission]\nhandshake_timeout = \"300ms\"\nmax_pending_per_address = 64\nregistrations_per_minute = 1000\n";
    let mut server = Server::configured(settings).await;
    let origin = origin().await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), TCP).await;
    let channel = channel_of(&mut server).await;
    let mut strangers = Vec::new();
    for bytes in [
        &b""[..],
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        &[0; 4096],
        &[0xff; 4096],
        &[22, 3, 1, 0xff, 0xff],
    ] {
        for _ in 0..8 {
            let mut tcp = TcpStream::connect(&channel).await.unwrap();
            tcp.write_all(bytes).await.unwrap();
            strangers.push(tcp);
        }
    }
    works(&agent).await;
    for mut tcp in strangers {
        let mut last = Vec::new();
        let end = timeout(PATIENCE, tcp.read_to_end(&mut last)).await;
        drop(end.expect("the server closes it"));
    }
    works(&agent).await;
}

#[tokio::test]
async fn a_channel_key_is_made_at_first_use_and_kept() {
    let folder = Folder::empty();
    let file = folder.path("channel.pem").display().to_string();
    let options = [&CHANNEL[..], &["--channel-key-file", &file]].concat();
    let key = |line: &str| Some(line.split_once("key=ed25519:")?.1.to_owned());
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut server = Server::start(&options).await;
        keys.push(server.program.line("the key of its channel", key).await);
    }
    assert_eq!(keys[0], keys[1]);
}
