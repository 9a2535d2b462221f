//! What only the settings as a whole can show to be wrong.

use runtime::config::{ConfigError, Loaded, Period};

use uplink::AdmissionMode;

use super::{ProxyProtocol, Settings};

/// The smallest head that hyper will buffer, and the largest that fits a frame with what the edge adds to it.
const MAX_HEAD: std::ops::RangeInclusive<u64> = 8 * 1024..=56 * 1024;

/// The longest domain that leaves room for a label and its dot in a DNS name (RFC 1035, 2.3.4).
const MAX_DOMAIN: usize = 253 - 53;

/// More threads than any machine has use for: a typing error, not a wish.
const MAX_WORKERS: u32 = 256;

/// Checks what the fields' types cannot know, and fills in what follows from other fields.
///
/// # Errors
/// The first fault, with its field and its cure.
pub(crate) fn checked(mut loaded: Loaded<Settings>) -> Result<Loaded<Settings>, ConfigError> {
    let fault = match first_fault(&loaded.settings) {
        Some((field, problem)) => return Err(loaded.fault(field, problem)),
        None => loaded.settings.derived_url(),
    };
    loaded.settings.public_url = fault;
    Ok(loaded)
}

fn first_fault(settings: &Settings) -> Option<(&'static str, String)> {
    let Settings {
        visitors,
        exchanges,
        links,
        admission,
        pins_file,
        bus,
        channel_listen,
        channel_advertise,
        channel_key_file,
        ..
    } = settings;
    let timers = [
        ("grace", settings.grace),
        ("visitors.header_timeout", visitors.header_timeout),
        ("visitors.idle_timeout", visitors.idle_timeout),
        ("exchanges.head_timeout", exchanges.head_timeout),
        ("exchanges.body_timeout", exchanges.body_timeout),
        ("exchanges.write_stall", exchanges.write_stall),
        (
            "exchanges.idle_timeout",
            exchanges.idle_timeout.0.map_or(Period::secs(1), Period),
        ),
        ("links.ping_after", links.ping_after),
        ("admission.handshake_timeout", admission.handshake_timeout),
    ];
    if let Some((field, _)) = timers.into_iter().find(|(_, period)| period.0.is_zero()) {
        return Some((
            field,
            "a timer of no length would end everything at once; write 1s or more".to_owned(),
        ));
    }
    let domain = settings.domain.as_str();
    let headers = u32::try_from(messages::MAX_HEADERS).unwrap_or(u32::MAX);
    let rules = [
        (
            domain.len() > MAX_DOMAIN,
            "domain",
            format!(
                "the name leaves no room for a label; write one of at most {MAX_DOMAIN} characters"
            ),
        ),
        (
            settings
                .public_url
                .as_ref()
                .is_some_and(|url| url.host != domain),
            "public_url",
            format!(
                "its host is not the domain; write one with the host {domain}, or set domain too"
            ),
        ),
        (
            settings.workers.get() > MAX_WORKERS,
            "workers",
            format!("too many threads; write {MAX_WORKERS} or less"),
        ),
        (
            settings.drain_delay >= settings.grace,
            "drain_delay",
            "it leaves nothing of the grace period; write less than grace".to_owned(),
        ),
        (
            visitors.proxy_protocol != ProxyProtocol(edge::ProxyProtocol::Off)
                && settings.trusted_proxies.0.is_empty(),
            "visitors.proxy_protocol",
            "nobody is trusted to say it; write trusted_proxies too, or off".to_owned(),
        ),
        (
            links.dead_after <= links.ping_after,
            "links.dead_after",
            "a link would be dead before its ping is answered; write more than links.ping_after"
                .to_owned(),
        ),
        (
            !MAX_HEAD.contains(&visitors.max_head.0),
            "visitors.max_head",
            "write a size from 8KiB to 56KiB".to_owned(),
        ),
        (
            visitors.max_headers.get() > headers,
            "visitors.max_headers",
            format!("more than a frame carries; write {headers} or less"),
        ),
        (
            pins_file.is_some() && !bus.is_memory(),
            "pins_file",
            "the bus keeps the pins of a fleet; leave it out, or write bus = \"memory\"".to_owned(),
        ),
        (
            channel_listen.is_none() && channel_advertise.is_some(),
            "channel_advertise",
            "there is no channel to advertise; write channel_listen too".to_owned(),
        ),
        (
            channel_listen.is_none() && channel_key_file.is_some(),
            "channel_key_file",
            "there is no channel to have a key; write channel_listen too".to_owned(),
        ),
        (
            channel_listen.is_some_and(|listen| listen.0.ip().is_unspecified())
                && !bus.is_memory()
                && channel_advertise.is_none()
                && channel_key_file.is_none(),
            "channel_listen",
            "each node would show a key of its own behind one name; write the same channel_key_file for all of them, or a channel_advertise for each"
                .to_owned(),
        ),
        (
            admission.mode.0 == AdmissionMode::Listed && admission.keys_file.is_none(),
            "admission.mode",
            "nobody would come in; write admission.keys_file too, or open".to_owned(),
        ),
        (
            u32::try_from(exchanges.window_budget.0).is_err(),
            "exchanges.window_budget",
            "write less than 4GiB".to_owned(),
        ),
    ];
    rules
        .into_iter()
        .find(|(broken, ..)| *broken)
        .map(|(_, field, problem)| (field, problem))
}
