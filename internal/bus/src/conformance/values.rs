//! Rules of one-shot values.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::stage::{Actor, Stage, a_key};
use crate::{MAX_KEY, MAX_VALUE, PutError};

const MINUTE: Duration = Duration::from_mins(1);

pub(super) async fn a_value_is_taken_once_by_any_node(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (key, other) = (a_key(), a_key());
    let value = Bytes::from_iter(0..=255);
    put(&a, &key, value.clone(), MINUTE).await;
    assert_eq!(
        take(&b, &other).await,
        None,
        "of another key there is nothing"
    );
    assert_eq!(take(&b, &key).await, Some(value));
    assert_eq!(take(&b, &key).await, None);
    assert_eq!(take(&a, &key).await, None);
}

pub(super) async fn of_all_who_ask_one_gets_the_value(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let key = a_key();
    put(&a, &key, Bytes::from_static(b"once"), MINUTE).await;
    let asked = (0..20).map(|n| take(if n % 2 == 0 { &a } else { &b }, &key));
    let answers = join_all(asked).await;
    assert_eq!(answers.iter().flatten().count(), 1);
}

pub(super) async fn a_value_expires(stage: &Stage<'_>) {
    let a = stage.node().await;
    let (short, long) = (a_key(), a_key());
    put(
        &a,
        &short,
        Bytes::from_static(b"short"),
        Duration::from_secs(2),
    )
    .await;
    put(&a, &long, Bytes::from_static(b"long"), MINUTE).await;
    stage.advance(Duration::from_secs(3)).await;
    assert_eq!(take(&a, &short).await, None);
    assert_eq!(take(&a, &long).await, Some(Bytes::from_static(b"long")));
}

/// With its own length of life: the first one's end must not end it.
pub(super) async fn a_second_value_replaces_the_first(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let key = a_key();
    put(
        &a,
        &key,
        Bytes::from_static(b"first"),
        Duration::from_secs(2),
    )
    .await;
    put(&b, &key, Bytes::from_static(b"second"), MINUTE).await;
    stage.advance(Duration::from_secs(3)).await;
    assert_eq!(take(&a, &key).await, Some(Bytes::from_static(b"second")));
    assert_eq!(take(&a, &key).await, None);
}

pub(super) async fn a_value_too_large_is_refused(stage: &Stage<'_>) {
    let a = stage.node().await;
    let directory = &a.node.directory;
    let largest = Bytes::from(vec![1; MAX_VALUE]);
    let too_large = Bytes::from(vec![1; MAX_VALUE + 1]);
    let long_key = format!("{:0<MAX_KEY$}", a_key());
    put(&a, &long_key, largest.clone(), MINUTE).await;
    assert_eq!(take(&a, &long_key).await, Some(largest));
    let key = a_key();
    let refused = directory.put(&key, too_large, MINUTE).await;
    assert_eq!(refused, Err(PutError::TooLarge));
    assert_eq!(take(&a, &key).await, None);
    let refused = directory
        .put(&format!("{long_key}0"), Bytes::new(), MINUTE)
        .await;
    assert_eq!(refused, Err(PutError::TooLarge));
}

async fn put(actor: &Actor<'_>, key: &str, value: Bytes, ttl: Duration) {
    let put = actor.node.directory.put(key, value, ttl).await;
    put.expect("there is room");
}

async fn take(actor: &Actor<'_>, key: &str) -> Option<Bytes> {
    let taken = actor.node.directory.take(key).await;
    taken.expect("the directory is there")
}
