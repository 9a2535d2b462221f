use serde_json::json;

use super::*;
use crate::event::{Json, Payload};

fn rules(toml: &[Value]) -> Box<dyn Step> {
    let written = toml.iter().cloned().map(|rule| {
        let rule: WrittenRule = serde_json::from_value(rule).unwrap();
        Rule::try_from(rule).unwrap()
    });
    Rules(written.collect()).decoder().unwrap()
}

fn after(step: &mut dyn Step, value: Value) -> Result<Option<Value>, StepError> {
    let json = Payload::Json(Json::from(value));
    step.take(Event::bytes("", false).with(json));
    let made = step.next().transpose()?;
    Ok(made.and_then(|event| event.json().cloned()))
}

#[test]
fn keep_lets_only_what_has_the_field_or_the_value_pass() {
    let mut step = rules(&[
        json!({"keep": "/kind", "is": "order"}),
        json!({"keep": "/id"}),
    ]);
    let order = json!({"kind": "order", "id": null});
    assert_eq!(after(&mut *step, order.clone()), Ok(Some(order)));
    for other in [
        json!({"kind": "order"}),
        json!({"kind": "ping", "id": 1}),
        json!([1]),
    ] {
        assert_eq!(after(&mut *step, other), Ok(None));
    }
}

#[test]
fn drop_takes_out_what_has_the_field_or_the_value() {
    let mut step = rules(&[json!({"drop": "/debug"}), json!({"drop": "/a/0", "is": 7})]);
    assert_eq!(after(&mut *step, json!({"debug": false})), Ok(None));
    assert_eq!(after(&mut *step, json!({"a": [7]})), Ok(None));
    assert_eq!(
        after(&mut *step, json!({"a": [8]})),
        Ok(Some(json!({"a": [8]})))
    );
}

#[test]
fn rename_moves_a_field_and_makes_the_objects_on_its_way() {
    let mut step = rules(&[json!({"rename": "/a~1b", "to": "/x/y"})]);
    let moved = json!({"k": 1, "x": {"y": 2}});
    assert_eq!(
        after(&mut *step, json!({"k": 1, "a/b": 2})),
        Ok(Some(moved))
    );
    assert_eq!(
        after(&mut *step, json!({"k": 1})),
        Ok(Some(json!({"k": 1})))
    );
}

#[test]
fn a_rename_onto_a_way_that_is_barred_fails_that_event_alone() {
    let mut step = rules(&[json!({"rename": "/a", "to": "/x/y"})]);
    let failed = after(&mut *step, json!({"a": 1, "x": "text"}));
    assert!(matches!(failed, Err(StepError::Failed(_))), "{failed:?}");
    let fine = json!({"x": {"y": 1}});
    assert_eq!(after(&mut *step, json!({"a": 1})), Ok(Some(fine)));
}

#[test]
fn what_is_no_rule_says_how_one_is_written() {
    let broken = [
        json!({}),
        json!({"keep": "/a", "drop": "/b"}),
        json!({"rename": "/a"}),
        json!({"rename": "/a", "to": "/b", "is": 1}),
        json!({"keep": "/a", "to": "/b"}),
    ];
    for rule in broken {
        let written: WrittenRule = serde_json::from_value(rule.clone()).unwrap();
        assert_eq!(Rule::try_from(written), Err(RuleError::Verb), "{rule}");
    }
    for pointer in ["field", "/a~2", "a/b"] {
        assert!(pointer.parse::<Pointer>().is_err(), "{pointer}");
    }
}
