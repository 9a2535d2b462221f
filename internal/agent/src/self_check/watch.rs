//! Asks again and again while the tunnel is up.

use std::sync::Arc;
use std::time::Duration;

use messages::Granted;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Ask;
use super::judge::Judge;
use crate::event::{Event, Events};

/// From a registration to the first question. Servers remember for a second that a tunnel was not there.
const SETTLE: Duration = Duration::from_secs(2);

/// Looks after the public URL of one agent.
pub(crate) struct Watch {
    /// What was granted, while there is a link.
    pub(crate) up: watch::Receiver<Option<Granted>>,
    pub(crate) ask: Ask,
    pub(crate) events: Events,
    /// Makes the links anew.
    pub(crate) renew: Arc<dyn Fn() + Send + Sync>,
}

impl Watch {
    /// Asks a moment after each registration and then every minute; never while there is no link. Ends when the agent is
    /// gone.
    pub(crate) async fn run(mut self) {
        let (mut judge, mut wait) = (Judge::default(), SETTLE);
        loop {
            let granted = match self.up.wait_for(Option::is_some).await {
                Ok(granted) => granted.clone().expect("it was waited for"),
                Err(_) => return,
            };
            let asking = async {
                sleep(wait).await;
                (self.ask)(granted).await
            };
            let verdict = tokio::select! {
                // What is asked now is of yesterday.
                changed = self.up.changed() => match changed {
                    Ok(()) => {
                        wait = SETTLE;
                        continue;
                    }
                    Err(_) => return,
                },
                verdict = asking => verdict,
            };
            let next = judge.hear(verdict);
            if let Some(found) = next.tell {
                self.events.tell(Event::SelfCheck(found));
            }
            if next.renew {
                (self.renew)();
            }
            wait = next.wait;
        }
    }
}
