//! Rules of pins: no key that was rotated away comes back.

use futures_util::future::join_all;

use super::stage::{Actor, Stage, a_hash};
use crate::PinError;

async fn pin(actor: &Actor<'_>, name: [u8; 32], sequence: u64, tip: u8) -> Result<(), PinError> {
    actor.node.directory.pin(name, sequence, [tip; 32]).await
}

pub(super) async fn a_pin_is_known_everywhere(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let name = a_hash();
    assert_eq!(pin(&a, name, 2, 2).await, Ok(()));
    for node in [&a, &b] {
        let older = Err(PinError::Older { known: 2 });
        assert_eq!(pin(node, name, 1, 1).await, older);
        assert_eq!(pin(node, name, 0, 0).await, older, "the first key too");
        assert_eq!(pin(node, name, 2, 9).await, Err(PinError::Forked));
        assert_eq!(pin(node, name, 2, 2).await, Ok(()), "the same once more");
    }
    assert_eq!(pin(&b, name, 4, 4).await, Ok(()), "several at once");
    for node in [&a, &b] {
        let older = Err(PinError::Older { known: 4 });
        assert_eq!(pin(node, name, 2, 2).await, older);
        assert_eq!(pin(node, name, 3, 3).await, older);
        assert_eq!(pin(node, name, 4, 4).await, Ok(()));
    }
}

/// Nothing of it is stored, so whatever it says of its tip, it may rotate later.
pub(super) async fn a_name_that_never_rotated_needs_no_pin(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let name = a_hash();
    for tip in [0, 0, 1] {
        assert_eq!(pin(&a, name, 0, tip).await, Ok(()));
        assert_eq!(pin(&b, name, 0, tip).await, Ok(()));
    }
    assert_eq!(pin(&b, name, 1, 1).await, Ok(()));
    let older = Err(PinError::Older { known: 1 });
    assert_eq!(pin(&a, name, 0, 0).await, older);
}

pub(super) async fn names_are_pinned_apart(stage: &Stage<'_>) {
    let a = stage.node().await;
    let (one, other) = (a_hash(), a_hash());
    assert_eq!(pin(&a, one, 3, 3).await, Ok(()));
    assert_eq!(pin(&a, other, 1, 1).await, Ok(()));
    assert_eq!(pin(&a, one, 1, 1).await, Err(PinError::Older { known: 3 }));
    assert_eq!(pin(&a, other, 1, 1).await, Ok(()));
}

pub(super) async fn a_pin_outlives_its_node(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (left, crashed) = (a_hash(), a_hash());
    assert_eq!(pin(&a, left, 1, 1).await, Ok(()));
    assert_eq!(pin(&b, crashed, 1, 1).await, Ok(()));
    a.node.leave().await;
    stage.crash(&b).await;
    stage.advance(2 * stage.backend().lease()).await;
    let c = stage.node().await;
    for name in [left, crashed] {
        let older = Err(PinError::Older { known: 1 });
        assert_eq!(pin(&c, name, 0, 0).await, older);
    }
}

pub(super) async fn of_two_that_rotate_at_once_one_is_pinned(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let name = a_hash();
    let asked = (0_u8..10).map(|tip| pin(if tip % 2 == 0 { &a } else { &b }, name, 1, tip));
    let answers = join_all(asked).await;
    let won: Vec<usize> = (0..10).filter(|tip| answers[*tip].is_ok()).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    for (tip, answer) in (0_u8..).zip(&answers) {
        assert_eq!(pin(&b, name, 1, tip).await, *answer, "it stays so");
        if usize::from(tip) != won[0] {
            assert_eq!(*answer, Err(PinError::Forked));
        }
    }
}

pub(super) async fn sequences_are_compared_as_numbers(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let name = a_hash();
    let mut known = 0;
    // Among them some that text, or a number with 53 bits, would confuse.
    for sequence in [9, 10, 1 << 53, (1 << 53) + 1, u64::MAX - 1, u64::MAX] {
        assert_eq!(pin(&a, name, sequence, 1).await, Ok(()));
        let older = Err(PinError::Older { known: sequence });
        assert_eq!(pin(&b, name, known, 1).await, older);
        known = sequence;
    }
}

pub(super) async fn a_node_that_left_pins_nothing(stage: &Stage<'_>) {
    let a = stage.node().await;
    let name = a_hash();
    a.node.leave().await;
    assert_eq!(pin(&a, name, 1, 1).await, Err(PinError::Unavailable));
    let b = stage.node().await;
    assert_eq!(pin(&b, name, 0, 0).await, Ok(()));
}
