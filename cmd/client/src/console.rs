//! What a person or a script sees of an agent: the URL on stdout, everything else on stderr.
//!
//! Status lines answer three questions: what happened, on which hop, and what comes next or can be done. With the JSON
//! format they are events of the log instead, so that stderr has one kind of line.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use agent::{Event, Outcome, PoolChange, PoolSize, Report};
use messages::{Granted, Reset, ResetCode};
use runtime::logging::{Lines, LogFormat};

use crate::args::Http;
use crate::settings::Settings;

/// Shows an agent's events.
pub(crate) struct Console {
    /// Hide what is not trouble.
    quiet: bool,
    json: bool,
    server: String,
    target: String,
    /// The URL that is on stdout, once there is one.
    url: Mutex<Option<String>>,
    lines: Lines,
}

impl Console {
    pub(crate) fn new(http: &Http, settings: &Settings, lines: Lines) -> Self {
        Self {
            quiet: http.quiet,
            json: settings.log_format == LogFormat::Json,
            server: settings.server.to_string(),
            target: http.target.to_string(),
            url: Mutex::new(None),
            lines,
        }
    }

    /// Says something that is worth knowing, however quiet.
    pub(crate) fn note(&self, text: &str) {
        if self.json {
            tracing::warn!("{text}");
        } else {
            self.lines.line(&text);
        }
    }

    /// Shows one event.
    pub(crate) fn tell(&self, event: Event) {
        match event {
            Event::Registered(granted) => self.registered(&granted),
            Event::Lost { why } => self.note(&format!("connection lost: {why}")),
            Event::Retrying {
                why: Some(why),
                wait,
            } => {
                self.note(&format!("{why}; trying again in {}", Time(wait)));
            }
            Event::Retrying {
                why: None,
                wait: Duration::ZERO,
            } => self.note(&format!("connecting to {} again", self.server)),
            Event::Retrying { why: None, wait } => {
                self.note(&format!(
                    "connecting to {} again in {}",
                    self.server,
                    Time(wait)
                ));
            }
            Event::Pool { change, size } => self.pool(&change, size),
            Event::Leaving { in_flight: 0 } => self.status("stopping"),
            Event::Leaving { in_flight } => {
                self.status(&format!(
                    "stopping when {in_flight} running request(s) have ended"
                ));
            }
            Event::Exchange(report) => self.exchange(&report),
            Event::Notice(notice) => self.note(&format!("the server says: {}", notice.message)),
            Event::SelfCheck(found) => self.note(&found.to_string()),
            // Said by what comes of it.
            _ => {}
        }
    }

    fn registered(&self, granted: &Granted) {
        let mut shown = self.url.lock().unwrap_or_else(PoisonError::into_inner);
        let (server, target, url) = (&self.server, &self.target, &granted.url);
        match shown.as_deref() {
            None => {
                // Nobody may be reading; that is no reason to stop serving.
                writeln!(io::stdout(), "{url}")
                    .and_then(|()| io::stdout().flush())
                    .ok();
                self.status(&format!(
                    "connected to {server}; visitors of {url} now reach {target}"
                ));
            }
            Some(same) if same == url => {
                self.note(&format!(
                    "connected to {server} again; visitors of {url} reach {target}"
                ));
            }
            Some(_) => self.note(&format!(
                "connected to {server} again, which publishes at {url} now"
            )),
        }
        *shown = Some(url.clone());
    }

    /// One link of several is a detail: the hostname works all the time.
    fn pool(&self, change: &PoolChange, size: PoolSize) {
        if self.json {
            let PoolSize {
                links,
                nodes,
                wanted,
            } = size;
            match change {
                PoolChange::Up => tracing::info!(links, nodes, wanted, "a further link is up"),
                PoolChange::Moved => tracing::info!(links, nodes, wanted, "a link has moved"),
                PoolChange::Renewed => {
                    tracing::info!(links, nodes, wanted, "a link was made anew");
                }
                PoolChange::Lost { why } => {
                    tracing::info!(links, nodes, wanted, why, "one of several links was lost");
                }
            }
        } else if let Some(line) = pool_line(change, size) {
            self.status(&line);
        }
    }

    fn status(&self, text: &str) {
        if self.json {
            tracing::info!("{text}");
        } else if !self.quiet {
            self.lines.line(&text);
        }
    }

    fn exchange(&self, report: &Report) {
        if self.json {
            log(report);
        } else if !self.quiet {
            self.lines.line(&Request {
                report,
                target: &self.target,
            });
        }
    }
}

/// What has become of several links, for people. Nothing while more of them are still to come up.
fn pool_line(change: &PoolChange, size: PoolSize) -> Option<String> {
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

/// One request as a line of the log.
fn log(report: &Report) {
    let failure = match &report.outcome {
        Outcome::Answered => None,
        Outcome::Failed(reset) | Outcome::Cut(reset) => Some(reset.to_string()),
    };
    tracing::info!(
        request = %report.request_id,
        method = report.method.as_str(),
        path = report.path,
        status = report.status.map(|status| status.as_u16()),
        ms = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
        failure,
        "request"
    );
}

/// One request for people: `GET /path 200 12ms`, and what went wrong with it, with the id to find it by.
struct Request<'a> {
    report: &'a Report,
    target: &'a str,
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
struct Time(Duration);

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
    fn a_servers_words_cannot_paint_on_the_terminal() {
        assert_eq!(
            cut(&Reset::new(ResetCode::Stalled, "\u{1b}[2J")),
            "the server cut it: stalled: \u{fffd}[2J"
        );
    }
}
