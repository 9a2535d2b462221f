//! Hosts that an operator grants: an ordinary host, or everything one label below a host (`*.blog.example`).

use messages::TunnelId;

use super::{HostError, MAX_HOST_LEN, canonical_host, separated_hash};

const WILDCARD: &str = "*.";

/// Sets these ids apart from those of keys.
const SPACE: &str = "adit-host";

/// The one spelling of a host that may be granted: [`canonical_host`], or `*.` in front of one.
///
/// # Errors
///
/// As [`canonical_host`].
pub fn canonical_grant(host: &str) -> Result<String, HostError> {
    match host.strip_prefix(WILDCARD) {
        Some(parent) => canonical_wildcard(parent),
        None => canonical_host(host),
    }
}

/// The tunnel of a host granted by an operator: SHA-256("adit-host" ‖ 0x00 ‖ canonical host).
///
/// # Errors
///
/// As [`canonical_host`], whose result is hashed; so a wildcard is no host.
pub fn granted_host_id(host: &str) -> Result<TunnelId, HostError> {
    Ok(separated_hash(SPACE, &canonical_host(host)?))
}

/// The tunnel that was granted every host one label below `parent`: SHA-256("adit-host" ‖ 0x00 ‖ "*." ‖ canonical parent).
///
/// # Errors
///
/// As [`canonical_host`].
pub fn wildcard_host_id(parent: &str) -> Result<TunnelId, HostError> {
    Ok(separated_hash(SPACE, &canonical_wildcard(parent)?))
}

/// The tunnel of what [`canonical_grant`] takes: [`granted_host_id`] or [`wildcard_host_id`].
///
/// # Errors
///
/// As [`canonical_host`].
pub fn grant_id(host: &str) -> Result<TunnelId, HostError> {
    Ok(separated_hash(SPACE, &canonical_grant(host)?))
}

fn canonical_wildcard(parent: &str) -> Result<String, HostError> {
    let parent = canonical_host(parent)?;
    if WILDCARD.len() + parent.len() > MAX_HOST_LEN {
        return Err(HostError::Length);
    }
    Ok(format!("{WILDCARD}{parent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_one_label_in_front_of_a_host() {
        assert_eq!(
            canonical_grant("*.Blog.Example.").as_deref(),
            Ok("*.blog.example")
        );
        assert_eq!(
            canonical_grant("Blog.Example").as_deref(),
            Ok("blog.example")
        );
        for (bad, why) in [
            ("*", HostError::Label),
            ("*.", HostError::Length),
            ("*.*.example", HostError::Label),
            ("a.*.example", HostError::Label),
            ("*a.example", HostError::Label),
            ("*.127.0.0.1", HostError::Address),
        ] {
            assert_eq!(canonical_grant(bad), Err(why), "{bad}");
            assert_eq!(grant_id(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_is_another_tunnel_than_its_parent_and_its_children() {
        let wildcard = wildcard_host_id("Blog.example").unwrap();
        assert_eq!(grant_id("*.blog.example"), Ok(wildcard));
        assert_ne!(granted_host_id("blog.example"), Ok(wildcard));
        assert_eq!(grant_id("blog.example"), granted_host_id("blog.example"));
        assert_eq!(granted_host_id("*.blog.example"), Err(HostError::Label));
        let long = format!("{}.example", "a.".repeat(122) + "a");
        assert!(canonical_host(&long).is_ok());
        assert_eq!(wildcard_host_id(&long), Err(HostError::Length));
    }

    /// Made with Python's hashlib and base64.
    #[test]
    fn the_label_of_a_wildcard_can_be_computed_by_anyone() {
        assert_eq!(
            wildcard_host_id("blog.example").unwrap().label(),
            "5g6oja723kokgv47o6xlefsuqc2kpfhwdz2uod7sca3pdlbmzkna"
        );
    }
}
