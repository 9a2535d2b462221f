//! Which spellings a tunnel's name and a granted host may have, and the ids they hash to.
//!
//! An id is a hash, so two spellings of one name would be two tunnels. Hence one spelling each: a tunnel name that is
//! not in canonical form is refused, a host is brought into it.

mod auto;
mod grant;

use std::net::Ipv6Addr;

use messages::TunnelId;
use sha2::{Digest, Sha256};

pub use auto::auto_name;
pub use grant::{canonical_grant, grant_id, granted_host_id, wildcard_host_id};

/// The longest tunnel name, in bytes: the same as a DNS label, so that a name may become one later.
pub const MAX_NAME_LEN: usize = 63;

/// The longest DNS name in its text form without the final dot (RFC 1035 section 2.3.4).
const MAX_HOST_LEN: usize = 253;

/// Why a text is no tunnel name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or more than [`MAX_NAME_LEN`] bytes.
    #[error("a tunnel name has 1 to 63 characters")]
    Length,
    /// A character outside `a-z`, `0-9` and `-`. Upper case is refused, not folded.
    #[error("a tunnel name is made of a-z, 0-9 and '-'; {0:?} is none of them")]
    Character(char),
    /// A hyphen in front or at the end.
    #[error("a tunnel name neither begins nor ends with '-'")]
    EdgeHyphen,
}

/// Why a text is no host that can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Empty, or longer than DNS allows.
    #[error("a host name has 1 to 253 characters")]
    Length,
    /// Some label is empty, longer than 63, or not letters, digits and inner hyphens. International names must be
    /// given in their `xn--` form; ports, paths, userinfo and wildcards are no part of a host name.
    #[error("a host name is labels of a-z, 0-9 and inner '-', joined by dots, without a port")]
    Label,
    /// An IP address: nobody is granted one.
    #[error("a host name, not an IP address, is wanted")]
    Address,
}

/// Checks the name of a key's further tunnel: 1 to 63 of `a-z`, `0-9`, `-`, without a hyphen at either edge.
///
/// # Errors
///
/// The first rule that is broken.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > MAX_NAME_LEN {
        return Err(NameError::Length);
    }
    let foreign = |c: &char| !matches!(c, 'a'..='z' | '0'..='9' | '-');
    if let Some(character) = name.chars().find(foreign) {
        return Err(NameError::Character(character));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(NameError::EdgeHyphen);
    }
    Ok(())
}

/// The one spelling of a host name: ASCII lower case, no final dot, no port.
///
/// # Errors
///
/// [`HostError`] for what is no DNS host name (RFC 1123 section 2.1).
pub fn canonical_host(host: &str) -> Result<String, HostError> {
    let unbracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if unbracketed.unwrap_or(host).parse::<Ipv6Addr>().is_ok() {
        return Err(HostError::Address);
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.is_empty() || host.len() > MAX_HOST_LEN {
        return Err(HostError::Length);
    }
    // A label has exactly the grammar of a tunnel name.
    if host.split('.').any(|label| check_name(label).is_err()) {
        return Err(HostError::Label);
    }
    if host.rsplit('.').next().is_some_and(is_number) {
        return Err(HostError::Address);
    }
    Ok(host)
}

/// The further tunnel `name` of the key whose own tunnel is `own`: SHA-256(label ‖ 0x00 ‖ name).
pub(crate) fn named_tunnel_id(own: TunnelId, name: &str) -> TunnelId {
    separated_hash(&own.label(), name)
}

/// The zero byte is in neither part, so no two pairs hash the same text.
fn separated_hash(space: &str, name: &str) -> TunnelId {
    let hash = Sha256::new()
        .chain_update(space)
        .chain_update([0])
        .chain_update(name);
    TunnelId(hash.finalize().into())
}

/// Browsers read a host whose last label is a number, decimal or hexadecimal, as an IPv4 address (WHATWG URL, 3.5).
fn is_number(label: &str) -> bool {
    let hexadecimal = label
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_spelled_like_a_dns_label() {
        for good in ["a", "web", "my-api-2", "0", "a--b", &"x".repeat(63)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Length),
            (&*"x".repeat(64), NameError::Length),
            ("Web", NameError::Character('W')),
            ("a.b", NameError::Character('.')),
            ("a_b", NameError::Character('_')),
            ("a b", NameError::Character(' ')),
            ("a\0", NameError::Character('\0')),
            ("zürich", NameError::Character('ü')),
            ("-", NameError::EdgeHyphen),
            ("-web", NameError::EdgeHyphen),
            ("web-", NameError::EdgeHyphen),
        ] {
            assert_eq!(check_name(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_host_has_one_spelling() {
        for (given, canonical) in [
            ("example.org", "example.org"),
            ("Example.ORG.", "example.org"),
            ("XN--ZRICH-KVA.example", "xn--zrich-kva.example"),
            ("localhost", "localhost"),
            ("1.2.3.4.example", "1.2.3.4.example"),
        ] {
            assert_eq!(canonical_host(given).as_deref(), Ok(canonical));
            assert_eq!(granted_host_id(given), granted_host_id(canonical));
        }
    }

    /// Made with Python's hashlib and base64.
    #[test]
    fn the_label_of_a_granted_host_can_be_computed_by_anyone() {
        assert_eq!(
            granted_host_id("Example.org").unwrap().label(),
            "aynzldadk4hip5qmeo7xoumq4c6cimctarwao7gqyfhn5umat4qa"
        );
    }

    #[test]
    fn what_is_no_host_is_not_granted() {
        for (bad, why) in [
            ("", HostError::Length),
            (".", HostError::Length),
            (&*format!("{}a", "a.".repeat(127)), HostError::Length),
            (&*format!("{}.org", "a".repeat(64)), HostError::Label),
            ("example.org..", HostError::Label),
            (".example.org", HostError::Label),
            ("a..b", HostError::Label),
            ("-a.example", HostError::Label),
            ("a_b.example", HostError::Label),
            ("*.example", HostError::Label),
            ("example.org:80", HostError::Label),
            ("user@example.org", HostError::Label),
            ("zürich.example", HostError::Label),
            ("127.0.0.1", HostError::Address),
            ("127.0.0.1.", HostError::Address),
            ("2130706433", HostError::Address),
            ("0x7f000001", HostError::Address),
            ("example.0x7f", HostError::Address),
            ("[::1]", HostError::Address),
            ("::1", HostError::Address),
        ] {
            assert_eq!(canonical_host(bad), Err(why), "{bad:?}");
            assert_eq!(granted_host_id(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn the_ids_of_different_kinds_never_meet() {
        let own = TunnelId([7; 32]);
        let named = named_tunnel_id(own, "web");
        assert_ne!(named, own);
        assert_ne!(named, named_tunnel_id(own, "we"));
        assert_ne!(named, named_tunnel_id(TunnelId([8; 32]), "web"));
        assert_ne!(Ok(named), granted_host_id("web"));
    }
}
