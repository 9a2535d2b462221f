//! How far the chains of rotations have come, as Redis keeps it and as far as this node has heard.
//!
//! Redis decides. What it has said this node remembers, for two times: while Redis cannot be asked, and when Redis has
//! lost it. A pin that Redis does not know, or may have lost, is *owed*: it is told first when its name is asked for
//! again, and otherwise soon.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use messages::TunnelId;

use super::error::StoreError;
use super::locked;
use super::scripts;
use super::session::Session;
use super::shared::Shared;
use crate::PinError;
use crate::law::Pin;

/// How many names a node remembers, those heard of first forgotten first; each takes some 200 bytes.
const MAX_PINS: usize = 64 * 1024;

/// How many owed pins are told in one go.
const CHUNK: usize = 64;

type Name = [u8; 32];

/// What this node has heard.
#[derive(Default)]
pub(super) struct Pins {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_name: HashMap<Name, Pin>,
    /// The same names, in the order in which they were heard of.
    order: VecDeque<Name>,
    owed: BTreeSet<Name>,
}

impl Pins {
    /// Nothing that Redis was told can be relied on any more.
    pub(super) fn owe_all(&self) {
        let mut state = self.state();
        state.owed = state.by_name.keys().copied().collect();
    }

    /// Decides by what this node has heard alone.
    fn check(&self, name: Name, pin: Pin) -> Result<(), PinError> {
        self.state().check(name, pin)
    }

    /// Decides without Redis, which is told later.
    fn decide(&self, name: Name, pin: Pin) -> Result<(), PinError> {
        let mut state = self.state();
        state.check(name, pin)?;
        if pin.sequence == 0 || state.by_name.get(&name) == Some(&pin) {
            return Ok(());
        }
        if !state.remember(name, pin) {
            return Err(PinError::Unavailable);
        }
        state.owed.insert(name);
        Ok(())
    }

    /// Takes in what Redis made of `told`: stored it, or knows another.
    fn settle(&self, name: Name, told: Pin, stored: Option<Pin>) -> Result<(), PinError> {
        let mut state = self.state();
        let truth = stored.unwrap_or(told);
        let known = state.by_name.get(&name);
        // What went further meanwhile is still owed.
        if known.is_none_or(|known| known.sequence <= truth.sequence) {
            state.owed.remove(&name);
            if truth.sequence > 0 {
                // Not to remember it costs only what is known during an outage.
                let _remembered = state.remember(name, truth);
            }
        }
        told.follows(&truth)
    }

    /// What Redis must hear of the name before `pin`: what it is owed, and what stands against `pin`, for Redis may know
    /// of something later.
    fn to_tell_before(&self, name: Name, pin: Pin) -> Option<Pin> {
        let state = self.state();
        let known = state.by_name.get(&name)?;
        let matters = state.owed.contains(&name) || pin.follows(known).is_err();
        matters.then_some(*known)
    }

    fn owed(&self, limit: usize) -> Vec<(Name, Pin)> {
        let state = self.state();
        let owed = state.owed.iter().take(limit);
        owed.filter_map(|name| Some((*name, *state.by_name.get(name)?)))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    fn check(&self, name: Name, pin: Pin) -> Result<(), PinError> {
        let known = self.by_name.get(&name);
        known.map_or(Ok(()), |known| pin.follows(known))
    }

    /// False when there is no room: the oldest is known to nobody else yet.
    fn remember(&mut self, name: Name, pin: Pin) -> bool {
        if let Some(known) = self.by_name.get_mut(&name) {
            *known = pin;
            return true;
        }
        if self.order.len() >= MAX_PINS {
            let oldest = self.order.front();
            if oldest.is_some_and(|oldest| self.owed.contains(oldest)) {
                return false;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.by_name.remove(&oldest);
            }
        }
        self.order.push_back(name);
        self.by_name.insert(name, pin);
        true
    }
}

impl Shared {
    pub(super) async fn pin(&self, name: Name, pin: Pin) -> Result<(), PinError> {
        if self.has_left() {
            return Err(PinError::Unavailable);
        }
        if let Some(session) = self.session.load_full() {
            match self.ask_pin(&session, name, pin).await {
                Ok(decided) => return decided,
                Err(error) => {
                    self.complain(&error);
                    // It answers, and not what it should: nobody knows what it has stored.
                    if matches!(error, StoreError::Refused(_)) {
                        return Err(PinError::Unavailable);
                    }
                }
            }
        }
        self.pins.decide(name, pin)
    }

    async fn ask_pin(
        &self,
        session: &Session,
        name: Name,
        pin: Pin,
    ) -> Result<Result<(), PinError>, StoreError> {
        if let Some(known) = self.pins.to_tell_before(name, pin) {
            self.tell_pins(session, &[(name, known)]).await?;
        }
        if let Err(known) = self.pins.check(name, pin) {
            return Ok(Err(known));
        }
        let told = self.run_pins(session, &[(name, pin)]).await.pop();
        let stored = told.unwrap_or_else(|| Err(StoreError::Down("no answer".to_owned())))?;
        Ok(self.pins.settle(name, pin, stored))
    }

    /// Tells Redis of every pin that it may not know.
    pub(super) async fn pin_owed(&self, session: &Session) -> Result<(), StoreError> {
        loop {
            let owed = self.pins.owed(CHUNK);
            if owed.is_empty() {
                return Ok(());
            }
            match self.tell_pins(session, &owed).await {
                // They stay owed.
                Err(error @ StoreError::Full) => {
                    self.complain(&error);
                    return Ok(());
                }
                told => told?,
            }
        }
    }

    async fn tell_pins(&self, session: &Session, owed: &[(Name, Pin)]) -> Result<(), StoreError> {
        let answers = self.run_pins(session, owed).await;
        for ((name, pin), stored) in owed.iter().zip(answers) {
            if let Err(error) = self.pins.settle(*name, *pin, stored?) {
                let name = TunnelId(*name);
                tracing::warn!(%name, %error, "a rotation was accepted that the fleet knows to be outdated");
            }
        }
        Ok(())
    }

    async fn run_pins(
        &self,
        session: &Session,
        pins: &[(Name, Pin)],
    ) -> Vec<Result<Option<Pin>, StoreError>> {
        let commands = pins.iter().map(|(name, pin)| {
            let key = self.names.pin(*name);
            let mut script = redis::cmd("EVALSHA");
            script.arg(&session.scripts().pin);
            scripts::pin(&mut script, &key, *pin);
            (key, script)
        });
        let answers = self.run_scripts(session, scripts::PIN, commands.collect());
        let answers = answers.await.into_iter();
        answers
            .map(|answer| answer.and_then(|answer| scripts::pinned(&answer)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
