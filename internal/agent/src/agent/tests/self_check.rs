//! What an agent makes of questions that come back, and of those that do not.

use std::collections::VecDeque;

use futures_util::future::ready;

use super::*;
use crate::SelfCheck;
use crate::self_check::Verdict;

/// An agent whose questions are answered like this, one after the other, and then always well.
fn asking(verdicts: &[Verdict]) -> Life {
    let verdicts = Mutex::new(VecDeque::from(verdicts.to_vec()));
    let ask = Arc::new(move |_| {
        let next = verdicts.lock().unwrap().pop_front();
        ready(next.unwrap_or(Verdict::Reached)).boxed()
    });
    let hi = Doing(async |_, _| Ok(Response::new(TargetBody::full("hi"))));
    Life::equipped(
        hi,
        0,
        |config| {
            patient(config);
            config.self_check = true;
        },
        |agent| agent.ask = ask,
    )
}

fn missed() -> Verdict {
    Verdict::Missed("nobody is there".to_owned())
}

async fn until_told(life: &Life, found: &SelfCheck) {
    life.until(|event| matches!(event, Event::SelfCheck(it) if it == found))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_followed_by_a_question_and_its_answer_is_told() {
    let mut life = asking(&[]);
    let begun = Instant::now();
    let _server = life.admit().await;
    until_told(&life, &SelfCheck::Reachable).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(life.story(), ["connecting", "registered", "self-check"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_asked_to_does_not_ask() {
    let mut life = Life::begin(0, patient);
    let _server = life.admit().await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(life.story(), ["connecting", "registered"]);
}

#[tokio::test(start_paused = true)]
async fn where_visitors_do_not_get_through_the_link_is_made_anew_before_the_old_one_goes() {
    let mut life = asking(&[Verdict::Reached, missed(), missed()]);
    let (mut old, _) = life.admit().await;
    let site = Site::of(7, 1);
    // The same node is taken when no other answers.
    let (mut new, claims) = loop {
        match life.meet_at(&site).await {
            Some(admitted) => break admitted,
            None => answers(&mut old).await,
        }
    };
    assert_eq!(claims.generation, Some(42));
    let why = "nobody is there".to_owned();
    until_told(&life, &SelfCheck::Unreachable { why }).await;
    life.until_pool(&PoolChange::Renewed, [1, 1, 1]).await;
    answers(&mut old).await;
    answers(&mut new).await;
    assert_eq!(goodbye(&mut old).await.code, DisconnectCode::Leaving);
    drop(old);
    sleep(Duration::from_secs(120)).await;
    answers(&mut new).await;
    let story = life.story();
    assert!(!story.contains(&"lost"), "{story:?}");
    assert_eq!(
        story.iter().filter(|word| **word == "self-check").count(),
        3,
        "well, not well, well again: {story:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_question_that_is_missed_means_nothing() {
    let mut life = asking(&[missed(), Verdict::Reached, missed()]);
    let _server = life.admit().await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(life.story(), ["connecting", "registered", "self-check"]);
}
