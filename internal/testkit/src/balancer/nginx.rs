//! nginx: by turns, and a server that refused is left alone for two seconds.

use std::{fmt::Write, net::SocketAddr, path::Path};

use super::Daemon;
use crate::port::Port;

/// A running `nginx`. It is killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    daemon: Daemon,
}

impl Nginx {
    /// One on a free port in front of `servers`.
    pub async fn before(servers: &[SocketAddr]) -> Self {
        Self::at(Port::free(), servers).await
    }

    /// One on that port.
    pub async fn at(port: Port, servers: &[SocketAddr]) -> Self {
        let daemon = Daemon::start(
            "nginx",
            port,
            |folder, port| settings(folder, port, servers),
            |folder, file| {
                let (folder, file) = (folder.display().to_string(), file.display().to_string());
                ["-p", &folder, "-e", "stderr", "-c", &file]
                    .map(str::to_owned)
                    .into()
            },
        );
        Self {
            daemon: daemon.await,
        }
    }

    /// Where visitors and agents come in.
    pub fn addr(&self) -> SocketAddr {
        self.daemon.port.addr()
    }
}

/// What operators are told to write: these tests are the tests of it.
const DOCUMENTED: &str = include_str!("../../../../deploy/fleet/nginx.conf");

/// One process without a master: so killing it leaves no worker behind, and so it cannot load other settings.
fn settings(folder: &Path, port: u16, servers: &[SocketAddr]) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
access_log off;
client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{}
}}
",
        documented(port, servers)
    )
}

/// The documented settings with the port and the servers of this machine.
fn documented(port: u16, servers: &[SocketAddr]) -> String {
    let mut text = String::new();
    for line in DOCUMENTED.lines() {
        let words = line.trim();
        if words == "listen 80;" {
            writeln!(text, "listen 127.0.0.1:{port};")
        } else if let Some(options) = words.strip_prefix("server node1:8080 ") {
            servers
                .iter()
                .try_for_each(|server| writeln!(text, "server {server} {options}"))
        } else if words.starts_with("server node") {
            Ok(())
        } else {
            writeln!(text, "{line}")
        }
        .expect("a string takes more");
    }
    text
}
