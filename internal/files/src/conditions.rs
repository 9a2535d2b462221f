//! Whether a request that names a version of a file is still to be answered (RFC 9110 section 13).

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headers::{
    ETag, HeaderMapExt as _, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince,
    LastModified,
};
use http::HeaderMap;

/// A file that was changed so lately may be changed again without a new time, where the file system's clock is coarse:
/// then its tag only says that it is alike.
const COARSE: Duration = Duration::from_secs(2);

/// Which version of a file is here.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) etag: Option<ETag>,
    modified: Option<SystemTime>,
}

/// What the conditions come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Go,
    NotModified,
    Failed,
}

impl Version {
    pub(crate) fn of(metadata: &Metadata, now: SystemTime) -> Self {
        // A time to come is no time at which it can have been changed.
        let modified = metadata.modified().ok().map(|at| at.min(now));
        let etag = metadata.modified().ok().and_then(|at| {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let settled = now.duration_since(at).is_ok_and(|age| age >= COARSE);
            let weak = if settled { "" } else { "W/" };
            format!("{weak}\"{since:x}-{:x}\"", metadata.len())
                .parse()
                .ok()
        });
        Self { etag, modified }
    }

    pub(crate) fn last_modified(&self) -> Option<LastModified> {
        self.modified.map(LastModified::from)
    }

    /// In the order of section 13.2.2. What cannot be read is no condition.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Judgement {
        let unchanged = match headers.typed_get::<IfMatch>() {
            Some(wanted) => {
                wanted.is_any()
                    || self
                        .etag
                        .as_ref()
                        .is_some_and(|etag| wanted.precondition_passes(etag))
            }
            None => match (headers.typed_get::<IfUnmodifiedSince>(), self.modified) {
                (Some(since), Some(modified)) => since.precondition_passes(modified),
                _ => true,
            },
        };
        if !unchanged {
            return Judgement::Failed;
        }
        let changed = match (headers.typed_get::<IfNoneMatch>(), &self.etag) {
            (Some(known), Some(etag)) => known.precondition_passes(etag),
            (Some(known), None) => known != IfNoneMatch::any(),
            (None, _) => match (headers.typed_get::<IfModifiedSince>(), self.modified) {
                (Some(since), Some(modified)) => since.is_modified(modified),
                _ => true,
            },
        };
        if changed {
            Judgement::Go
        } else {
            Judgement::NotModified
        }
    }

    /// Whether a part may be sent: the visitor has the rest of this very version.
    pub(crate) fn allows_part(&self, headers: &HeaderMap) -> bool {
        if !headers.contains_key(http::header::IF_RANGE) {
            return true;
        }
        let condition = headers.typed_get::<IfRange>();
        condition
            .is_some_and(|it| !it.is_modified(self.etag.as_ref(), self.last_modified().as_ref()))
    }
}
