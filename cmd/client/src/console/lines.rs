//! Lines for people.

use std::fmt;
use std::time::Duration;

use agent::{Outcome, PoolChange, PoolSize, Report};
use messages::{LinkLimits, Reset, ResetCode};

/// What has become of several links, for people. Nothing while more of them are still to come up.
pub(super) fn pool_line(change: &PoolChange, size: PoolSize) -> Option<String> {
    let PoolSize {
        links,
        nodes,
        wanted,
    } = size;
    let all = format!("{} to {}", count(links, "link"), count(nodes, "node"));
    match change {
        PoolChange::Up if links < wanted => None,
        PoolChange::Up => Some(format!("connected by {all}")),
        PoolChange::Moved => Some(format!(
            "moved from one node of the server to another; connected by {all}"
        )),
        PoolChange::Renewed => Some(format!("a link was made anew; connected by {all}")),
        PoolChange::Lost { why } => Some(format!(
            "one link lost: {why}; making another, still connected by {all}"
        )),
    }
}

/// `1 link`, `2 links`.
fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// One request for people: `GET /path 200 12ms`, and what went wrong with it, with the id to find it by.
pub(super) struct Request<'a> {
    pub(super) report: &'a Report,
    pub(super) target: &'a str,
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        write!(f, "{} {} ", report.method, report.path)?;
        match report.status {
            Some(status) => write!(f, "{}", status.as_u16())?,
            None => f.write_str("-")?,
        }
        write!(f, " {}", Time(report.elapsed))?;
        match &report.outcome {
            Outcome::Answered => Ok(()),
            Outcome::Failed(reset) => {
                write!(f, ": {}", reset.reason)?;
                if reset.code == ResetCode::TargetUnreachable {
                    write!(f, "; does the service run at {}?", self.target)?;
                }
                write!(f, " (request {})", report.request_id)
            }
            Outcome::Cut(reset) => write!(f, ": {} (request {})", cut(reset), report.request_id),
        }
    }
}

/// Why the other side ended an exchange, in words.
fn cut(reset: &Reset) -> String {
    match reset.code {
        ResetCode::Cancelled | ResetCode::Done => "the visitor left".to_owned(),
        ResetCode::TooLarge => "above the server's size limit".to_owned(),
        ResetCode::TimedOut => "the server waited too long for an answer".to_owned(),
        ResetCode::LinkLost => "the connection to the server was lost".to_owned(),
        _ => format!("the server cut it: {reset}"),
    }
    .chars()
    .map(|c| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    })
    .collect()
}

/// A time for people: `0ms`, `12ms`, `1.2s`.
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms < 1000 {
            write!(f, "{ms}ms")
        } else {
            write!(f, "{:.1}s", self.0.as_secs_f64())
        }
    }
}

/// What the server holds the agent to, on one line. What it does not tell is left out.
pub(super) fn limits(limits: &LinkLimits) -> String {
    let LinkLimits {
        max_body,
        max_streams,
        max_message,
        head_timeout_ms,
        ping_after_ms: _,
        dead_after_ms: _,
        messages_per_second,
        kib_per_second,
        requests_per_second,
        visitor_requests_per_second,
        max_links,
    } = limits;
    let bytes = |most: &Option<u64>| {
        most.map_or_else(
            || "any size".to_owned(),
            |most| format!("at most {most} bytes"),
        )
    };
    let mut words = vec![
        format!("bodies of {}", bytes(max_body)),
        format!("WebSocket messages of {}", bytes(max_message)),
        format!("{max_streams} requests at once on a link"),
        format!(
            "an answer within {}",
            Time(Duration::from_millis(*head_timeout_ms))
        ),
    ];
    for (number, what) in [
        (requests_per_second, "requests a second"),
        (visitor_requests_per_second, "a second of one visitor"),
        (messages_per_second, "messages a second on a link"),
        (kib_per_second, "KiB a second on a link"),
        (max_links, "links of this key on a node"),
    ] {
        words.extend(number.map(|number| format!("{number} {what}")));
    }
    format!("limits: {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(status: Option<u16>, ms: u64, outcome: Outcome) -> String {
        let report = Report {
            request_id: messages::RequestId([0xab; 16]),
            method: "GET".parse().unwrap(),
            path: "/path".to_owned(),
            status: status.map(|status| status.try_into().unwrap()),
            elapsed: Duration::from_millis(ms),
            outcome,
        };
        Request {
            report: &report,
            target: "http://localhost:3000",
        }
        .to_string()
    }

    #[test]
    fn a_request_is_one_short_line() {
        assert_eq!(
            shown(Some(200), 12, Outcome::Answered),
            "GET /path 200 12ms"
        );
        assert_eq!(
            shown(Some(404), 1234, Outcome::Answered),
            "GET /path 404 1.2s"
        );
    }

    #[test]
    fn a_request_that_failed_says_why_and_under_which_id_to_look_for_it() {
        let refused = Reset::new(
            ResetCode::TargetUnreachable,
            "cannot connect to the target: Connection refused",
        );
        assert_eq!(
            shown(None, 0, Outcome::Failed(refused)),
            "GET /path - 0ms: cannot connect to the target: Connection refused; \
             does the service run at http://localhost:3000? (request abababababababababababababababab)"
        );
        assert_eq!(
            shown(Some(200), 5, Outcome::Cut(ResetCode::Cancelled.into())),
            "GET /path 200 5ms: the visitor left (request abababababababababababababababab)"
        );
    }

    #[test]
    fn links_are_spoken_of_when_all_are_there_and_when_one_goes() {
        let line = |change: PoolChange, [links, nodes, wanted]: [usize; 3]| {
            let size = PoolSize {
                links,
                nodes,
                wanted,
            };
            pool_line(&change, size)
        };
        let lost = PoolChange::Lost {
            why: "it broke".to_owned(),
        };
        assert_eq!(line(PoolChange::Up, [2, 2, 3]), None);
        assert_eq!(
            line(PoolChange::Up, [3, 2, 3]).unwrap(),
            "connected by 3 links to 2 nodes"
        );
        assert_eq!(
            line(lost, [1, 1, 2]).unwrap(),
            "one link lost: it broke; making another, still connected by 1 link to 1 node"
        );
        assert_eq!(
            line(PoolChange::Moved, [2, 2, 2]).unwrap(),
            "moved from one node of the server to another; connected by 2 links to 2 nodes"
        );
    }

    #[test]
    fn limits_are_one_line_of_those_that_were_told() {
        let told = LinkLimits {
            max_message: None,
            requests_per_second: Some(50),
            max_links: Some(4),
            ..LinkLimits::default()
        };
        assert_eq!(
            limits(&told),
            "limits: bodies of at most 512000 bytes, WebSocket messages of any size, 1024 requests at once on a link, \
             an answer within 30.0s, 50 requests a second, 4 links of this key on a node"
        );
    }

    #[test]
    fn a_servers_words_cannot_paint_on_the_terminal() {
        assert_eq!(
            cut(&Reset::new(ResetCode::Stalled, "\u{1b}[2J")),
            "the server cut it: stalled: \u{fffd}[2J"
        );
    }
}
