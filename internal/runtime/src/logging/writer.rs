//! Where finished lines go: to a thread that writes many of them at once.
//!
//! A write of its own for each line was a third of the system calls of a busy server. So the writing thread takes a nap
//! after each batch: a line after a quiet moment is out at once, and those that follow within the nap leave together.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::thread::sleep;
use std::time::Duration;

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for the writing thread. Those beyond are lost and counted, since a log nobody reads must not
/// stop the service. Several times what the fastest server measured (40,000 requests a second) writes during a nap.
const MAX_WAITING: usize = 4096;

/// Bytes that leave in one write.
const BATCH: usize = 64 * 1024;

/// Pause between two batches: the longest that a line waits behind another.
const NAP: Duration = Duration::from_millis(20);

/// Takes whole lines for stderr. Never waits.
#[derive(Clone, Debug)]
pub struct Lines(NonBlocking);

/// The promise that what was logged gets written. Dropping it waits, for a second at most, until it is.
#[derive(Debug)]
pub struct Written {
    lines: Lines,
    // Dropped last: it writes what the drop of this struct has to say.
    _guard: WorkerGuard,
}

/// Starts the thread that writes to `target`.
pub(super) fn start(target: impl Write + Send + 'static) -> (Lines, Written) {
    let (lines, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_WAITING)
        .thread_name("log")
        .finish(Batches(BufWriter::with_capacity(BATCH, target)));
    let lines = Lines(lines);
    let written = Written {
        lines: lines.clone(),
        _guard: guard,
    };
    (lines, written)
}

impl Lines {
    /// Writes one line, in the order of the events around it.
    pub fn line(&self, text: &dyn Display) {
        // Nobody may be reading; that is no reason to stop serving.
        self.clone()
            .0
            .write_all(format!("{text}\n").as_bytes())
            .ok();
    }

    /// Lines that were lost because too many waited.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.0.error_counter().dropped_lines()
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> NonBlocking {
        self.0.clone()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        match self.lines.lost() {
            0 => {}
            lost => tracing::warn!(lost, "log lines were lost: stderr was not read fast enough"),
        }
    }
}

/// Writes when told to flush, and rests then.
struct Batches<W: Write>(BufWriter<W>);

impl<W: Write> Write for Batches<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        sleep(NAP);
        flushed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<(usize, String)>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut page = self.0.lock().unwrap();
            page.0 += 1;
            page.1.push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_out_before_the_promise_is_gone_and_in_few_writes() {
        let page = Page::default();
        let (lines, written) = start(page.clone());
        for number in 0..1000 {
            lines.line(&number);
        }
        drop(written);
        let (writes, text) = &*page.0.lock().unwrap();
        let numbers: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert!(*writes <= 100, "{writes} writes for 1000 lines");
    }

    #[test]
    fn lines_beyond_what_may_wait_are_lost_and_counted() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.recv().ok();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = std::sync::mpsc::channel();
        let (lines, written) = start(Stuck(stuck));
        let long = "x".repeat(BATCH);
        for _ in 0..MAX_WAITING + 10 {
            lines.line(&long);
        }
        assert!(lines.lost() > 0);
        drop(release);
        drop(written);
    }
}
