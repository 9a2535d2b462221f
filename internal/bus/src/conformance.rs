//! The law of the bus: one named check for each rule, run against any backend.
//!
//! A backend's test implements [`Backend`] (how to put a node into a fleet, how to pull its plug, how to let time pass)
//! and calls [`run`]. The checks need no clean store: tunnels, nodes and keys are random, and each check's nodes leave
//! when it is over. Where a rule reaches other nodes the checks allow the backend some time, passed by
//! [`Backend::advance`]; what they never allow is a wrong state in between.
//!
//! Checks speak by assertion; [`run`] collects what they say, so that one broken rule does not hide the next.

mod claims;
mod delivery;
mod owners;
mod pins;
mod policies;
mod routes;
mod stage;
mod values;

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, BoxFuture, LocalBoxFuture};
use futures_util::{FutureExt, StreamExt, stream};
use messages::NodeId;

use self::stage::Stage;
use crate::{Inbox, Node};

/// A backend under test.
pub trait Backend: Send + Sync {
    /// The backend's name in reports.
    fn name(&self) -> &str;

    /// Puts a node into the fleet. All nodes of one backend reach each other.
    fn join(&self, node: NodeId, inbox: Arc<dyn Inbox>) -> BoxFuture<'_, Node>;

    /// Ends a node as SIGKILL would: it says nothing to anybody and keeps no lease.
    fn crash<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, ()>;

    /// Lets time pass, for this process and for the store: by a paused clock, or by waiting.
    fn advance(&self, by: Duration) -> BoxFuture<'_, ()>;

    /// How many checks may run at the same time: where waiting is real, waiting together saves time.
    fn at_once(&self) -> usize {
        1
    }

    /// How long the minute lasts over which takeovers are counted. A backend whose time is real may count over less.
    fn minute(&self) -> Duration {
        Duration::from_mins(1)
    }

    /// How long a node is taken to live without renewing.
    fn lease(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Loses the next that goes from one node to another, on the way. False where nothing can be lost.
    fn lose_next(&self, _from: &Node, _to: NodeId) -> bool {
        false
    }

    /// Loses what a node tells others of takeovers from now on. False where nothing can be lost.
    fn lose_notices(&self, _from: &Node) -> bool {
        false
    }
}

/// One rule of the bus.
#[derive(Clone, Copy)]
pub struct Check {
    /// The rule, as a sentence in snake case.
    pub name: &'static str,
    run: for<'a> fn(&'a Stage<'a>) -> LocalBoxFuture<'a, ()>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Names each check after its function; a function that is not listed is dead code, which the compiler reports.
macro_rules! checks {
    ($($module:ident { $($check:ident),+ $(,)? })+) => {
        &[$($(Check {
            name: stringify!($check),
            run: |stage| Box::pin($module::$check(stage)),
        }),+),+]
    };
}

/// All rules, in the order in which a new backend will want to meet them.
pub const CHECKS: &[Check] = checks! {
    delivery {
        an_envelope_to_the_own_node_is_there_when_send_returns,
        an_envelope_arrives_whole_whatever_it_says,
        the_largest_frame_fits,
        order_is_kept_between_two_nodes,
        an_inbox_may_send_while_it_takes_a_delivery,
        a_node_nobody_knows_is_an_error,
        a_crashed_peer_is_reported_lost,
        a_peer_that_leaves_is_reported_lost,
        a_node_that_left_does_nothing_more,
        a_lost_envelope_is_a_gap_on_both_sides,
        a_lost_last_envelope_is_a_gap_on_both_sides,
        a_gap_concerns_one_pair_alone,
        a_flood_arrives_whole_and_in_order,
    }
    routes {
        an_announced_link_is_found_everywhere_until_withdrawn,
        a_lookup_of_nothing_is_an_empty_answer,
        tunnels_do_not_mix,
        announcing_again_adds_nothing,
        a_late_announce_never_undoes_a_withdraw,
        a_withdraw_that_overtakes_its_announce_wins,
        a_late_withdraw_never_undoes_an_announce,
        local_shows_only_own_links,
        draining_routes_come_last_and_are_used_only_alone,
        a_link_announced_while_draining_is_draining,
        a_node_that_leaves_takes_its_routes_along,
        a_node_that_crashes_loses_its_routes,
        renewed_routes_stay,
        a_node_that_joins_is_counted,
    }
    claims {
        generations_strictly_rise,
        a_generation_outlives_its_links,
        a_session_keeps_its_generation,
        a_session_never_draws_anew,
        a_session_brings_its_generation_to_an_empty_store,
        links_of_one_session_pool,
        a_takeover_tells_the_loser_once_for_each_link,
        a_loser_is_told_though_the_notice_is_lost,
        a_lower_generation_is_replaced,
        a_replaced_session_cannot_draw_its_way_back,
        more_than_five_takeovers_a_minute_are_contended,
        shared_sessions_pool,
        an_older_shared_session_adds_links,
        a_shared_session_meets_an_exclusive_one,
        a_newer_exclusive_session_replaces_the_pool,
        an_implausible_generation_holds_no_name_for_ever,
    }
    owners {
        a_name_is_its_owners_while_a_link_of_it_lives,
        a_name_is_free_when_its_owner_has_left,
        a_name_is_free_when_its_owners_node_is_dead,
        an_owner_that_comes_back_is_not_replaced_by_another,
        a_pool_that_comes_back_is_not_replaced_by_another,
        a_session_of_one_owner_is_nothing_to_another,
        takeovers_of_one_owner_are_not_held_against_another,
        an_owner_takes_over_from_itself,
    }
    policies {
        a_route_names_its_policy_and_its_text_is_found,
        a_tunnel_without_rules_needs_no_text,
        links_of_one_name_may_have_different_policies,
        a_newer_session_brings_its_policy,
        a_policy_stays_while_any_link_names_it,
        a_policy_that_does_not_fit_its_text_is_refused,
    }
    pins {
        a_pin_is_known_everywhere,
        a_name_that_never_rotated_needs_no_pin,
        names_are_pinned_apart,
        a_pin_outlives_its_node,
        of_two_that_rotate_at_once_one_is_pinned,
        sequences_are_compared_as_numbers,
        a_node_that_left_pins_nothing,
    }
    values {
        a_value_is_taken_once_by_any_node,
        of_all_who_ask_one_gets_the_value,
        a_value_expires,
        a_second_value_replaces_the_first,
        a_value_too_large_is_refused,
    }
};

/// Runs every check, as many at the same time as the backend allows.
///
/// # Panics
/// When a rule is broken, after all were tried, naming each broken rule and what it said.
pub async fn run(backend: &dyn Backend) {
    let checks = stream::iter(CHECKS).map(|check| async move {
        let outcome = run_one(backend, check).await;
        outcome
            .err()
            .map(|said| format!("  {}: {said}", check.name))
    });
    let outcomes = checks.buffered(backend.at_once());
    let broken: Vec<String> = outcomes.filter_map(future::ready).collect().await;
    assert!(
        broken.is_empty(),
        "{} of {} rules are broken by {}:\n{}",
        broken.len(),
        CHECKS.len(),
        backend.name(),
        broken.join("\n")
    );
}

async fn run_one(backend: &dyn Backend, check: &Check) -> Result<(), String> {
    let stage = Stage::new(backend);
    let outcome = AssertUnwindSafe((check.run)(&stage)).catch_unwind().await;
    stage.clear().await;
    outcome.map_err(|panic| words_of(panic.as_ref()))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked without words").to_owned()
}
