//! A port of this machine that stays ours while the program behind it comes and goes.
//!
//! Servers of a fleet must know the balancer's port before there is a balancer, and come back on the port they died on.
//! Choosing a free port and hoping that it stays free loses that race now and then, so here the port is held: by a
//! socket that is bound, with address and port reuse on, and never listens. The system gives such a port to nobody who
//! asks for any, nor to a connection on its way out; it lets programs that reuse addresses (all of ours, Redis, nginx and
//! `HAProxy`) bind it by number; and while none does, connections to it are refused.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// A port of 127.0.0.1, held until dropped.
#[derive(Debug)]
pub struct Port {
    addr: SocketAddr,
    _holder: Socket,
}

impl Port {
    /// A free port of the system's choice.
    pub fn free() -> Self {
        let holder = open((Ipv4Addr::LOCALHOST, 0).into());
        let addr = holder.local_addr().expect("it is bound").as_socket();
        Self {
            addr: addr.expect("an IPv4 socket has such an address"),
            _holder: holder,
        }
    }

    /// The address that whoever listens here has.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.addr.port()
    }

    /// Listens on it in this process.
    pub fn listen(&self) -> TcpListener {
        TcpListener::from_std(self.bind()).expect("the runtime has I/O")
    }

    /// Listens on it in this process, on a runtime that is still to come.
    pub fn bind(&self) -> std::net::TcpListener {
        let socket = open(self.addr);
        socket.listen(1024).expect("a bound socket can listen");
        socket
            .set_nonblocking(true)
            .expect("a socket need not block");
        socket.into()
    }
}

fn open(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
    let socket = socket.expect("there are sockets left");
    socket.set_reuse_address(true).expect("TCP has the option");
    socket.set_reuse_port(true).expect("TCP has the option");
    socket.bind(&addr.into()).expect("the port can be bound");
    socket
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_port_is_refused_until_somebody_listens_and_again_after() {
        let port = Port::free();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.addr()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let listener = port.listen();
            TcpStream::connect(port.addr()).await.unwrap();
            drop(listener);
        }
    }

    #[tokio::test]
    async fn a_program_that_only_reuses_addresses_can_have_it() {
        let port = Port::free();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(port.addr()).unwrap();
        let _listener = socket.listen(8).unwrap();
        TcpStream::connect(port.addr()).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_gets_it_by_chance() {
        let held: Vec<Port> = (0..50).map(|_| Port::free()).collect();
        let mut others = Vec::new();
        for _ in 0..2000 {
            let other = TcpSocket::new_v4().unwrap();
            other.set_reuseaddr(true).unwrap();
            other.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let addr = other.local_addr().unwrap();
            assert!(held.iter().all(|port| port.addr() != addr));
            others.push(other);
        }
    }
}
