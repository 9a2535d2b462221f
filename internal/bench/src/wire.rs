//! A TCP connection read through one buffer that never grows.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// More than any head, step or message here; what is larger passes through in pieces.
const BUFFER: usize = 256 * 1024;

/// Zeros to send.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

pub(crate) struct Wire {
    tcp: TcpStream,
    buffer: Box<[u8]>,
    /// What is in the buffer and not yet taken.
    filled: std::ops::Range<usize>,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).expect("TCP has the option");
        Self {
            tcp,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            filled: 0..0,
        }
    }

    /// A head with its empty line; `None` when the other side has closed.
    pub(crate) async fn head(&mut self) -> Option<&[u8]> {
        loop {
            let ends = find(self.unread(), b"\r\n\r\n");
            if let Some(end) = ends {
                return Some(self.take(end + 4));
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    /// The next bytes, fewer than the buffer has; `None` when the other side has closed.
    pub(crate) async fn exactly(&mut self, count: usize) -> Option<&mut [u8]> {
        while self.filled.len() < count {
            if self.more().await == 0 {
                return None;
            }
        }
        Some(self.take(count))
    }

    /// Reads past so many bytes.
    pub(crate) async fn skip(&mut self, count: usize) {
        let mut left = count;
        loop {
            let here = self.filled.len().min(left);
            self.take(here);
            left -= here;
            if left == 0 {
                return;
            }
            assert!(self.more().await > 0, "closed with {left} bytes to come");
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).await.expect("it is taken");
    }

    pub(crate) async fn send_zeros(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let piece = left.min(ZEROS.len());
            self.send(&ZEROS[..piece]).await;
            left -= piece;
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.filled.clone()]
    }

    fn take(&mut self, count: usize) -> &mut [u8] {
        let from = self.filled.start;
        self.filled.start += count;
        &mut self.buffer[from..from + count]
    }

    async fn more(&mut self) -> usize {
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        let room = &mut self.buffer[self.filled.end..];
        let read = self.tcp.read(room).await.expect("the connection holds");
        self.filled.end += read;
        read
    }
}

/// Where `wanted` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|here| here == wanted)
}
