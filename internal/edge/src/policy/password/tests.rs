//! What a password opens, and what it costs not to know it.

use std::sync::OnceLock;

use data_encoding::{BASE64, BASE64_NOPAD};

use super::*;
use crate::policy::trial::{Asking, Trial};

fn hash(password: &str) -> String {
    let salt = b"salt of the test";
    let mut digest = [0; 32];
    let params = Params::new(19 * 1024, 2, 1, Some(32)).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut digest)
        .unwrap();
    let (salt, digest) = (BASE64_NOPAD.encode(salt), BASE64_NOPAD.encode(&digest));
    format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${digest}")
}

/// One with a name, one for everybody.
fn policy() -> &'static str {
    static POLICY: OnceLock<String> = OnceLock::new();
    POLICY.get_or_init(|| {
        let (named, free) = (hash("open: sesame"), hash("friend"));
        format!(
            r#"{{"basic_auth":{{"credentials":[{{"username":"Älî","hash":"{named}"}},{{"hash":"{free}"}}]}}}}"#
        )
    })
}

fn offering(trial: &Trial, credentials: &str) -> Asking {
    let token = BASE64.encode(credentials.as_bytes());
    trial
        .get("/")
        .with("authorization", &format!("Basic {token}"))
}

#[tokio::test]
async fn the_right_password_opens_and_goes_no_further() {
    let trial = Trial::of(policy());
    for credentials in ["Älî:open: sesame", "anybody:friend", ":friend"] {
        let answer = offering(&trial, credentials)
            .with("x-other", "kept")
            .send()
            .await;
        assert_eq!(answer.status(), Ok(200), "{credentials}");
        let headers = answer.request().headers();
        assert!(!headers.contains_key("authorization"));
        assert_eq!(headers["x-other"], "kept");
    }
}

#[tokio::test]
async fn a_wrong_password_reaches_nobody() {
    let trial = Trial::of(policy());
    for credentials in ["Älî:open", "ali:open: sesame", "Älî:", ":"] {
        let answer = offering(&trial, credentials).send().await;
        assert_eq!(
            answer.status(),
            Err(Failure::PasswordRequired),
            "{credentials}"
        );
        assert!(!answer.reached_the_service());
    }
    let none = trial.get("/").send().await;
    assert_eq!(none.status(), Err(Failure::PasswordRequired));
    let bearer = trial
        .get("/")
        .with("authorization", "Bearer friend")
        .send()
        .await;
    assert_eq!(bearer.status(), Err(Failure::PasswordRequired));
}

#[tokio::test]
async fn a_right_password_beside_another_field_is_refused() {
    let trial = Trial::of(policy());
    let answer = offering(&trial, ":friend")
        .with("authorization", "Bearer other")
        .send()
        .await;
    assert!(matches!(answer.status(), Err(Failure::BadRequest(_))));
    assert!(!answer.reached_the_service());
}

#[tokio::test]
async fn who_guesses_is_stopped_and_who_knows_is_not() {
    let trial = Trial::of(policy());
    assert_eq!(offering(&trial, ":friend").send().await.status(), Ok(200));
    for guess in 0..9 {
        let answer = offering(&trial, &format!(":guess{guess}")).send().await;
        assert_eq!(answer.status(), Err(Failure::PasswordRequired));
    }
    let stopped = offering(&trial, "Älî:open: sesame").send().await;
    assert!(matches!(
        stopped.status(),
        Err(Failure::TooManyPasswords(1..=6))
    ));
    assert_eq!(offering(&trial, ":friend").send().await.status(), Ok(200));
    let elsewhere = offering(&trial, "Älî:open: sesame")
        .from("198.51.100.1")
        .send()
        .await;
    assert_eq!(elsewhere.status(), Ok(200));
}

#[tokio::test]
async fn without_the_rule_authorization_is_the_services() {
    let trial = Trial::of(r#"{"no_robots":true}"#);
    let answer = offering(&trial, "a:b").send().await;
    assert_eq!(answer.request().headers()["authorization"], "Basic YTpi");
}

#[tokio::test]
async fn preflights_that_the_edge_answers_need_no_password() {
    let with_cors = policy().replacen('{', r#"{"cors":{"origins":["https://app.example"]},"#, 1);
    let preflight = |trial: &Trial| {
        let asking = trial
            .ask("OPTIONS", "/")
            .with("origin", "https://app.example");
        asking.with("access-control-request-method", "PUT").send()
    };
    assert_eq!(preflight(&Trial::of(&with_cors)).await.status(), Ok(204));
    // Without that rule a preflight is for the service, and nothing reaches that unasked.
    let answer = preflight(&Trial::of(policy())).await;
    assert_eq!(answer.status(), Err(Failure::PasswordRequired));
}

#[tokio::test]
async fn a_service_may_have_a_password_of_its_own_behind_it() {
    let own = r#"{"request_headers":{"set":[["Authorization","Bearer own"]]},"#;
    let trial = Trial::of(&policy().replacen('{', own, 1));
    let answer = offering(&trial, ":friend").send().await;
    assert_eq!(answer.request().headers()["authorization"], "Bearer own");
}
