//! Rules that change while links are up.

use std::sync::Arc;

use adit_uplink::{AdmissionMode, Config, Rules, Token, TxtError, TxtResolver};
use futures_util::future::BoxFuture;
use identity::SecretKey;
use messages::{DisconnectCode, Policy, RefusalCode, Secret};
use tokio::sync::Notify;
use tunnel::handshake::Registration;

use super::{assert_refused, host, house, keys_file};
use crate::house::{Agent, DOMAIN, House, request, settle, wish};

async fn registered(house: &House, key: &SecretKey, wish: &Registration) -> Agent {
    let mut agent = house.connect();
    agent.register_as(key, wish).await.expect("it is granted");
    agent
}

/// The agent's last words say which rule it was.
async fn assert_cut(agent: &mut Agent, sentence: &str) {
    let last = agent.hear_disconnect().await;
    assert_eq!(last.code, DisconnectCode::Refused);
    assert!(last.reason.contains(sentence), "{}", last.reason);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_denied_is_cut_and_others_notice_nothing() {
    let mut house = House::new();
    let (bad, good) = (SecretKey::generate(), SecretKey::generate());
    let mut cut = registered(&house, &bad, &wish([1; 16])).await;
    let (mut kept, route) = house.agent(&good).await;
    let exchange = house.open(good.tunnel_id(None), route, request(true));
    house.told_accepted(exchange).await;

    assert_eq!(house.uplink.set_rules(keys_file("deny KEY", &bad)), 1);
    assert_cut(&mut cut, "denied this key").await;
    drop(cut);
    settle().await;
    assert!(house.node.directory.local(bad.tunnel_id(None)).is_none());
    assert_eq!(house.uplink.link_count(), 1);
    kept.hear_request().await;
    let result = house.connect().register(&bad, [2; 16]).await;
    assert_refused(result, &RefusalCode::NotAllowed, "denied this key");
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_with_what_let_it_in() {
    let key = SecretKey::generate();
    let token = Token::generate();
    let all = || Rules {
        mode: AdmissionMode::Listed,
        tokens: vec![token.clone()],
        ..keys_file("name=blog KEY", &key)
    };
    let wish = Registration {
        token: Some(Secret::new(token.expose())),
        policy: Some(Policy {
            compress: true,
            ..Policy::default()
        }),
        ..host("blog.adit.example")
    };
    let mut without_compression = all();
    without_compression.ceiling.forbid("compress").unwrap();
    let another_token = Rules {
        tokens: vec![Token::generate()],
        ..all()
    };
    let without_key = Rules {
        keys: Default::default(),
        ..all()
    };
    let without_name = Rules {
        keys: keys_file("KEY", &key).keys,
        ..all()
    };
    for (rules, sentence) in [
        (without_key, "only keys that its operator has listed"),
        (without_name, "blog.adit.example is not granted"),
        (another_token, "join token is not valid"),
        (without_compression, "policy.compress: "),
    ] {
        let house = house(all());
        let mut agent = registered(&house, &key, &wish).await;
        assert_eq!(house.uplink.set_rules(all()), 0, "it holds");
        assert_eq!(house.uplink.set_rules(rules), 1, "{sentence}");
        assert_cut(&mut agent, sentence).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_without_cutting_those_who_know_the_new_one() {
    let (old, new) = (Token::generate(), Token::generate());
    let tokens = |tokens: &[&Token]| Rules {
        tokens: tokens.iter().map(|token| (*token).clone()).collect(),
        ..Rules::default()
    };
    let wish = |token: &Token| Registration {
        token: Some(Secret::new(token.expose())),
        ..wish([1; 16])
    };
    let house = house(tokens(&[&old]));
    let (one, other) = (SecretKey::generate(), SecretKey::generate());
    let mut behind = registered(&house, &one, &wish(&old)).await;
    assert_eq!(house.uplink.set_rules(tokens(&[&old, &new])), 0);
    let _ahead = registered(&house, &other, &wish(&new)).await;
    assert_eq!(house.uplink.set_rules(tokens(&[&new])), 1);
    assert_cut(&mut behind, "ask its operator for the present one").await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_offered_its_token_before_it_was_wanted_stays() {
    let token = Token::generate();
    let house = House::new();
    let wish = Registration {
        token: Some(Secret::new(token.expose())),
        ..wish([1; 16])
    };
    let (knows, does_not) = (SecretKey::generate(), SecretKey::generate());
    let _stays = registered(&house, &knows, &wish).await;
    let (mut goes, _) = house.agent(&does_not).await;
    let rules = Rules {
        tokens: vec![token],
        ..Rules::default()
    };
    assert_eq!(house.uplink.set_rules(rules), 1);
    assert_cut(&mut goes, "give it with --token").await;
}

/// A DNS that answers when it is told to, and then that everything is anybody's.
#[derive(Debug, Default)]
struct Slow {
    asked: Notify,
    answer: Notify,
    label: String,
}

impl TxtResolver for Slow {
    fn texts<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<String>, TxtError>> {
        Box::pin(async {
            self.asked.notify_one();
            self.answer.notified().await;
            Ok(vec![format!("adit={}", self.label)])
        })
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_registers_while_the_rules_change_meets_the_new_ones() {
    let key = SecretKey::generate();
    let dns = Arc::new(Slow {
        label: key.public().label(None),
        ..Slow::default()
    });
    let house = House::with(Config {
        rules: Rules {
            custom_domains: true,
            ..Rules::default()
        },
        txt_resolver: Some(dns.clone()),
        ..Config::new(DOMAIN)
    });
    let mut agent = house.connect();
    let wish = host("app.example.org");
    let registering = agent.register_as(&key, &wish);
    let changing = async {
        dns.asked.notified().await;
        assert_eq!(house.uplink.set_rules(Rules::default()), 0, "no link yet");
        dns.answer.notify_one();
    };
    let (result, ()) = tokio::join!(registering, changing);
    assert_refused(
        result,
        &RefusalCode::NameNotGranted,
        "domain=app.example.org",
    );
    settle().await;
    assert_eq!(house.uplink.link_count(), 0);
}
