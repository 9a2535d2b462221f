//! Where a server fetches from (14, 15).

use testkit::origin::Origin;

use crate::stage::{OK, error, remote, told, with};

const HEADERS: (&str, &str) = ("x-bare-headers", "{}");

#[tokio::test]
async fn nothing_of_this_machine_or_its_network_is_fetched_in_whatever_spelling() {
    let stage = with(&[]).await;
    let (origin, heard) = remote(OK).await;
    let port = origin.port();
    for host in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "localhost",
        "2130706433",
        "0x7f.1",
        "192.0.2.1",
        "100.64.0.1",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[fe80::1]",
        "[fd00::1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let answer = stage
            .client
            .get_with("/v3/", &[("x-bare-url", &url), HEADERS])
            .await;
        assert_eq!(
            error(&answer),
            told(500, "UNKNOWN", "error.RangeError"),
            "{host}"
        );
        assert!(answer.text().contains("\"Forbidden IP\""));
        // The same by four headers, whose host nothing has rewritten.
        let fields = [
            ("x-bare-host", host),
            ("x-bare-port", &port),
            ("x-bare-protocol", "http:"),
            ("x-bare-path", "/"),
            HEADERS,
        ];
        let answer = stage.client.get_with("/v2/", &fields).await;
        assert_eq!(
            error(&answer),
            told(500, "UNKNOWN", "error.RangeError"),
            "{host}"
        );
    }
    assert_eq!((heard.all().len(), origin.connections()), (0, 0));
}

#[tokio::test]
async fn a_websocket_to_this_machine_is_refused_too() {
    let stage = with(&[]).await;
    let origin = Origin::echoing_sockets().await;
    let connect = crate::v3::connect(&format!("ws://[::1]:{}/", origin.port()));
    let mut socket = crate::v3::say_first(&stage, connect).await;
    assert_eq!(
        testkit::socket::end(&mut socket).await,
        testkit::socket::End::Silent
    );
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_operator_opens_networks_and_closes_hosts_and_ports() {
    let (origin, _) = remote(OK).await;
    let stage = with(&["--allow-network", "127.0.0.0/8", "--deny-port", "25"]).await;
    assert_eq!(stage.v3(&origin, "/", "{}").await.text(), "hi");
    let of_url = "request.headers.x-bare-url";
    let ask = async |stage: &crate::stage::Stage, url: &str| {
        stage
            .client
            .get_with("/v3/", &[("x-bare-url", url), HEADERS])
            .await
    };
    let refused = ask(&stage, "http://127.0.0.1:25/").await;
    assert_eq!(error(&refused), told(403, "FORBIDDEN_BARE_HEADER", of_url));
    let stage = with(&["--no-block-local", "--allow-host", "*.example.org"]).await;
    let refused = stage.v3(&origin, "/", "{}").await;
    assert_eq!(error(&refused), told(403, "FORBIDDEN_BARE_HEADER", of_url));
    let stage = with(&["--no-block-local", "--deny-network", "127.0.0.1"]).await;
    let refused = stage.v3(&origin, "/", "{}").await;
    assert_eq!(error(&refused), told(500, "UNKNOWN", "error.RangeError"));
}
