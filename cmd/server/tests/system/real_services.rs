//! Services that people really put behind a tunnel.

use std::{fs, path::Path};

use testkit::{
    process::{Agent, Key, Program, Server},
    visitor::Visitor,
};
use tokio::net::TcpListener;

/// A port nobody listens on right now.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// 450 KB that do not compress to nothing and are not all alike.
fn payload() -> Vec<u8> {
    (0_u32..450_000)
        .map(|n| u8::try_from((n.wrapping_mul(2_654_435_761) >> 24) & 0xff).unwrap())
        .collect()
}

async fn serves_the_folder(visitor: &Visitor, folder: &Path) {
    let file = fs::read(folder.join("big.bin")).unwrap();
    for _ in 0..5 {
        let answer = visitor.get("/big.bin").await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (200, file.len())
        );
        assert_eq!(answer.body, file);
    }
    assert_eq!(visitor.get("/hello.txt").await.text(), "hello\n");
    assert_eq!(visitor.get("/missing").await.status, 404);
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("big.bin"), payload()).unwrap();
    fs::write(folder.path().join("hello.txt"), "hello\n").unwrap();
    folder
}

#[tokio::test]
async fn pythons_http_server_serves_a_folder() {
    let folder = folder();
    let directory = folder.path().display().to_string();
    let mut python = Program::start(
        "python3",
        [
            "-u",
            "-m",
            "http.server",
            "0",
            "--bind",
            "127.0.0.1",
            "--directory",
            &directory,
        ],
    );
    let port: u16 = python
        .line("its port", |line| {
            line.split("port ").nth(1)?.split(' ').next()?.parse().ok()
        })
        .await;
    let server = Server::start(&[]).await;
    let agent = Agent::publish(&server, &port.to_string(), &Key::fresh(), &["-q"]).await;
    serves_the_folder(&agent.visitor(), folder.path()).await;
}

#[tokio::test]
async fn nginx_with_keep_alive_serves_a_folder() {
    let folder = folder();
    let port = free_port().await;
    let root = folder.path().display();
    let config = format!(
        "daemon off; worker_processes 1; pid {root}/pid; error_log stderr notice;
         events {{ worker_connections 256; }}
         http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
           uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; keepalive_timeout 60s;
           server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
    );
    fs::write(folder.path().join("nginx.conf"), config).unwrap();
    let conf = folder.path().join("nginx.conf").display().to_string();
    let mut nginx = Program::start(
        "nginx",
        ["-p", &root.to_string(), "-e", "stderr", "-c", &conf],
    );
    nginx.says("start worker process").await;
    let server = Server::start(&[]).await;
    let agent = Agent::publish(
        &server,
        &format!("127.0.0.1:{port}"),
        &Key::fresh(),
        &["-q"],
    )
    .await;
    serves_the_folder(&agent.visitor(), folder.path()).await;
    nginx.signal("TERM").await;
    nginx.ended().await;
}
