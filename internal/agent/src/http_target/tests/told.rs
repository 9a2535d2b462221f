//! What a service is told beside the request: another Host, the visitor's address; and services behind a socket in the
//! file system.

use tokio::net::UnixListener;

use super::*;

fn config(change: impl FnOnce(&mut HttpTargetConfig)) -> HttpTargetConfig {
    let mut config = HttpTargetConfig::default();
    change(&mut config);
    config
}

/// A request of the visitor with this port.
fn from(port: u16) -> RequestHead {
    let mut head = get("/");
    head.visitor.addr.set_port(port);
    head
}

async fn answered(bench: &mut Bench, head: &RequestHead) {
    let stream = bench.server.ask(head, b"", true).await;
    assert_eq!(bench.server.response(stream).await.1, b"hi");
}

#[tokio::test]
async fn the_host_is_the_one_that_was_chosen() {
    for chosen in ["rewrite", "app.local:81"] {
        let mut service = Service::saying(OK).await;
        let host: HostHeader = chosen.parse().unwrap();
        let mut bench = service.published_as(config(|it| it.host = host)).await;
        let expected = match chosen {
            "rewrite" => service.url.authority().unwrap().to_string(),
            other => other.to_owned(),
        };
        answered(&mut bench, &get("/")).await;
        let head = service.head().await;
        assert!(head.contains(&format!("host: {expected}\r\n")), "{head}");
        assert!(!head.contains(AUTHORITY), "{head}");
    }
}

#[tokio::test]
async fn a_second_try_has_the_chosen_host_too() {
    let mut service = Service::answering(|request| if request == 1 { "" } else { OK }).await;
    let host: HostHeader = "app.local".parse().unwrap();
    let mut bench = service.published_as(config(|it| it.host = host)).await;
    for _ in 0..2 {
        answered(&mut bench, &get("/")).await;
    }
    for _ in 0..3 {
        assert!(service.head().await.contains("host: app.local\r\n"));
    }
}

#[tokio::test]
async fn an_upgrade_is_asked_for_under_the_same_host() {
    for (chosen, expected) in [("preserve", AUTHORITY), ("app.local", "app.local")] {
        let mut service = Service::saying("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").await;
        let host: HostHeader = chosen.parse().unwrap();
        let mut bench = service.published_as(config(|it| it.host = host)).await;
        let head = get("/socket");
        let frame = head.encode_upgrade(messages::StreamId(1)).unwrap();
        bench.server.say(frame).await;
        let head = service.head().await;
        assert!(head.contains(&format!("host: {expected}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn a_connection_that_names_its_visitor_serves_no_other() {
    let mut service = Service::saying(OK).await;
    let proxied = config(|it| it.proxy_protocol = Some(ProxyProtocol::V1));
    let mut bench = service.published_as(proxied).await;
    let port = service.url.authority().unwrap().port_u16().unwrap();
    for visitor in [1001, 1002, 1001, 1002, 1003] {
        answered(&mut bench, &from(visitor)).await;
    }
    let mut lines = Vec::new();
    for _ in 0..5 {
        let head = service.head().await;
        lines.push(head.lines().next().unwrap().to_owned());
    }
    let named = |visitor| format!("PROXY TCP4 192.0.2.1 127.0.0.1 {visitor} {port}");
    let plain = "GET / HTTP/1.1".to_owned();
    let expected = [named(1001), named(1002), plain.clone(), plain, named(1003)];
    assert_eq!(lines, expected);
    assert_eq!(service.connections(), 3);
}

#[tokio::test]
async fn the_binary_header_comes_before_the_first_byte_of_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: TargetUrl = listener.local_addr().unwrap().to_string().parse().unwrap();
    let proxied = config(|it| it.proxy_protocol = Some(ProxyProtocol::V2));
    let target = HttpTarget::new(&url, &proxied, &TaskTracker::new());
    let mut bench = Bench::serving(target).await;
    bench.server.ask(&from(1001), b"", true).await;
    let (mut tcp, _) = listener.accept().await.unwrap();
    let mut begun = [0; 32];
    tcp.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun[..12], b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(&begun[28..], b"GET ");
}

#[tokio::test]
async fn a_service_behind_a_socket_in_the_file_system_is_asked_and_kept_like_any() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("app.sock");
    let url: TargetUrl = format!("unix:{}", path.display()).parse().unwrap();
    let target = HttpTarget::new(&url, &HttpTargetConfig::default(), &TaskTracker::new());
    let mut bench = Bench::serving(target).await;
    let early = bench.server.ask(&get("/"), b"", true).await;
    let reset = bench.server.reset(early).await;
    assert_eq!(reset.code, ResetCode::TargetUnreachable);
    assert!(!reset.reason.contains("app.sock"), "{}", reset.reason);

    let listener = UnixListener::bind(&path).unwrap();
    let mut service = JoinSet::new();
    service.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(OK.as_bytes()).await.unwrap();
        }
    });
    for _ in 0..2 {
        answered(&mut bench, &get("/")).await;
    }
}

#[tokio::test]
async fn over_http2_each_request_has_a_connection_that_begins_with_its_visitor() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: TargetUrl = listener.local_addr().unwrap().to_string().parse().unwrap();
    let proxied = config(|it| {
        it.proxy_protocol = Some(ProxyProtocol::V1);
        it.protocol = TargetProtocol::H2c;
    });
    let mut bench = Bench::serving(HttpTarget::new(&url, &proxied, &TaskTracker::new())).await;
    let port = url.authority().unwrap().port_u16().unwrap();
    for visitor in [1001, 1002] {
        bench.server.ask(&from(visitor), b"", true).await;
        let expected = format!("PROXY TCP4 192.0.2.1 127.0.0.1 {visitor} {port}\r\nPRI * HTTP/2.0");
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut begun = vec![0; expected.len()];
        tcp.read_exact(&mut begun).await.unwrap();
        assert_eq!(String::from_utf8(begun).unwrap(), expected);
    }
}
