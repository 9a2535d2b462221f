//! Which links are offered a request, where those of one tunnel have different
//! rules.

use bus::{LinkId, Mode};
use http::StatusCode;

use crate::house::House;

const CLOSED: &str = r#"{"deny_ips":["127.0.0.1"]}"#;

#[tokio::test]
async fn the_newest_link_decides_and_only_links_with_its_rules_are_asked() {
    let house = House::empty().await;
    house.join(1, Mode::Shared, CLOSED).await;
    house.join(2, Mode::Shared, r#"{"no_robots":true}"#).await;
    house.join(3, Mode::Shared, CLOSED).await;
    house.join(4, Mode::Shared, r#"{"no_robots":true}"#).await;
    for _ in 0..8 {
        let answer = house.get("/", &[]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["x-robots-tag"], "noindex, nofollow");
    }
    let asked = house.agent.links();
    assert!(
        asked.iter().all(|link| [2, 4].contains(&link.0)),
        "{asked:?}"
    );
    assert!(
        asked.contains(&LinkId(2)) && asked.contains(&LinkId(4)),
        "{asked:?}"
    );
    house.join(5, Mode::Shared, CLOSED).await;
    assert_eq!(house.get("/", &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_request_treated_by_old_rules_is_not_offered_to_a_link_with_new_ones() {
    let house = House::with("{}").await;
    // The link goes while the request is on its way, and comes back with rules.
    house
        .agent
        .returns_with(House::announcement(2, Mode::Exclusive, CLOSED));
    let refused = house.get("/", &[]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.error(), "policy-unavailable");
    assert!(house.agent.asked().is_empty());
    assert_eq!(house.get("/", &[]).await.status, StatusCode::FORBIDDEN);
}
