use serde_json::json;

use super::*;
use crate::event::Payload;
use crate::step::each;

fn through(chain: &mut Chain, data: &'static str) -> Vec<Result<String, StepError>> {
    chain.take(Event::bytes(data, false));
    let text = |event: Event| String::from_utf8(event.payload.into_bytes().to_vec()).unwrap();
    std::iter::from_fn(|| chain.next())
        .map(|event| event.map(text))
        .collect()
}

fn named(names: &[&str]) -> Pipeline {
    Pipeline::named(names, &Limits::default()).unwrap()
}

/// What comes out at the far end, all steps taken.
fn whole(pipeline: &Pipeline, data: &'static str) -> Vec<Result<String, StepError>> {
    let (mut decoder, mut encoder) = (pipeline.decoder(), pipeline.encoder());
    decoder.take(Event::bytes(data, false));
    let mut given = Vec::new();
    while let Some(event) = decoder.next() {
        match event {
            Ok(event) => {
                encoder.take(event);
                while let Some(made) = encoder.next() {
                    let text = made.map(|event| event.payload.into_bytes());
                    given.push(text.map(|text| String::from_utf8(text.to_vec()).unwrap()));
                }
            }
            Err(error) => given.push(Err(error)),
        }
    }
    given
}

#[test]
fn without_steps_messages_pass_as_they_are() {
    for pipeline in [named(&[]), named(&["passthrough"])] {
        assert_eq!(whole(&pipeline, "a\nb"), [Ok("a\nb".to_owned())]);
    }
}

#[test]
fn steps_take_apart_in_their_order_and_put_together_in_reverse() {
    let pipeline = named(&["lines", "base64", "json"]);
    let given = whole(&pipeline, "eyJhIjogMX0=\nMg==\n");
    assert_eq!(
        given,
        ["eyJhIjogMX0=\n", "Mg==\n"].map(|text| Ok(text.to_owned()))
    );
}

#[test]
fn half_a_step_is_that_half_alone() {
    assert_eq!(
        whole(&named(&["lines-decode"]), "a\nb\n"),
        ["a", "b"].map(|t| Ok(t.to_owned()))
    );
    assert_eq!(
        whole(&named(&["base64-encode"]), "snot"),
        [Ok("c25vdA==".to_owned())]
    );
}

#[test]
fn a_step_that_fails_in_the_middle_fails_that_event_alone() {
    let given = whole(&named(&["lines", "json"]), "1\nno\n2\n");
    assert_eq!(given[0], Ok("1\n".to_owned()));
    assert!(matches!(given[1], Err(StepError::Invalid(_))), "{given:?}");
    assert_eq!(given[2], Ok("2\n".to_owned()));
}

#[test]
fn a_message_of_many_lines_is_never_many_events_at_once() {
    let message: &'static str = "\n".repeat(500_000).leak();
    let mut chain = named(&["lines", "string"]).decoder();
    chain.take(Event::bytes(message, false));
    // Each is made when it is asked for: what is behind it is still the message.
    let mut count = 0;
    while let Some(event) = chain.next() {
        assert_eq!(event.unwrap().payload, Payload::Bytes("".into()));
        count += 1;
    }
    assert_eq!(count, 500_000);
}

#[test]
fn unknown_steps_and_rules_without_json_are_refused_with_what_there_is() {
    for name in ["line", "lines-split", "-decode", ""] {
        let refused = Pipeline::named([name], &Limits::default()).unwrap_err();
        assert_eq!(refused, PipelineError::Unknown(name.to_owned()));
    }
    let keep = || vec![Rule::Keep("/a".parse().unwrap(), Some(json!(1)))];
    assert!(named(&["lines", "json"]).with_rules(keep()).is_ok());
    for names in [&["lines"][..], &["json-encode"]] {
        let refused = named(names).with_rules(keep()).unwrap_err();
        assert_eq!(refused, PipelineError::RulesWithoutJson);
    }
}

/// The step of the reference's demonstration: `snot` becomes `badger`.
#[derive(Debug)]
struct Badger;

impl Codec for Badger {
    fn decoder(&self) -> Option<Box<dyn Step>> {
        Some(each(|event: Event| {
            let snot = event.payload == Payload::Bytes("snot".into());
            Ok(Some(if snot {
                event.with(Payload::Bytes("badger".into()))
            } else {
                event
            }))
        }))
    }
}

#[test]
fn a_step_of_ones_own_stands_among_the_others() {
    let pipeline = named(&["lines"]).then(Badger);
    let given = whole(&pipeline, "snot\nother\n");
    assert_eq!(
        given,
        ["badger\n", "other\n"].map(|text| Ok(text.to_owned()))
    );
    assert_eq!(
        through(&mut pipeline.decoder(), "snot\n"),
        [Ok("badger".to_owned())]
    );
}
