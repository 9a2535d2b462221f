//! How far a name's chain of rotations has come, asked step by step.
//!
//! A directory compares ends: a longer chain follows a shorter one. But who holds a
//! key that was rotated away can hand it on as often as he likes, and so make a
//! chain that is longer and goes another way. What counts is that the chain holds
//! the end that is remembered, at its place. So the first statement is shown first,
//! and from where the directory already is, one after the other.

use bus::{Directory, PinError};

/// Remembers a chain, of which these are the ends after each statement, for the
/// name of its first key. Asks twice for a key that was rotated, once for any other.
///
/// # Errors
/// See [`PinError`]: the chain is older than the one that is known, or another.
///
/// # Cancel safety
/// What was remembered by then is a beginning of this chain.
pub(crate) async fn pin(
    directory: &dyn Directory,
    name: [u8; 32],
    tips: &[[u8; 32]],
) -> Result<(), PinError> {
    if tips.is_empty() {
        return directory.pin(name, 0, [0; 32]).await;
    }
    let mut at = 1;
    while let Some(tip) = tips.get(at - 1) {
        match directory.pin(name, at as u64, *tip).await {
            Ok(()) => at += 1,
            Err(PinError::Older { known }) => at = onward(at, known, tips.len())?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where to go on when the directory knows of `known` statements.
fn onward(at: usize, known: u64, len: usize) -> Result<usize, PinError> {
    usize::try_from(known)
        .ok()
        .filter(|known| (at + 1..=len).contains(known))
        .ok_or(PinError::Older { known })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bus::{Delivery, Inbox, Node, memory::Fleet};
    use messages::NodeId;

    use super::*;

    const NAME: [u8; 32] = [9; 32];

    struct Deaf;

    impl Inbox for Deaf {
        fn deliver(&self, _: Delivery) {}
    }

    fn directory() -> Node {
        Fleet::new().join(NodeId([1; 16]), Arc::new(Deaf))
    }

    /// The ends of a chain, a letter a statement.
    fn tips(chain: &str) -> Vec<[u8; 32]> {
        chain.bytes().map(|byte| [byte; 32]).collect()
    }

    async fn pinned(node: &Node, chain: &str) -> Result<(), PinError> {
        pin(&*node.directory, NAME, &tips(chain)).await
    }

    #[tokio::test]
    async fn a_chain_may_grow_and_never_shrink() {
        let node = directory();
        for chain in ["", "a", "a", "abc", "abc"] {
            assert_eq!(pinned(&node, chain).await, Ok(()), "{chain}");
        }
        for chain in ["", "a", "ab"] {
            let older = Err(PinError::Older { known: 3 });
            assert_eq!(pinned(&node, chain).await, older, "{chain}");
        }
        assert_eq!(pinned(&node, "abcd").await, Ok(()));
    }

    #[tokio::test]
    async fn an_old_key_does_not_get_ahead_by_rotating_more_often() {
        let node = directory();
        assert_eq!(pinned(&node, "ab").await, Ok(()));
        for fork in ["xy", "ax", "axy", "xyz"] {
            let forked = Err(PinError::Forked);
            assert_eq!(pinned(&node, fork).await, forked, "{fork}");
        }
        assert_eq!(pinned(&node, "abx").await, Ok(()));
    }

    #[tokio::test]
    async fn a_chain_that_is_refused_leaves_nothing_behind() {
        let node = directory();
        assert_eq!(pinned(&node, "ab").await, Ok(()));
        assert_eq!(pinned(&node, "axyz").await, Err(PinError::Forked));
        assert_eq!(pinned(&node, "ab").await, Ok(()));
    }
}
