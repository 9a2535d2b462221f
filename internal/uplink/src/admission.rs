//! Who comes in, as whom, and under which name.
//!
//! In the order in which it is asked: [`caps`], before the first byte is
//! answered; then, of a registration that was verified, the [`rules`] that the
//! operator wrote down, which are the [`keys_file`] (whom to admit, and which
//! hosts are granted to whom: [`grants`]), the join [`tokens`] and the
//! [`ceiling`] over policies. Rules can be exchanged while links are up; what a
//! link was admitted by is its [`standing`], and is judged again then.

pub(crate) mod caps;
mod ceiling;
pub(crate) mod custom_domains;
pub(crate) mod denial;
mod grants;
pub(crate) mod key_links;
mod keys_file;
mod lines;
pub(crate) mod rules;
pub(crate) mod standing;
mod tokens;

pub use ceiling::Ceiling;
pub use custom_domains::{TxtError, TxtResolver};
pub use keys_file::{Keys, MAX_KEYS_FILE};
pub use lines::BadLines;
pub use rules::{AdmissionMode, Rules};
pub use tokens::{MAX_TOKENS, MAX_TOKENS_FILE, NotAToken, Token};
