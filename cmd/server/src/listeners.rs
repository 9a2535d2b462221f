//! One listener a worker, all on one port.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::anyhow;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel holds ready for one listener; beyond it, it drops the newcomers' first packets.
const BACKLOG: i32 = 1024;

/// The listeners, and the address they share.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// With the port that the system chose, where the configured one was 0.
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Vec<TcpListener>,
}

/// A setting that says where to listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) field: &'static str,
    pub(crate) flag: &'static str,
}

/// For visitors, and agents that come by WebSocket.
pub(crate) const LISTEN: Setting = Setting {
    field: "listen",
    flag: "--listen",
};

/// For agents that come over TCP.
pub(crate) const CHANNEL_LISTEN: Setting = Setting {
    field: "channel_listen",
    flag: "--channel-listen",
};

/// Listens on `address`, which is that setting's, once for each worker.
///
/// # Errors
/// One line that names the field and the cure.
pub(crate) fn bind(
    setting: Setting,
    address: SocketAddr,
    workers: usize,
) -> anyhow::Result<Listeners> {
    try_bind(address, workers).map_err(|error| {
        let cure = cure(&error);
        let Setting { field, flag } = setting;
        anyhow!("{field}: cannot bind {address}: {error}; {cure} ({flag})")
    })
}

fn try_bind(wanted: SocketAddr, workers: usize) -> io::Result<Listeners> {
    let shared = workers > 1;
    if shared && wanted.port() != 0 {
        // A socket with SO_REUSEPORT joins whoever has the port already, as long as they have set it too and belong to
        // the same user: a second server would silently share the first one's visitors. One without it does not.
        drop(open(wanted, false)?);
    }
    let first = listener(wanted, shared)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < workers {
        sockets.push(listener(address, true)?);
    }
    Ok(Listeners { address, sockets })
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = open(address, shared)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A bound socket that does not listen yet, so that closing it resets nobody's connection.
fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // So that connections of the last run that linger in TIME_WAIT do not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop what listens there, or choose another port",
        io::ErrorKind::PermissionDenied => {
            "choose a port of 1024 or above, or give this user the right to bind lower ones"
        }
        io::ErrorKind::AddrNotAvailable => {
            "choose an address of this machine, or 0.0.0.0 or [::] for all of them"
        }
        _ => "choose another address",
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn all_workers_share_the_port_that_the_system_chose() {
        let listeners = bind(LISTEN, ANY_PORT, 3).unwrap();
        assert_ne!(listeners.address.port(), 0);
        assert_eq!(listeners.sockets.len(), 3);
        for socket in &listeners.sockets {
            assert_eq!(socket.local_addr().unwrap(), listeners.address);
        }
    }

    #[test]
    fn a_port_in_use_is_noticed_even_when_its_holder_shares_it() {
        for (holders, newcomers) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let held = bind(LISTEN, ANY_PORT, holders).unwrap();
            let error = bind(LISTEN, held.address, newcomers).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.starts_with("listen: cannot bind 127.0.0.1:"), "{text}");
            assert!(
                text.contains("in use; stop what listens there")
                    || text.contains("); stop what listens there"),
                "{text}"
            );
        }
    }
}
