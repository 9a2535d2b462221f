//! Who is kept out, and by which rule.

use std::num::NonZeroU32;

use adit_uplink::{AdmissionMode, Rules, Token};
use bus::{Nack, Route};
use identity::{Mode, SecretKey, sign_registration};
use messages::{Cors, Frame, Policy, PolicyId, RefusalCode, Secret};
use tunnel::handshake::Registration;

use super::{assert_refused, house, keys_file};
use crate::house::{House, claims, request, settle, wish};

fn with_token(token: &str) -> Registration {
    Registration {
        token: Some(Secret::new(token)),
        ..wish([1; 16])
    }
}

fn with_policy(policy: Policy) -> Registration {
    Registration {
        policy: Some(policy),
        ..wish([1; 16])
    }
}

fn cors() -> Policy {
    Policy {
        cors: Some(Cors {
            origins: vec!["*".to_owned()],
            ..Cors::default()
        }),
        ..Policy::default()
    }
}

#[tokio::test(start_paused = true)]
async fn only_listed_keys_come_in_where_the_operator_says_so() {
    let (listed, stranger) = (SecretKey::generate(), SecretKey::generate());
    let house = house(Rules {
        mode: AdmissionMode::Listed,
        ..keys_file("KEY laptop", &listed)
    });
    house.connect().register(&listed, [1; 16]).await.unwrap();
    let result = house.connect().register(&stranger, [1; 16]).await;
    let label = stranger.public().label(None);
    assert_refused(result, &RefusalCode::NotAllowed, &label);
}

#[tokio::test(start_paused = true)]
async fn a_denied_key_stays_out_however_often_it_rotates() {
    let denied = SecretKey::generate();
    let house = house(keys_file("deny KEY", &denied));
    let heir = denied.rotate("adit.example", 1).unwrap();
    for key in [&denied, &heir] {
        let result = house.connect().register(key, [1; 16]).await;
        assert_refused(result, &RefusalCode::NotAllowed, "denied this key");
    }
    let other = SecretKey::generate();
    house.connect().register(&other, [1; 16]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_knows_one_of_the_tokens_comes_in() {
    let tokens = vec![Token::generate(), Token::generate()];
    let key = SecretKey::generate();
    let house = house(Rules {
        tokens: tokens.clone(),
        ..Rules::default()
    });
    for token in &tokens {
        let wish = with_token(token.expose());
        let mut agent = house.connect();
        agent.register_as(&key, &wish).await.unwrap();
    }
    let result = house.connect().register(&key, [1; 16]).await;
    assert_refused(result, &RefusalCode::TokenRequired, "give it with --token");
    let wrong = with_token("not-the-token-of-this-server");
    let result = house.connect().register_as(&key, &wrong).await;
    assert_refused(
        result,
        &RefusalCode::TokenRequired,
        "not valid on this server",
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_breaks_a_rule_or_the_ceiling_is_refused_with_its_field() {
    let mut rules = Rules::default();
    rules.ceiling.forbid("cors").unwrap();
    let house = house(rules);
    let key = SecretKey::generate();
    let result = house
        .connect()
        .register_as(&key, &with_policy(cors()))
        .await;
    assert_refused(result, &RefusalCode::PolicyRefused, "policy.cors: ");

    for (policy, said) in [
        (r#"{"robots":"none"}"#, "robots"),
        (r#"{"strip_prefix":"api"}"#, "policy.strip_prefix: "),
        ("[]", "policy.policy: "),
    ] {
        let mut agent = house.connect();
        let mut claims = claims(&agent.hear_hello().await);
        claims.policy = Some(serde_json::from_str(policy).unwrap());
        let signed = sign_registration(&key, &claims);
        agent.say(Frame::registration_request(signed.into())).await;
        let refused = agent.hear_refusal().await;
        assert_eq!(refused.code, RefusalCode::PolicyRefused);
        assert!(refused.message.contains(said), "{}", refused.message);
    }
    let fine = Policy {
        compress: true,
        ..Policy::default()
    };
    house
        .connect()
        .register_as(&key, &with_policy(fine))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_announced_and_an_exchange_that_was_routed_by_another_is_stale() {
    let mut house = House::new();
    let key = SecretKey::generate();
    let tunnel = key.tunnel_id(None);
    let mut agent = house.connect();
    let granted = agent.register_as(&key, &with_policy(cors())).await.unwrap();
    let route = house.route(&key, granted.generation);
    assert_eq!(
        house.node.directory.policy(tunnel, route.policy),
        Some(cors().to_json())
    );

    let without = Route {
        policy: PolicyId::NONE,
        ..route
    };
    let exchange = house.open(tunnel, without, request(true));
    assert_eq!(house.told_nack(exchange).await, Nack::Stale);
    let exchange = house.open(tunnel, route, request(true));
    house.told_accepted(exchange).await;
    agent.hear_request().await;
}

#[tokio::test(start_paused = true)]
async fn links_of_one_key_are_limited_and_its_own_line_goes_before_the_rule_for_all() {
    let (many, few) = (SecretKey::generate(), SecretKey::generate());
    let house = house(Rules {
        max_links_per_key: NonZeroU32::new(1),
        ..keys_file("max-links=2 KEY", &many)
    });
    for (key, most) in [(&few, 1), (&many, 2)] {
        let shared = Registration {
            mode: Mode::Shared,
            ..wish([1; 16])
        };
        let mut agents = Vec::new();
        for _ in 0..most {
            let mut agent = house.connect();
            let granted = agent.register_as(key, &shared).await.unwrap();
            assert_eq!(granted.limits.max_links, Some(most));
            agents.push(agent);
        }
        let result = house.connect().register_as(key, &shared).await;
        let said = format!("as the key may have there ({most})");
        assert_refused(result, &RefusalCode::TooManyLinks, &said);
        agents.clear();
        settle().await;
        house.connect().register_as(key, &shared).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_again_takes_its_place_over_at_the_limit() {
    let house = house(Rules {
        max_links_per_key: NonZeroU32::new(1),
        ..Rules::default()
    });
    let key = SecretKey::generate();
    let mut gone_without_a_word = house.connect();
    gone_without_a_word.register(&key, [1; 16]).await.unwrap();
    house.connect().register(&key, [2; 16]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_agent_has_no_notices_for_a_server() {
    let house = House::new();
    let (mut agent, _) = house.agent(&SecretKey::generate()).await;
    let notice = messages::Notice {
        code: messages::NoticeCode::LinkRate,
        message: "you are slow".to_owned(),
    };
    agent.say(notice.encode()).await;
    let last = agent.hear_disconnect().await;
    assert_eq!(last.code, messages::DisconnectCode::Protocol);
}
