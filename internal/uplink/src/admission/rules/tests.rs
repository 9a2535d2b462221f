//! Who is kept out, and for which rule.

use identity::SecretKey;
use messages::{Cors, Policy, PolicyId, RefusalCode};

use super::*;
use crate::admission::ceiling::Extent;

const OWN: OwnNames<'static> = OwnNames {
    domain: "adit.example",
    connect_names: &[],
};

/// An agent with a fresh key.
fn somebody() -> Standing {
    let root = SecretKey::generate().public().tunnel_id(None);
    Standing {
        root,
        keys: [root].into(),
        host: None,
        auto: false,
        proved_by_dns: false,
        proof: None,
        policy: PolicyId::NONE,
        extent: Extent::default(),
    }
}

fn wanting(host: &str) -> Standing {
    Standing {
        host: Some(host.into()),
        ..somebody()
    }
}

/// Rules with this line for the agent.
fn line(options: &str, standing: &Standing) -> Rules {
    Rules {
        keys: Keys::read_file(
            format!("{options} {}", standing.root).as_bytes(),
            OWN.domain,
        )
        .unwrap(),
        ..Rules::default()
    }
}

fn said(rules: &Rules, standing: &Standing) -> String {
    rules.judge(standing, OWN).unwrap_err().to_string()
}

#[test]
fn by_default_everybody_comes_in_under_the_own_label_and_nothing_else() {
    let rules = Rules::default();
    assert_eq!(rules.judge(&somebody(), OWN), Ok(Verdict::Holds));
    for (host, option) in [
        ("blog.adit.example", "name=blog"),
        ("adit.example", "root"),
        ("*.blog.adit.example", "name=*.blog"),
        ("en.blog.adit.example", "name=*.blog"),
        ("app.example.org", "domain=app.example.org"),
        ("*.app.example.org", "domain=*.app.example.org"),
    ] {
        let standing = wanting(host);
        let denial = rules.judge(&standing, OWN).unwrap_err();
        assert_eq!(denial.code(), RefusalCode::NameNotGranted);
        let said = denial.to_string();
        let cure = format!(
            "ask the operator for the line \"{option} {}\"",
            standing.root
        );
        assert!(said.starts_with(host) && said.contains(&cure), "{said}");
        // And the line does it.
        let rules = line(option, &standing);
        assert_eq!(rules.judge(&standing, OWN), Ok(Verdict::Holds), "{option}");
    }
}

#[test]
fn some_hosts_are_granted_to_nobody() {
    let other = SecretKey::generate().public().label(None);
    for host in [
        format!("{other}.adit.example"),
        "a.b.blog.adit.example".to_owned(),
        "*.adit.example".to_owned(),
    ] {
        let said = said(&Rules::default(), &wanting(&host));
        assert!(said.contains("can be granted to nobody"), "{said}");
    }
    let connect = ["eu.example.net".to_owned()];
    let own = OwnNames {
        connect_names: &connect,
        ..OWN
    };
    let rules = Rules {
        custom_domains: true,
        ..Rules::default()
    };
    let denial = rules.judge(&wanting("eu.example.net"), own).unwrap_err();
    assert!(denial.to_string().contains("agents of this server dial it"));
}

#[test]
fn a_name_of_another_domain_that_ends_alike_is_another_domain() {
    let said = said(&Rules::default(), &wanting("x.notadit.example"));
    assert!(said.contains("\"domain=x.notadit.example "), "{said}");
}

#[test]
fn a_domain_without_a_grant_is_up_to_the_dns_where_the_operator_lets_it() {
    let rules = Rules {
        custom_domains: true,
        ..Rules::default()
    };
    let mut standing = wanting("app.example.org");
    assert_eq!(rules.judge(&standing, OWN), Ok(Verdict::UpToDns));
    standing.proved_by_dns = true;
    assert_eq!(rules.judge(&standing, OWN), Ok(Verdict::Holds));
    assert!(Rules::default().judge(&standing, OWN).is_err());
    // Never a way to a name of the server's own.
    let own = wanting("blog.adit.example");
    assert!(rules.judge(&own, OWN).is_err());
}

#[test]
fn a_readable_name_is_for_keys_that_may_have_one_and_stays_theirs() {
    let key = somebody();
    let host = format!("{}.adit.example", auto_name(key.root));
    let standing = |auto, host: &str| Standing {
        host: Some(host.into()),
        auto,
        keys: key.keys.clone(),
        ..somebody()
    };
    let asked = Standing {
        root: key.root,
        ..standing(true, &host)
    };
    let line_for = format!("\"auto-names {}\"", key.root);
    assert!(said(&Rules::default(), &asked).contains(&line_for));
    let rules = line("auto-names", &key);
    assert_eq!(rules.judge(&asked, OWN), Ok(Verdict::Holds));
    let by_name = Standing {
        root: key.root,
        ..standing(false, &host)
    };
    assert_eq!(rules.judge(&by_name, OWN), Ok(Verdict::Holds));
    let of_another = Standing {
        root: key.root,
        ..standing(false, "calm-red-fox.adit.example")
    };
    assert!(rules.judge(&of_another, OWN).is_err());
}

#[test]
fn a_denied_key_denies_every_key_that_came_of_it() {
    let old = somebody();
    let rules = line("deny", &old);
    assert_eq!(rules.judge(&old, OWN), Err(Denial::Denied));
    let new = somebody();
    let rotated = Standing {
        keys: [new.root, old.root].into(),
        ..new
    };
    assert_eq!(rules.judge(&rotated, OWN), Err(Denial::Denied));
    assert_eq!(rules.judge(&somebody(), OWN), Ok(Verdict::Holds));
}

#[test]
fn only_listed_keys_come_in_where_the_operator_says_so() {
    let listed = somebody();
    let rules = Rules {
        mode: AdmissionMode::Listed,
        ..line("max-links=3", &listed)
    };
    assert_eq!(rules.judge(&listed, OWN), Ok(Verdict::Holds));
    assert_eq!(rules.max_links(&listed), NonZeroU32::new(3));
    let stranger = somebody();
    assert!(said(&rules, &stranger).contains(&format!("the line \"{}\"", stranger.root)));
    assert_eq!(rules.max_links(&stranger), Some(MAX_LINKS_PER_KEY));
    // Whoever is listed goes on under the key it handed over to.
    let rotated = Standing {
        keys: [listed.root, somebody().root].into(),
        ..somebody()
    };
    assert_eq!(rules.judge(&rotated, OWN), Ok(Verdict::Holds));
}

#[test]
fn without_the_token_nothing_else_is_learned() {
    let rules = Rules {
        mode: AdmissionMode::Listed,
        tokens: vec![Token::generate()],
        ..Rules::default()
    };
    assert_eq!(rules.judge(&somebody(), OWN), Err(Denial::NoToken));
}

#[test]
fn a_policy_beyond_the_ceiling_is_named_by_its_field() {
    let policy = Policy {
        cors: Some(Cors::default()),
        ..Policy::default()
    };
    let standing = Standing {
        extent: Extent::of(&policy),
        ..somebody()
    };
    let mut rules = Rules::default();
    assert_eq!(rules.judge(&standing, OWN), Ok(Verdict::Holds));
    rules.ceiling.forbid("cors").unwrap();
    let denial = rules.judge(&standing, OWN).unwrap_err();
    assert_eq!(denial.code(), RefusalCode::PolicyRefused);
    assert!(denial.to_string().starts_with("policy.cors: "));
}
