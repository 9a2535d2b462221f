//! The operator's rules: who comes in under which name, and who must go when the
//! rules change.

mod names;
mod reload;
mod rules;

use adit_uplink::{Config, Keys, Rules};
use identity::SecretKey;
use messages::{Granted, RefusalCode, Refused};
use tunnel::handshake::{RegisterError, Registration, Wanted};

use crate::house::{DOMAIN, House, wish};

/// Rules with this keys file, in which `KEY` stands for the label of `key`.
fn keys_file(text: &str, key: &SecretKey) -> Rules {
    let text = text.replace("KEY", &key.tunnel_id(None).label());
    Rules {
        keys: Keys::read_file(text.as_bytes(), DOMAIN).expect("a good keys file"),
        ..Rules::default()
    }
}

fn house(rules: Rules) -> House {
    House::with(Config {
        rules,
        ..Config::new(DOMAIN)
    })
}

fn host(host: &str) -> Registration {
    Registration {
        wanted: Wanted::Host(host.to_owned()),
        ..wish([1; 16])
    }
}

fn refusal(result: Result<Granted, RegisterError>) -> Refused {
    match result {
        Err(RegisterError::Refused(refused)) => refused,
        other => panic!("a refusal is due, not {other:?}"),
    }
}

fn assert_refused(result: Result<Granted, RegisterError>, code: &RefusalCode, sentence: &str) {
    let refused = refusal(result);
    assert_eq!(&refused.code, code, "{}", refused.message);
    assert!(refused.message.contains(sentence), "{}", refused.message);
}
