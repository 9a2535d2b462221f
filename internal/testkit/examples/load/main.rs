//! What `make bench` needs beside wrk: loads, and things to put under them, one a subcommand. Loopback only.
//!
//!   load serve                                   the upstream: bodies, a WebSocket echo, event streams
//!   load delay ADDR MILLISECONDS                 a proxy to ADDR that holds every byte for so long, each way
//!   load pace ADDR HOST PATH RATE SECONDS CONNS  GETs at a fixed rate
//!   load ws ADDR HOST SOCKETS SECONDS            echo round trips over so many sockets
//!   load events ADDR HOST SUBSCRIBERS SECONDS    event streams
//!   load pull ADDR HOST PATH STREAMS             downloads, each on a connection of its own
//!   load drain ADDR HOST PATH STREAMS MBPS SECS  downloads at so many megabytes a second in all
//!   load push ADDR HOST PATH MEGABYTES           one upload
//!   load hold ADDR HOST PATH COUNT               downloads of which only the head is read
//!   load offer ADDR HOST COUNT                   uploads to a link that takes nothing
//!   load links ADDR COUNT                        registered links that then stay idle
//!   load churn ADDR,ADDR,… RATE SECONDS          agents that come, serve once and go, so many a second
//!   load routes COUNT                            look-ups in the memory directory, without any server
//!
//! A measuring command prints one JSON object. `serve` and `delay` print their address and `hold`, `offer` and `links`
//! an object when all is up; these five run until they are killed.

#![allow(
    clippy::print_stdout,
    reason = "the output is what this program is for"
)]

mod bodies;
mod churn;
mod delay;
mod events;
mod figures;
mod holding;
mod links;
mod monotonic;
mod pace;
mod routes;
mod serve;
mod sockets;
mod wire;

use std::net::SocketAddr;

/// One thread, as the processes under test have one.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => serve::serve().await,
        ["churn", nodes, rate, seconds] => {
            let nodes: Vec<SocketAddr> = nodes.split(',').map(loopback).collect();
            churn::run(&nodes, number(rate), number(seconds)).await;
        }
        ["routes", count] => routes::look_up(number(count)).await,
        [command, addr, ref rest @ ..] => on(command, loopback(addr), rest).await,
        _ => usage(),
    }
}

async fn on(command: &str, addr: SocketAddr, rest: &[&str]) {
    match (command, rest) {
        ("delay", [milliseconds]) => delay::serve(addr, number(milliseconds)).await,
        ("links", [count]) => links::idle(addr, number(count)).await,
        ("pace", [host, path, rate, seconds, connections]) => {
            pace::run(
                addr,
                host,
                path,
                number(rate),
                number(seconds),
                number(connections),
            );
        }
        ("ws", [host, sockets, seconds]) => {
            sockets::load(addr, host, number(sockets), number(seconds)).await;
        }
        ("events", [host, subscribers, seconds]) => {
            events::subscribe(addr, host, number(subscribers), number(seconds)).await;
        }
        ("pull", [host, path, streams]) => bodies::pull(addr, host, path, number(streams)).await,
        ("drain", [host, path, streams, megabytes, seconds]) => {
            let (streams, megabytes) = (number(streams), number(megabytes));
            bodies::drain(addr, host, path, streams, megabytes, number(seconds)).await;
        }
        ("push", [host, path, megabytes]) => {
            bodies::push(addr, host, path, number(megabytes)).await;
        }
        ("hold", [host, path, count]) => holding::downloads(addr, host, path, number(count)).await,
        ("offer", [host, count]) => holding::uploads(addr, host, number(count)).await,
        _ => usage(),
    }
}

fn usage() -> ! {
    panic!(
        "load serve | delay | pace | ws | events | pull | drain | push | hold | offer | links | churn | routes: see the source"
    )
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
