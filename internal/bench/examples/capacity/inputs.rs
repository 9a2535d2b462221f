//! What was measured elsewhere: the table at the top of `docs/capacity.md`, to be replaced together with it.
//!
//! Redis 7.0.15 on one shared vCPU, real scripts, 100,000 records, CPU time of the server by its own `INFO cpu`.

/// µs of Redis for `announce.lua`, where the tunnel has no link on another node.
pub(crate) const ANNOUNCE: f64 = 21.0;

/// The same, beginning with the answer `who`: the tunnel has a link on another node. Twice the script, and a lease.
pub(crate) const ANNOUNCE_ASKING: f64 = 34.0;

/// µs for `withdraw.lua`.
pub(crate) const WITHDRAW: f64 = 16.0;

/// µs for `HGETALL` of a tunnel with two links, several in one read.
pub(crate) const HGETALL: f64 = 4.0;

/// µs for `HGETALL` of a tunnel that nobody serves, and for the other small commands.
pub(crate) const SMALL: f64 = 1.0;

/// µs for `HGET`, 256 in one read.
pub(crate) const HGET: f64 = 1.5;

/// µs for `GET`, several in one read.
pub(crate) const GET: f64 = 0.5;

/// µs for `PUBLISH` over TCP to one subscriber when the server is busy: several messages in one read, each to another
/// subscriber. 15 to 20 when each comes alone.
pub(crate) const PUBLISH: f64 = 9.5;

/// µs more for each KiB published.
pub(crate) const PUBLISH_KIB: f64 = 0.3;

/// µs of a node for a registration, from the upgrade to the grant.
pub(crate) const REGISTRATION: f64 = 500.0;

/// ms from a message's publisher to its subscriber and back, within one place.
pub(crate) const ROUND_TRIP_MS: f64 = 1.0;

/// ms one way between two regions.
pub(crate) const REGION_MS: f64 = 40.0;

/// How much of a Redis thread is to be planned for: beyond it, queues show in p99.
pub(crate) const PLANNED: f64 = 0.6;
