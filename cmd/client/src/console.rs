//! What a person or a script sees of an agent: the URL on stdout, everything else on stderr.
//!
//! Status lines answer three questions: what happened, on which hop, and what comes next or can be done. With the JSON
//! format they are events of the log instead, so that stderr has one kind of line.

mod lines;
mod notices;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use agent::{Event, Outcome, PoolChange, PoolSize, Report, SelfCheck, Via};
use messages::{Granted, Notice};
use runtime::logging::{Lines, LogFormat};
use tokio::time::Instant;

use self::lines::{Request, Time, limits, pool_line};
use self::notices::Notices;

use crate::args::OutputFlags;
use crate::settings::Settings;

/// Shows an agent's events.
pub(crate) struct Console {
    /// Hide what is not trouble.
    quiet: bool,
    /// Show limits.
    verbose: bool,
    json: bool,
    /// The name of a tunnel of several.
    tunnel: Option<String>,
    server: String,
    target: Mutex<String>,
    /// The URL that is on stdout, once there is one.
    url: Mutex<Option<String>>,
    /// What links are made over, once there is one.
    via: Mutex<Option<Via>>,
    notices: Mutex<Notices>,
    /// What paths must not show.
    hidden: OnceLock<String>,
    lines: Lines,
}

impl Console {
    /// A console for a tunnel to `target`, by the name that lines call it.
    pub(crate) fn new(
        output: &OutputFlags,
        settings: &Settings,
        target: String,
        lines: Lines,
    ) -> Self {
        Self {
            quiet: output.quiet,
            verbose: output.verbose > 0,
            json: settings.log_format == LogFormat::Json,
            tunnel: None,
            server: settings.server.to_string(),
            target: Mutex::new(target),
            url: Mutex::new(None),
            via: Mutex::new(None),
            notices: Mutex::default(),
            hidden: OnceLock::new(),
            lines,
        }
    }

    /// The same, for one tunnel of several: its lines begin with its name.
    pub(crate) fn of_tunnel(mut self, name: &str) -> Self {
        self.tunnel = Some(name.to_owned());
        self
    }

    /// The target is another from now on.
    pub(crate) fn retarget(&self, target: String) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    fn target(&self) -> String {
        self.target
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says something that is worth knowing, however quiet.
    pub(crate) fn note(&self, text: &str) {
        if self.json {
            tracing::warn!(tunnel = self.tunnel, "{text}");
        } else {
            self.line(&text);
        }
    }

    fn line(&self, text: &dyn Display) {
        match &self.tunnel {
            Some(name) => self.lines.line(&format_args!("{name}: {text}")),
            None => self.lines.line(text),
        }
    }

    /// A line on stdout.
    fn print(&self, url: &str) {
        match &self.tunnel {
            Some(name) => print(&format!("{name} {url}")),
            None => print(url),
        }
    }

    /// Keeps a secret that is a segment of paths out of all lines from now on. One secret at most.
    pub(crate) fn hide(&self, secret: &str) {
        self.hidden.set(format!("/{secret}/")).ok();
    }

    /// Shows the URL of a service that listens on this machine.
    pub(crate) fn listening(&self, url: &str) {
        self.print(url);
        self.status(&format!("{} listens at {url}", self.target()));
    }

    /// Says what people like to see when all is well.
    pub(crate) fn status(&self, text: &str) {
        if self.json {
            tracing::info!(tunnel = self.tunnel, "{text}");
        } else if !self.quiet {
            self.line(&text);
        }
    }

    /// Shows one event.
    pub(crate) fn tell(&self, event: Event) {
        match event {
            Event::Via(via) => self.carried(via),
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
            Event::Exchange(report) => self.exchange(report),
            Event::Notice(notice) => self.notice(&notice),
            Event::SelfCheck(found) => self.self_check(&found),
            // Said by what comes of it.
            _ => {}
        }
    }

    /// The first time it is said with the URL.
    fn carried(&self, via: Via) {
        let mut latest = self.via.lock().unwrap_or_else(PoisonError::into_inner);
        let before = latest.replace(via);
        if self.json {
            tracing::info!(transport = via.as_str(), "links are made {via}");
        } else if before.is_some() {
            self.status(&format!("links are made {via} now"));
        }
    }

    fn registered(&self, granted: &Granted) {
        let via = *self.via.lock().unwrap_or_else(PoisonError::into_inner);
        let via = via.map(|via| format!(" {via}")).unwrap_or_default();
        let mut shown = self.url.lock().unwrap_or_else(PoisonError::into_inner);
        let (server, target, url) = (&self.server, self.target(), &granted.url);
        match shown.as_deref() {
            None => {
                self.print(url);
                self.status(&format!(
                    "connected to {server}{via}; visitors of {url} now reach {target}"
                ));
            }
            Some(same) if same == url => {
                self.note(&format!(
                    "connected to {server} again{via}; visitors of {url} reach {target}"
                ));
            }
            Some(_) => self.note(&format!(
                "connected to {server} again{via}, which publishes at {url} now"
            )),
        }
        *shown = Some(url.clone());
        if self.verbose {
            self.status(&limits(&granted.limits));
        }
    }

    fn notice(&self, notice: &Notice) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.pass(&notice.code, Instant::now()) {
            self.note(&format!("a limit was reached: {}", notice.message));
        }
    }

    /// Bad news is worth knowing however quiet; good news is what everybody expects.
    fn self_check(&self, found: &SelfCheck) {
        match found {
            SelfCheck::Reachable | SelfCheck::Guarded { .. } => {
                self.status(&format!("self-check: {found}"));
            }
            SelfCheck::Unreachable { .. } => {
                self.note(&format!("self-check: {found}; connecting anew"));
            }
        }
    }

    /// One link of several is a detail: the hostname works all the time.
    fn pool(&self, change: &PoolChange, size: PoolSize) {
        if self.json {
            let PoolSize {
                links,
                nodes,
                wanted,
            } = size;
            let tunnel = &self.tunnel;
            match change {
                PoolChange::Up => {
                    tracing::info!(tunnel, links, nodes, wanted, "a further link is up");
                }
                PoolChange::Moved => {
                    tracing::info!(tunnel, links, nodes, wanted, "a link has moved");
                }
                PoolChange::Renewed => {
                    tracing::info!(tunnel, links, nodes, wanted, "a link was made anew");
                }
                PoolChange::Lost { why } => {
                    tracing::info!(
                        tunnel,
                        links,
                        nodes,
                        wanted,
                        why,
                        "one of several links was lost"
                    );
                }
            }
        } else if let Some(line) = pool_line(change, size) {
            self.status(&line);
        }
    }

    fn exchange(&self, mut report: Report) {
        if let Some(hidden) = self.hidden.get() {
            report.path = report.path.replacen(hidden, "/***/", 1);
        }
        let report = &report;
        if self.json {
            log(self.tunnel.as_deref(), report);
        } else if !self.quiet {
            self.line(&Request {
                report,
                target: &self.target(),
            });
        }
    }
}

/// A line on stdout. Nobody may be reading; that is no reason to stop serving.
fn print(url: &str) {
    writeln!(io::stdout(), "{url}")
        .and_then(|()| io::stdout().flush())
        .ok();
}

/// One request as a line of the log.
fn log(tunnel: Option<&str>, report: &Report) {
    let failure = match &report.outcome {
        Outcome::Answered => None,
        Outcome::Failed(reset) | Outcome::Cut(reset) => Some(reset.to_string()),
    };
    tracing::info!(
        tunnel,
        request = %report.request_id,
        method = report.method.as_str(),
        path = report.path,
        status = report.status.map(|status| status.as_u16()),
        ms = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
        failure,
        "request"
    );
}
