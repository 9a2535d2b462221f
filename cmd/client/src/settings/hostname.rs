//! Which hostname: one decision, in four spellings of which one may be used.

use agent::Hostname;
use identity::{canonical_grant, check_name};
use messages::TunnelId;
use runtime::config::{ConfigError, Layers, Loaded};

use super::Written;

/// The settings that spell a hostname.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    Name,
    Subdomain,
    CustomDomain,
    AutoName,
}

impl Spelling {
    pub(super) const ALL: [Self; 4] = [
        Self::Name,
        Self::Subdomain,
        Self::CustomDomain,
        Self::AutoName,
    ];

    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Subdomain => "subdomain",
            Self::CustomDomain => "custom_domain",
            Self::AutoName => "auto_name",
        }
    }

    /// The value of a setting that is not made.
    const fn blank(self) -> &'static str {
        match self {
            Self::Name | Self::Subdomain | Self::CustomDomain => "",
            Self::AutoName => "false",
        }
    }

    /// The spelling that a variable sets, unless it only says no.
    pub(super) fn of_variable(name: &str, value: &str) -> Option<Self> {
        let spelled = |spelling: &Self| {
            name.strip_prefix("ADIT_")
                .is_some_and(|name| name.eq_ignore_ascii_case(spelling.field()))
        };
        let spelling = Self::ALL.into_iter().find(spelled)?;
        (value != spelling.blank()).then_some(spelling)
    }

    /// Makes the decision in this spelling, above whatever the layers below have decided in any.
    pub(crate) fn decide(self, layers: Layers, origin: &str, value: &str) -> Layers {
        Self::ALL.into_iter().fold(layers, |layers, spelling| {
            let value = if spelling == self {
                value
            } else {
                spelling.blank()
            };
            layers.flag(spelling.field(), origin, Some(value))
        })
    }

    fn is_used(self, written: &Written) -> bool {
        let text = match self {
            Self::Name => &written.name,
            Self::Subdomain => &written.subdomain,
            Self::CustomDomain => &written.custom_domain,
            Self::AutoName => return written.auto_name.0,
        };
        text.as_ref().is_some_and(|text| !text.trim().is_empty())
    }
}

/// The hostname that the settings come to.
///
/// # Errors
/// Two spellings in one layer, or one that spells none.
pub(super) fn read(loaded: &Loaded<Written>) -> Result<Hostname, ConfigError> {
    let written = &loaded.settings;
    let mut used = Spelling::ALL
        .into_iter()
        .filter(|spelling| spelling.is_used(written));
    let Some(spelling) = used.next() else {
        return Ok(Hostname::Own);
    };
    let fault = |problem: String| loaded.fault(spelling.field(), problem);
    if let Some(other) = used.next() {
        return Err(fault(format!(
            "{} is set too, but a tunnel has one hostname; leave one of them out",
            other.field()
        )));
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match spelling {
        Spelling::Name => {
            let name = text(&written.name);
            check_name(&name).map_err(|error| fault(error.to_string()))?;
            Ok(Hostname::Named(name))
        }
        Spelling::Subdomain => {
            subdomain(&text(&written.subdomain)).map_err(|why| fault(why.to_owned()))
        }
        Spelling::CustomDomain => canonical_grant(&text(&written.custom_domain))
            .map(Hostname::Custom)
            .map_err(|error| fault(error.to_string())),
        Spelling::AutoName => Ok(Hostname::Auto),
    }
}

fn subdomain(text: &str) -> Result<Hostname, &'static str> {
    if text == "@" {
        return Ok(Hostname::Base);
    }
    let granted = text.to_ascii_lowercase();
    let label = granted.strip_prefix("*.").unwrap_or(&granted);
    if check_name(label).is_err() {
        return Err(
            "one DNS label is wanted: 1 to 63 of a-z, 0-9 and inner '-'; or *. and a label; or @ for the server's \
             domain itself",
        );
    }
    if TunnelId::from_label(label).is_ok() {
        return Err(
            "that is the label of a key: nobody can be granted it, its key has it already; leave --subdomain out to \
             publish at the key's own",
        );
    }
    Ok(Hostname::Label(granted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_is_one_label_in_any_case_or_everything_under_one_or_the_base() {
        let label = |text: &str| Ok(Hostname::Label(text.to_owned()));
        assert_eq!(subdomain("Blog"), label("blog"));
        assert_eq!(subdomain("*.blog"), label("*.blog"));
        assert_eq!(subdomain("@"), Ok(Hostname::Base));
        for wrong in ["a.b", "*", "*.", "-a", "a_b", "blog.", "*.*.a", "a b"] {
            let why = subdomain(wrong).unwrap_err();
            assert!(why.starts_with("one DNS label"), "{wrong}: {why}");
        }
        let of_a_key = "a".repeat(52);
        assert!(subdomain(&of_a_key).unwrap_err().contains("of a key"));
    }
}
