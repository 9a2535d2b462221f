//! Requests at a fixed rate, whatever the answers do. Each is measured from the moment it was meant to leave, so that a
//! stall counts for every request it held up, not for one.
//!
//! Threads that block, one a connection: a timer of tokio's is a millisecond coarse.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use bytes::BytesMut;
use tokio::time::Instant;

use crate::{figures::Latencies, wire};

/// Not counted: the time in which connections are made and windows settle.
const WARM_UP: Duration = Duration::from_millis(300);

/// How long after its end a run waits for what it still owes.
const OVERTIME: Duration = Duration::from_secs(2);

pub(crate) fn run(
    addr: SocketAddr,
    host: &str,
    path: &str,
    rate: u32,
    seconds: u64,
    connections: u32,
) {
    // By default the kernel wakes a sleeper up to 50 µs late. Threads inherit this from their parent.
    drop(std::fs::write("/proc/self/timerslack_ns", "1"));
    let request = wire::get(host, path, true);
    let begin = Instant::now() + WARM_UP;
    let plan = |index: u32| Plan {
        first: begin + Duration::from_secs(1) / rate * index,
        every: Duration::from_secs(1) * connections / rate,
        end: begin + Duration::from_secs(seconds),
    };
    let found: Vec<Found> = thread::scope(|scope| {
        let start = |index| {
            let request = request.as_bytes();
            scope.spawn(move || plan(index).follow(&mut Wire::open(addr, request)))
        };
        let threads: Vec<_> = (0..connections).map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().expect("a sender does not panic")
        };
        threads.into_iter().map(join).collect()
    });
    let failed: usize = found.iter().map(|found| found.failed).sum();
    let unsent: usize = found.iter().map(|found| found.unsent).sum();
    let latencies: Latencies = found.into_iter().map(|found| found.latencies).collect();
    println!(
        r#"{{"requests": {}, "failed": {failed}, "unsent": {unsent}, "seconds": {seconds}, {}}}"#,
        latencies.count(),
        latencies.json()
    );
}

/// When one connection asks.
#[derive(Clone, Copy)]
struct Plan {
    first: Instant,
    every: Duration,
    end: Instant,
}

#[derive(Default)]
struct Found {
    latencies: Latencies,
    failed: usize,
    unsent: usize,
}

impl Plan {
    fn follow(self, wire: &mut Wire<'_>) -> Found {
        let mut found = Found::default();
        let mut due = self.first;
        while due < self.end {
            let now = Instant::now();
            if now > self.end + OVERTIME {
                found.unsent += 1;
            } else {
                thread::sleep(due.saturating_duration_since(now));
                match wire.exchange() {
                    Ok(()) => found.latencies.note(due.elapsed()),
                    Err(_) => {
                        found.failed += 1;
                        wire.reopen();
                    }
                }
            }
            due += self.every;
        }
        found
    }
}

/// One connection, kept for all requests of its thread.
struct Wire<'a> {
    addr: SocketAddr,
    request: &'a [u8],
    tcp: TcpStream,
    buffer: BytesMut,
}

impl<'a> Wire<'a> {
    fn open(addr: SocketAddr, request: &'a [u8]) -> Self {
        let tcp = TcpStream::connect(addr).expect("it listens");
        tcp.set_nodelay(true).expect("TCP has the option");
        Self {
            addr,
            request,
            tcp,
            buffer: BytesMut::new(),
        }
    }

    fn reopen(&mut self) {
        *self = Self::open(self.addr, self.request);
    }

    /// One request and the whole of its answer, which must be a 200 of an announced length.
    fn exchange(&mut self) -> io::Result<()> {
        self.tcp.write_all(self.request)?;
        let mut chunk = [0; 16 * 1024];
        let head = loop {
            if let Some(head) = wire::Head::take(&mut self.buffer) {
                break head;
            }
            self.read(&mut chunk)?;
        };
        let length = head.length().filter(|_| head.line().contains(" 200 "));
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        while self.buffer.len() < length {
            self.read(&mut chunk)?;
        }
        self.buffer.clear();
        Ok(())
    }

    fn read(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        match self.tcp.read(chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }
}
