//! `adit key show`: the public half of a key and what it is called. The secret half is never shown.

use std::io::{self, Write as _};

use identity::{ChainError, MAX_CHAIN, SecretKey};

use super::times;
use crate::end::Misuse;
use crate::settings::Settings;

/// Prints what may be known of a key, one fact a line.
pub(super) fn show(
    settings: &Settings,
    key: &SecretKey,
    domain: Option<&str>,
) -> anyhow::Result<()> {
    let chain = key.chain();
    if let (Some(asked), Some(own)) = (domain, chain.domain())
        && chain.check_domain(asked) == Err(ChainError::OtherDomain)
    {
        return Err(Misuse(format!(
            "this key was rotated for {own}, so it has no hostname under {asked}; use another key file there"
        ))
        .into());
    }
    let label = key.tunnel_id(settings.name.as_deref()).label();
    let domain = domain.or_else(|| chain.domain());
    let domain = domain.unwrap_or("<domain of the server>");
    let public = key.public();
    let mut lines = vec![
        ("file", settings.key.display().to_string()),
        ("jwk", public.jwk_json()),
        ("thumbprint", public.thumbprint().to_string()),
        ("label", label.clone()),
        ("hostname", format!("{label}.{domain}")),
        // The root, whatever key holds its name now: so that the operator's line stays good.
        ("keys file", chain.keys()[0].to_string()),
    ];
    if let Some(own) = chain.domain() {
        let rotated = format!("{} of at most {MAX_CHAIN}, for {own}", times(key));
        lines.push(("rotated", rotated));
    }
    let mut out = io::stdout().lock();
    for (what, value) in lines {
        writeln!(out, "{what:<11} {value}")?;
    }
    Ok(())
}
