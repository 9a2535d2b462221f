//! nginx: by turns, and a server that failed is left alone for a second.

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

/// One process without a master: so killing it leaves no worker behind, and so it cannot load other settings.
fn settings(folder: &Path, port: u16, servers: &[SocketAddr]) -> String {
    let mut upstream = String::new();
    for server in servers {
        writeln!(upstream, "    server {server} max_fails=1 fail_timeout=1s;")
            .expect("a string takes more");
    }
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream nodes {{
{upstream}    keepalive 64;
  }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location / {{
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_buffering off; proxy_request_buffering off;
      proxy_connect_timeout 1s; proxy_read_timeout 1h; proxy_send_timeout 1h;
    }}
  }}
}}
"
    )
}
