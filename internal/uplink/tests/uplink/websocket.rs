//! The connect endpoint over real sockets: upgrade, caps as statuses, a link.

use std::{convert::Infallible, net::SocketAddr};

use adit_uplink::Config;
use http::StatusCode;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use identity::SecretKey;
use messages::Granted;
use tokio::{net::TcpListener, task::JoinSet};
use tunnel::{
    handshake::{Registration, register},
    ws::{self, ConnectError, ConnectOptions, Connected, Endpoint},
};

use crate::house::{DOMAIN, House, wish};

/// Serves nothing but the connect endpoint.
async fn serve(house: &House, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let uplink = house.uplink.clone();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (tcp, peer) = listener.accept().await.expect("it listens");
            let uplink = uplink.clone();
            connections.spawn(async move {
                let service = service_fn(|request| {
                    let response = uplink.upgrade(request, peer);
                    async { Ok::<_, Infallible>(response) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let connection = http.serve_connection(TokioIo::new(tcp), service);
                drop(connection.with_upgrades().await);
            });
        }
    });
    address
}

async fn dial(address: SocketAddr) -> Result<Connected, ConnectError> {
    let endpoint: Endpoint = format!("http://{address}").parse().expect("an endpoint");
    ws::connect(&endpoint, &ConnectOptions::default()).await
}

#[tokio::test]
async fn an_agent_registers_over_a_websocket_under_the_loopback_name_it_dialled() {
    let mut tasks = JoinSet::new();
    let house = House::new();
    let address = serve(&house, &mut tasks).await;
    let mut connected = dial(address).await.unwrap();
    let wish = Registration {
        audience: "127.0.0.1".to_owned(),
        ..wish([1; 16])
    };
    let key = SecretKey::generate();
    let granted: Granted = register(&mut connected.transport, &key, &wish)
        .await
        .unwrap();
    assert!(granted.hostname.ends_with(DOMAIN));
    assert_eq!(house.uplink.link_count(), 1);
}

#[tokio::test]
async fn over_a_cap_the_upgrade_is_answered_with_a_status_and_a_time() {
    let mut tasks = JoinSet::new();
    let house = House::with(Config {
        max_pending_per_address: 1,
        ..Config::new(DOMAIN)
    });
    let address = serve(&house, &mut tasks).await;
    let _first = dial(address).await.unwrap();
    match dial(address).await {
        Err(ConnectError::Refused {
            status,
            retry_after,
            ..
        }) => {
            assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
            assert!(retry_after.is_some());
        }
        other => panic!("a refusal is due, not {other:?}"),
    }
}
