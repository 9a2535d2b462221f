//! Keeps what a server has to say about limits from filling a terminal.

use std::time::Duration;

use messages::NoticeCode;
use tokio::time::Instant;

/// One line of each kind in so long: a flood that lasts is no news.
const PERIOD: Duration = Duration::from_secs(60);

/// When a notice of each kind was last shown; the kinds of the future are one.
#[derive(Default)]
pub(super) struct Notices([Option<Instant>; 3]);

impl Notices {
    /// Whether to show a notice of this kind now.
    pub(super) fn pass(&mut self, code: &NoticeCode, now: Instant) -> bool {
        let kind = match code {
            NoticeCode::LinkRate => 0,
            NoticeCode::RequestRate => 1,
            NoticeCode::Other(_) => 2,
        };
        let last = &mut self.0[kind];
        if last.is_some_and(|last| now - last < PERIOD) {
            return false;
        }
        *last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_shown_once_a_minute() {
        let mut notices = Notices::default();
        let start = Instant::now();
        let mut at = |seconds, code| notices.pass(&code, start + Duration::from_secs(seconds));
        assert!(at(0, NoticeCode::LinkRate));
        assert!(!at(1, NoticeCode::LinkRate));
        assert!(at(2, NoticeCode::RequestRate));
        assert!(!at(59, NoticeCode::LinkRate));
        assert!(at(60, NoticeCode::LinkRate));
        assert!(!at(61, NoticeCode::RequestRate));
    }
}
