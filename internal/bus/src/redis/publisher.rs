//! Sends what the pairs have to say: one batch a message, many messages under way, replies read when they come.
//!
//! No publish is awaited before the next one: that costs three times the requests each second (25,000 instead of
//! 80-93,000, measured with 64 connections). The publisher lets everybody else run once before it collects, so that
//! what many exchanges have to say to one node becomes one message.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, poll};
use redis::{Cmd, RedisResult, RedisWrite, Value};
use tokio::task::coop::unconstrained;

use super::error::StoreError;
use super::pairs::{Opening, Peer};
use super::session::Session;
use super::shared::Shared;
use super::wire::{self, Header};
use crate::Envelope;

/// How many bytes may be on their way to Redis without its reply. Beyond, envelopes wait in their pairs' queues.
const MAX_UNANSWERED: usize = 4 * 1024 * 1024;

/// What a message is counted as beside its envelopes.
const MESSAGE_COST: usize = 256;

/// How many messages are without their reply at most.
pub(super) const MOST_UNANSWERED: usize = MAX_UNANSWERED / MESSAGE_COST;

struct Reply {
    peer: Arc<Peer>,
    term: u64,
    cost: usize,
    openings: Vec<Opening>,
    receivers: RedisResult<Value>,
}

/// Publishes until the session ends. To be dropped then.
pub(super) async fn publish(shared: &Shared, session: &Session) {
    let mut replies: FuturesUnordered<BoxFuture<'static, Reply>> = FuturesUnordered::new();
    let mut unanswered = 0;
    loop {
        tokio::select! {
            Some(reply) = replies.next() => {
                unanswered -= reply.cost;
                take_reply(shared, session, reply);
            }
            () = shared.pairs.bell.notified(), if unanswered < MAX_UNANSWERED => {
                tokio::task::yield_now().await;
            }
        }
        while unanswered < MAX_UNANSWERED
            && let Some(peer) = shared.pairs.next_ready()
        {
            let Some((header, envelopes)) = next_message(shared, &peer) else {
                continue;
            };
            if header.batch && shared.faults.loses_batch(peer.node) {
                continue;
            }
            let command = command(session, &peer, &header, &envelopes);
            let cost = MESSAGE_COST + envelopes.iter().map(wire::cost).sum::<usize>();
            let openings = envelopes.iter().filter_map(Opening::of).collect();
            drop(envelopes);
            let mut connection = session.line(&peer.channel);
            let mut reply = async move {
                let receivers = connection.send_packed_command(&command).await;
                Reply {
                    peer,
                    term: header.term,
                    cost,
                    openings,
                    receivers,
                }
            }
            .boxed();
            unanswered += cost;
            // Polled here once, in order: that puts the command into the connection's queue, which has room for all that are
            // unanswered. Whether this turn of the task has sent much already must not matter: a command that waited for the
            // next turn could be overtaken by a later one, and the numbers would prove a loss that was none.
            match poll!(unconstrained(&mut reply)) {
                std::task::Poll::Ready(reply) => {
                    unanswered -= reply.cost;
                    take_reply(shared, session, reply);
                }
                std::task::Poll::Pending => replies.push(reply),
            }
        }
    }
}

fn next_message(shared: &Shared, peer: &Arc<Peer>) -> Option<(Header, Vec<Envelope>)> {
    let share = shared.pairs.share();
    let mut pair = peer.pair();
    let message = pair.next_message(shared.node, share);
    // To the end of the list: other nodes are served between two batches for this one.
    shared.pairs.schedule(peer, &mut pair);
    message
}

fn command(session: &Session, peer: &Peer, header: &Header, envelopes: &[Envelope]) -> Cmd {
    let channel = peer.channel.as_str();
    let len = wire::HEADER_LEN + envelopes.iter().map(wire::cost).sum::<usize>();
    let mut command = Cmd::with_capacity(3, len + channel.len() + 8);
    command.arg(publish_command(session)).arg(channel);
    {
        let mut message = command.bufmut_for_next_arg(len);
        header.encode(&mut message);
        for envelope in envelopes {
            wire::put_envelope(envelope, &mut message);
        }
    }
    command
}

/// The name of the command that publishes in this kind of server.
pub(super) fn publish_command(session: &Session) -> &'static str {
    if session.is_cluster() {
        "SPUBLISH"
    } else {
        "PUBLISH"
    }
}

/// No receivers is a certainty. An error is none: the message may have been delivered.
fn take_reply(shared: &Shared, session: &Session, reply: Reply) {
    let Reply {
        peer,
        term,
        openings,
        receivers,
        cost: _,
    } = reply;
    match receivers.and_then(Value::extract_error) {
        Ok(Value::Int(count)) => {
            let heard = u64::try_from(count).unwrap_or(0);
            if heard == 0 {
                shared.pairs.unheard(&peer, term, openings, &shared.door);
            }
        }
        Ok(_) => session.ending().end("a publish was answered by no number"),
        // Whatever it was, the numbers no longer fit what was said: all begins anew.
        Err(error) => session.ending().end(&StoreError::from(error).to_string()),
    }
}
