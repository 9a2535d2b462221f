//! Who holds a name, fleet-wide.

use std::{sync::Arc, time::Duration};

use agent::AgentError;
use identity::{Mode, SecretKey};
use testkit::{
    cluster::Cluster,
    fault::FaultProxy,
    process::{Agent, Program, binary},
    redis::Redis,
};

use crate::{
    service::Service,
    stage::{ONE_LINK, Stage, gets, links, within},
};

/// Reconnect within 1 s, and one refresh interval of 2 s.
const REFRESHED: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_newer_session_on_another_node_has_the_name_everywhere_and_the_old_agent_stops() {
    let stage = Stage::of(3).await;
    let mut old = stage.agent_at(0).await;
    for node in [0, 1, 2] {
        let visitor = stage.fleet.visitor_of(node, &old);
        assert_eq!(visitor.get("/").await.text(), "service");
    }
    let new = Service::named("new").await;
    let addr = stage.fleet.addr_of(1);
    let agent = Agent::dial(addr, &new.port(), &stage.key, ONE_LINK).await;
    for node in [0, 1, 2] {
        let visitor = stage.fleet.visitor_of(node, &agent);
        gets(&visitor, "new", Duration::from_secs(1)).await;
    }
    assert_eq!(old.program.ended().await.code(), Some(4));
}

#[tokio::test]
async fn a_takeover_whose_notice_is_lost_holds_within_one_refresh() {
    let redis = Redis::fresh().await;
    let cluster = Cluster::over_redis(2, &redis).await;
    let (old, new) = (Service::named("old").await, Service::named("new").await);
    let key = Arc::new(SecretKey::generate());
    let holder = cluster.node(0).agent().with_key(&key);
    let mut holder = holder.publishing(&old.origin).await;
    let way = cluster.node(0).redis();
    way.refuse().await;
    way.cut();
    let taker = cluster.node(1).agent().with_key(&key);
    let taker = taker.publishing(&new.origin).await;
    let (there, here) = (
        cluster.node(0).visitor(&taker),
        cluster.node(1).visitor(&taker),
    );
    assert_eq!(here.get("/").await.text(), "new");
    assert_eq!(there.get("/").await.text(), "old", "it could not know");
    way.accept().await;
    gets(&there, "new", REFRESHED).await;
    let ended = holder.ended().await;
    assert!(matches!(ended, Err(AgentError::Replaced)), "{ended:?}");
}

#[tokio::test]
async fn shared_sessions_on_different_nodes_pool_and_a_newer_exclusive_one_replaces_all() {
    let redis = Redis::fresh().await;
    let cluster = Cluster::over_redis(3, &redis).await;
    let key = Arc::new(SecretKey::generate());
    let mut services = Vec::new();
    let mut agents = Vec::new();
    for node in [0, 1] {
        let service = Service::named("shared").await;
        let mut agent = cluster.node(node).agent().with_key(&key);
        agent.config.mode = Mode::Shared;
        agents.push(agent.publishing(&service.origin).await);
        services.push(service);
    }
    let visitor = cluster.node(2).visitor(&agents[0]);
    let both = async || {
        visitor.get("/").await;
        services.iter().all(|service| service.asked("GET /") > 0)
    };
    within(Duration::from_secs(4), "both are asked", both).await;

    agents.pop().unwrap().stop().await;
    for _ in 0..10 {
        assert_eq!(visitor.get("/").await.text(), "shared");
    }

    let alone = Service::named("alone").await;
    let exclusive = cluster.node(2).agent().with_key(&key);
    let _exclusive = exclusive.publishing(&alone.origin).await;
    gets(&visitor, "alone", Duration::from_secs(1)).await;
    let ended = agents[0].ended().await;
    assert!(matches!(ended, Err(AgentError::Replaced)), "{ended:?}");
}

#[tokio::test]
async fn two_replicas_that_fight_for_a_name_are_told_so() {
    let stage = Stage::of(2).await;
    let mut holder = stage.agent_at(0).await;
    for takeover in 1..=5 {
        let newcomer = stage.agent_at(takeover % 2).await;
        assert_eq!(holder.program.ended().await.code(), Some(4));
        holder = newcomer;
    }
    let (port, server) = (stage.service.port(), stage.fleet.node(0));
    let args = Agent::args(server, &port, &stage.key.path(), &["--no-retry"]);
    let mut sixth = Program::start(binary("adit"), args);
    assert_eq!(sixth.ended().await.code(), Some(1));
    assert!(sixth.said("contended") > 0, "{:?}", sixth.output());
    let visitor = stage.fleet.visitor_of(1, &holder);
    assert_eq!(visitor.get("/").await.text(), "service");
}

#[tokio::test]
async fn a_returning_half_open_agent_is_older_also_after_redis_forgot_everything() {
    let stage = Stage::of(2).await;
    let way = FaultProxy::to(stage.fleet.addr_of(0)).await;
    let mut old = stage.agent_by(way.addr(), ONE_LINK).await;
    way.stall();
    let new = Service::named("new").await;
    let addr = stage.fleet.addr_of(1);
    let mut agent = Agent::dial(addr, &new.port(), &stage.key, ONE_LINK).await;
    stage.fleet.redis.flush().await;
    way.resume();
    assert_eq!(old.program.ended().await.code(), Some(4));
    let told = async || links(&stage.fleet.redis).await == 1;
    within(REFRESHED, "Redis is told again", told).await;
    for node in [0, 1] {
        let visitor = stage.fleet.visitor_of(node, &agent);
        gets(&visitor, "new", REFRESHED).await;
    }
    // And a newer one is newer.
    let newest = stage.agent_at(0).await;
    assert_eq!(agent.program.ended().await.code(), Some(4));
    for node in [0, 1] {
        let visitor = stage.fleet.visitor_of(node, &newest);
        gets(&visitor, "service", Duration::from_secs(1)).await;
    }
}
