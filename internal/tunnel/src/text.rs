//! What a peer says in words ends up in somebody's terminal or log.

/// A stranger's sentence as it may be shown: without the control characters that a terminal obeys.
pub(crate) fn printable(text: &str) -> String {
    let harmless = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(harmless).collect()
}
