//! What `make bench` needs beside wrk: loads, and things to put under them, one a subcommand. Loopback only.
//!
//!   load ws-echo                                 a WebSocket echo service; prints its address
//!   load ws ADDR HOST SOCKETS SECONDS            echo round trips over so many sockets
//!   load pull ADDR HOST PATH STREAMS             downloads, each on a connection of its own
//!   load push ADDR HOST PATH MEGABYTES           one upload
//!   load links ADDR COUNT                        registered links that then stay idle
//!   load delay ADDR MILLISECONDS                 a proxy to ADDR that holds every byte for so long, each way
//!
//! A measuring command prints one JSON object a line. `ws-echo`, `links` and `delay` run until they are killed.

#![allow(
    clippy::print_stdout,
    reason = "the output is what this program is for"
)]

mod bodies;
mod delay;
mod echo;
mod links;
mod sockets;

use std::net::SocketAddr;

/// One thread, as the processes under test have one.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["ws-echo"] => echo::serve().await,
        ["ws", addr, host, sockets, seconds] => {
            sockets::load(loopback(addr), host, number(sockets), number(seconds)).await;
        }
        ["pull", addr, host, path, streams] => {
            bodies::pull(loopback(addr), host, path, number(streams)).await;
        }
        ["push", addr, host, path, megabytes] => {
            bodies::push(loopback(addr), host, path, number(megabytes)).await;
        }
        ["links", addr, count] => {
            links::idle(loopback(addr), number(count)).await;
        }
        ["delay", addr, milliseconds] => {
            delay::serve(loopback(addr), number(milliseconds)).await;
        }
        _ => panic!("usage: load ws-echo | ws | pull | push | links | delay …, see the source"),
    }
}

/// The address, which may not be anybody else's machine.
fn loopback(text: &str) -> SocketAddr {
    let addr: SocketAddr = text.parse().expect("an address with a port");
    assert!(addr.ip().is_loopback(), "load is for loopback only");
    addr
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no number that fits"))
}
