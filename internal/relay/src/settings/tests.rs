use serde_json::{Value, json};

use super::*;

fn check(mut written: Value) -> Result<Config, (&'static str, String)> {
    let upstream = written.as_object_mut().unwrap().entry("upstream");
    upstream.or_insert_with(|| json!("ws://localhost:8139"));
    let settings: Settings = serde_json::from_value(written).unwrap();
    settings
        .check()
        .map_err(|error| (error.field, error.problem))
}

#[test]
fn nothing_but_an_upstream_is_passthrough_that_closes_on_errors() {
    let config = check(json!({})).unwrap();
    assert_eq!(config.errors, Errors::Close);
    assert!(config.shared.is_none() && !config.incoming.reads_json() && config.answer.is_none());
    assert_eq!(
        config.limits,
        Limits {
            line: 4096,
            message: 512_000
        }
    );
}

#[test]
fn steps_are_a_list_or_a_text_with_commas() {
    for incoming in [json!(["lines", "json"]), json!("lines, json")] {
        assert!(
            check(json!({"incoming": incoming}))
                .unwrap()
                .incoming
                .reads_json()
        );
    }
}

#[test]
fn correlation_brings_a_time_for_answers_and_sharing_needs_it() {
    let json = json!({"incoming": "json", "outgoing": "json", "correlate": "/id", "shared": true});
    let config = check(json).unwrap();
    assert_eq!(config.answer, Some(Duration::from_secs(30)));
    let (field, why) = check(json!({"shared": true})).unwrap_err();
    assert!(field == "shared" && why.contains("correlate"), "{why}");
    let (field, why) = check(json!({"incoming": "json", "correlate": "/id"})).unwrap_err();
    assert!(field == "correlate" && why.contains("step json"), "{why}");
}

#[test]
fn each_wrong_field_is_named_with_what_to_write() {
    let wrong = [
        (
            json!({"upstream": "http://x"}),
            "upstream",
            "ws://host:port/path",
        ),
        (
            json!({"errors": "loud"}),
            "errors",
            "neither close nor message",
        ),
        (json!({"incoming": ["line"]}), "incoming", "there are lines"),
        (json!({"outgoing": "gelf"}), "outgoing", "there are lines"),
        (
            json!({"outgoing_rules": [{"keep": "/a"}]}),
            "outgoing_rules",
            "step json",
        ),
        (
            json!({"incoming": "json", "incoming_rules": [{"keep": "/a"}, {"keep": "a"}]}),
            "incoming_rules",
            "rule 2: ",
        ),
        (
            json!({"incoming": "json", "incoming_rules": [{}]}),
            "incoming_rules",
            "a rule is one of",
        ),
        (json!({"correlate": "id"}), "correlate", "\"/field\""),
        (
            json!({"answer_timeout": "30"}),
            "answer_timeout",
            "with its unit",
        ),
        (json!({"line_limit": 0}), "line_limit", "from 1 to"),
        (
            json!({"message_limit": 1_u64 << 40}),
            "message_limit",
            "from 125 to",
        ),
        (json!({"visitors": 0}), "visitors", "from 1 to"),
    ];
    for (written, field, fix) in wrong {
        let (named, why) = check(written.clone()).unwrap_err();
        assert!(
            named == field && why.contains(fix),
            "{written}: {named}: {why}"
        );
    }
    for unknown in [
        json!({"shard": true}),
        json!({"incoming_rules": [{"keeps": "/a"}]}),
    ] {
        assert!(serde_json::from_value::<Settings>(unknown).is_err());
    }
}
