//! Putting claims and withdrawals to Redis, many at a time, and what they depend on: which other nodes live.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use messages::NodeId;
use redis::{Cmd, Value};

use super::error::StoreError;
use super::own::Withdrawal;
use super::scripts::{self, Claim, Verdict};
use super::session::Session;
use super::shared::Shared;
use crate::Unavailable;

/// How often a claim is decided anew because nodes had to be looked up first.
const MAX_ROUNDS: usize = 3;

impl Shared {
    /// Decides claims, looking up first which other nodes live where that matters.
    pub(super) async fn claim(
        &self,
        session: &Session,
        claims: Vec<Claim>,
    ) -> Vec<Result<Verdict, StoreError>> {
        let mut results: Vec<Result<Verdict, StoreError>> =
            vec![Ok(Verdict::Who(Vec::new())); claims.len()];
        let mut lives: HashMap<NodeId, bool> = HashMap::new();
        for _ in 0..MAX_ROUNDS {
            let open: Vec<(usize, Vec<NodeId>)> = results
                .iter()
                .enumerate()
                .filter_map(|(at, result)| match result {
                    Ok(Verdict::Who(nodes)) => Some((at, nodes.clone())),
                    _ => None,
                })
                .collect();
            if open.is_empty() {
                break;
            }
            let commands = open.iter().map(|(at, nodes)| {
                let nodes = nodes.iter();
                let lives: Vec<(NodeId, bool)> = nodes
                    .map(|node| (*node, lives.get(node).copied().unwrap_or(true)))
                    .collect();
                let mut script = redis::cmd("EVALSHA");
                script.arg(&session.scripts().announce);
                let claim = &claims[*at];
                scripts::announce(
                    &mut script,
                    &self.names,
                    self.node,
                    claim,
                    &self.timing,
                    &lives,
                );
                (self.names.links(claim.announcement.tunnel), script)
            });
            let answers = self
                .run_scripts(session, scripts::ANNOUNCE, commands.collect())
                .await;
            let mut who = BTreeSet::new();
            for ((at, _), answer) in open.iter().zip(answers) {
                let verdict = answer.and_then(|answer| scripts::verdict(&answer));
                if let Ok(Verdict::Who(nodes)) = &verdict {
                    who.extend(nodes.iter().map(|node| node.0));
                }
                results[*at] = verdict;
            }
            let who: Vec<NodeId> = who.into_iter().map(NodeId).collect();
            if who.is_empty() {
                continue;
            }
            match self
                .leases
                .of(session, &self.names, &who, Duration::ZERO)
                .await
            {
                Ok(living) => {
                    lives.extend(who.iter().map(|node| (*node, living.contains_key(node))));
                }
                Err(error) => {
                    let open = results.iter_mut();
                    let open = open.filter(|result| matches!(result, Ok(Verdict::Who(_))));
                    open.for_each(|result| *result = Err(error.clone()));
                }
            }
        }
        results
    }

    pub(super) async fn withdraw_all(
        &self,
        session: &Session,
        withdrawals: &[Withdrawal],
    ) -> Result<(), Unavailable> {
        let commands = withdrawals.iter().map(|withdrawal| {
            let Withdrawal {
                tunnel,
                link,
                version,
            } = *withdrawal;
            let mut script = redis::cmd("EVALSHA");
            script.arg(&session.scripts().withdraw);
            scripts::withdraw(&mut script, &self.names, self.node, (tunnel, link, version));
            (self.names.links(tunnel), script)
        });
        let answers = self
            .run_scripts(session, scripts::WITHDRAW, commands.collect())
            .await;
        let mut result = Ok(());
        for (withdrawal, answer) in withdrawals.iter().zip(answers) {
            if self.answered(answer).is_err() {
                self.own.owe(*withdrawal);
                result = Err(Unavailable);
            }
        }
        result
    }

    /// Runs calls of a loaded script, and of its text where the server has forgotten it.
    pub(super) async fn run_scripts(
        &self,
        session: &Session,
        source: &str,
        commands: Vec<(String, Cmd)>,
    ) -> Vec<Result<Value, StoreError>> {
        let mut answers = session.run_all(commands.clone()).await;
        let forgotten = |answer: &Result<Value, StoreError>| matches!(answer, Err(StoreError::Refused(why)) if why.contains("NOSCRIPT") || why.contains("NoScript"));
        if !answers.iter().any(forgotten) {
            return answers;
        }
        for (answer, (key, command)) in answers.iter_mut().zip(commands) {
            if forgotten(answer) {
                *answer = session.run(&key, with_source(&command, source)).await;
            }
        }
        answers
    }
}

/// The same call with the text of the script in place of its name.
fn with_source(call: &Cmd, source: &str) -> Cmd {
    let mut eval = redis::cmd("EVAL");
    eval.arg(source);
    for arg in call.args_iter().skip(2) {
        if let redis::Arg::Simple(arg) = arg {
            eval.arg(arg);
        }
    }
    eval
}
