//! What a policy may say, and how it is refused.

use super::*;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn refused(json: &str) -> String {
    Policy::from_json(json.as_bytes()).unwrap_err().to_string()
}

#[test]
fn an_empty_policy_asks_for_nothing() {
    let policy = Policy::from_json(b"{}").unwrap();
    assert!(policy.is_empty());
    assert_eq!(policy.to_json(), "{}");
    assert_eq!(policy.fields(), Vec::<&str>::new());
}

#[test]
fn a_policy_has_one_spelling() {
    let json = format!(
        r#"{{"https_only":true, "basic_auth":{{"credentials":[{{"hash":"{HASH}"}}]}}, "allow_ips":["10.1.2.3/8","::1"],
            "cors":{{"origins":["https://app.example"]}}, "request_headers":{{"set":[["X-A","b"]],"remove":["cookie"]}},
            "webhook":{{"provider":"github","secrets":["s"]}}, "strip_prefix":"/api"}}"#
    );
    let policy = Policy::from_json(json.as_bytes()).unwrap();
    assert_eq!(Policy::from_json(&policy.to_json()).unwrap(), policy);
    assert_eq!(policy.allow_ips[0].to_string(), "10.0.0.0/8");
    assert_eq!(policy.allow_ips[1].to_string(), "::1");
    assert_eq!(
        policy.fields(),
        [
            "basic_auth",
            "allow_ips",
            "request_headers",
            "cors",
            "strip_prefix",
            "https_only",
            "webhook"
        ]
    );
}

#[test]
fn a_rule_that_this_server_does_not_know_is_refused() {
    assert!(refused(r#"{"basic_autth":{}}"#).contains("basic_autth"));
    assert!(refused(r#"{"cors":{"origin":"*"}}"#).contains("origin"));
}

#[test]
fn nothing_that_a_rule_writes_can_break_a_message() {
    for (json, said) in [
        (
            r#"{"response_headers":{"set":[["X-A","b\r\nSet-Cookie: c"]]}}"#,
            "line breaks",
        ),
        (
            r#"{"response_headers":{"set":[["X A","b"]]}}"#,
            "no header field name",
        ),
        (
            r#"{"request_headers":{"set":[["Host","other"]]}}"#,
            "cannot be changed",
        ),
        (
            r#"{"request_headers":{"remove":["Content-Length"]}}"#,
            "cannot be changed",
        ),
        (
            r#"{"request_headers":{"set":[["Adit-Error","x"]]}}"#,
            "cannot be changed",
        ),
        (
            r#"{"response_headers":{"remove":["Sec-WebSocket-Protocol"]}}"#,
            "cannot be changed",
        ),
        (r#"{"add_prefix":"/a b"}"#, "policy.add_prefix"),
        (r#"{"add_prefix":"//evil"}"#, "policy.add_prefix"),
        (r#"{"add_prefix":"/a/../b"}"#, "policy.add_prefix"),
        (r#"{"strip_prefix":"api"}"#, "policy.strip_prefix"),
    ] {
        assert!(refused(json).contains(said), "{json}: {}", refused(json));
    }
}

#[test]
fn the_cost_of_a_password_is_not_the_agents_to_choose() {
    for hash in [
        "secret",
        "$argon2id$v=19$m=4000000,t=2,p=1$c2FsdA$AAAA",
        "$2b$12$abcdefghijklmnopqrstuv",
        // A salt of five bytes, a digest of three, no digest.
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHM$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA",
    ] {
        let json = format!(r#"{{"basic_auth":{{"credentials":[{{"hash":"{hash}"}}]}}}}"#);
        assert!(refused(&json).contains("argon2id"), "{hash}");
    }
    assert!(refused(r#"{"basic_auth":{"credentials":[]}}"#).contains("credentials"));
}

#[test]
fn everything_has_a_bound() {
    let many = vec!["\"10.0.0.1\""; MAX_RULES + 1].join(",");
    assert!(refused(&format!(r#"{{"allow_ips":[{many}]}}"#)).contains("at most 64"));
    let long = "x".repeat(MAX_POLICY);
    assert!(refused(&format!(r#"{{"add_prefix":"/{long}"}}"#)).contains("at most"));
    assert!(refused(r#"{"deny_ips":["everyone"]}"#).contains("everyone"));
}

#[test]
fn cors_with_credentials_names_its_origins() {
    for (json, said) in [
        (
            r#"{"cors":{"origins":["*"],"credentials":true}}"#,
            "named origins",
        ),
        (r#"{"cors":{"origins":[]}}"#, "at least one"),
        (
            r#"{"cors":{"origins":["https://a.example/x"]}}"#,
            "a scheme and a host",
        ),
        (r#"{"cors":{"origins":["*"],"max_age":100000}}"#, "86400"),
    ] {
        assert!(refused(json).contains(said), "{json}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let json = format!(
        r#"{{"basic_auth":{{"credentials":[{{"hash":"{HASH}"}}]}},"webhook":{{"provider":"stripe","secrets":["whsec"]}}}}"#
    );
    let shown = format!("{:?}", Policy::from_json(json.as_bytes()).unwrap());
    assert!(
        !shown.contains("argon2id") && !shown.contains("whsec"),
        "{shown}"
    );
}
