//! Bytes of a file, as they are asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::task::spawn_blocking;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response. An error in it means that the file is not what its head said: the response must be cut.
pub type FileBody = UnsyncBoxBody<Bytes, BoxError>;

/// Read at once, in bytes: what one frame carries.
const CHUNK: u64 = 64 * 1024;

/// A body that is here already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> FileBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// These bytes of the file. The first of them are read before this returns, and with a small file that is all.
///
/// # Errors
/// They cannot be read, or the file has become shorter.
pub(crate) fn part(file: File, first: u64, length: u64) -> io::Result<FileBody> {
    let begin = Section {
        at: first,
        left: length,
    };
    let Some((bytes, rest)) = begin.read(&file)? else {
        return Ok(full(Bytes::new()));
    };
    if rest.left == 0 {
        return Ok(full(bytes));
    }
    let later = stream::try_unfold((Arc::new(file), rest), |(file, section)| async move {
        let reading = file.clone();
        let read = spawn_blocking(move || section.read(&reading)).await;
        let read = read.map_err(io::Error::other)??;
        Ok::<_, BoxError>(read.map(|(bytes, rest)| (bytes, (file, rest))))
    });
    let all = stream::once(async { Ok(bytes) }).chain(later);
    Ok(StreamBody::new(all.map_ok(Frame::data)).boxed_unsync())
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Section {
    at: u64,
    left: u64,
}

impl Section {
    /// The next bytes; `None` at the end.
    fn read(self, file: &File) -> io::Result<Option<(Bytes, Self)>> {
        if self.left == 0 {
            return Ok(None);
        }
        let wanted = self.left.min(CHUNK);
        let mut bytes = vec![0; usize::try_from(wanted).expect("a chunk fits in memory")];
        // All of it: a file that ends sooner than its head said is an error, and so never passed off as whole.
        file.read_exact_at(&mut bytes, self.at)?;
        let rest = Self {
            at: self.at + wanted,
            left: self.left - wanted,
        };
        Ok(Some((bytes.into(), rest)))
    }
}
