//! The settings as a whole, and their agreement with the defaults of the two halves.

use std::path::Path;

use runtime::config::{Layers, to_toml};

use super::*;

fn from_flags(flags: &[(&str, &str)]) -> Result<Settings, String> {
    let layers = flags.iter().fold(Layers::new(), |layers, (path, value)| {
        layers.flag(path, "a flag", Some(value))
    });
    let settings = layers
        .load()
        .and_then(checked)
        .map(|loaded| loaded.settings);
    settings.map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_those_of_edge_and_uplink() {
    let settings = from_flags(&[]).unwrap();
    assert_eq!(
        format!("{:?}", settings.edge()),
        format!("{:?}", edge::Config::default())
    );
    let ours = settings.uplink(&PublicUrl::plain(&settings.domain, 80));
    let theirs = uplink::Config::new("localhost");
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

#[test]
fn the_public_url_follows_from_the_listener_unless_it_is_set() {
    let url = |flags: &[_]| {
        from_flags(flags)
            .unwrap()
            .public_url
            .map(|url| url.to_string())
    };
    assert_eq!(url(&[]).unwrap(), "http://localhost:8080");
    assert_eq!(
        url(&[("listen", "0.0.0.0:80"), ("domain", "Adit.Example.")]).unwrap(),
        "http://adit.example"
    );
    assert_eq!(url(&[("listen", "127.0.0.1:0")]), None);
    let behind_a_proxy = [
        ("domain", "adit.example"),
        ("public_url", "https://ADIT.example:443/"),
    ];
    assert_eq!(url(&behind_a_proxy).unwrap(), "https://adit.example");
}

#[test]
fn a_channel_is_advertised_by_name_or_address_and_a_fleet_says_which() {
    for place in [
        "Tunnels.Example:8443",
        "192.0.2.7:443",
        "[2001:db8::1]:8443",
    ] {
        let flags = [
            ("channel_listen", "0.0.0.0:8443"),
            ("channel_advertise", place),
            ("bus", "redis://localhost"),
        ];
        let advertise = from_flags(&flags).unwrap().channel_advertise.unwrap();
        assert_eq!(advertise.as_str(), place.to_ascii_lowercase());
    }
    for more in [
        ("channel_key_file", "key.pem"),
        ("channel_listen", "192.0.2.7:1"),
    ] {
        let flags = [
            ("channel_listen", "0.0.0.0:8443"),
            ("bus", "redis://localhost"),
            more,
        ];
        from_flags(&flags).unwrap();
    }
}

#[test]
fn what_cannot_work_is_refused_with_field_and_cure() {
    let cases = [
        (
            &[("listen", "8080")][..],
            "listen (from a flag): \"8080\" is not an address to listen on; write an IP address and a port",
        ),
        (
            &[("domain", "*.adit.example")],
            "domain (from a flag): \"*.adit.example\" is not a domain name; write a name such as",
        ),
        (
            &[("domain", "192.0.2.1")],
            "domain (from a flag): \"192.0.2.1\" is not a domain name",
        ),
        (
            &[("public_url", "https://other.example")],
            "public_url (from a flag): its host is not the domain; write one with the host localhost",
        ),
        (
            &[("public_url", "https://u:p@localhost")],
            "public_url (from a flag): ",
        ),
        (
            &[("public_url", "https://localhost/x")],
            "public_url (from a flag): \"https://localhost/x\" has more than scheme, host and port",
        ),
        (
            &[("channel_advertise", "tunnels.example:8443")],
            "channel_advertise (from a flag): there is no channel to advertise; write channel_listen too",
        ),
        (
            &[("channel_key_file", "key.pem")],
            "channel_key_file (from a flag): there is no channel to have a key",
        ),
        (
            &[
                ("channel_listen", "0.0.0.0:1"),
                ("bus", "redis://localhost"),
            ],
            "channel_listen (from a flag): each node would show a key of its own behind one name",
        ),
        (
            &[("channel_advertise", "tunnels.example")],
            "channel_advertise (from a flag): \"tunnels.example\" is not such a place; write host and port",
        ),
        (
            &[("channel_advertise", "0.0.0.0:8443")],
            "channel_advertise (from a flag): \"0.0.0.0:8443\" is not such a place",
        ),
        (
            &[("channel_advertise", "tunnels.example:0")],
            "channel_advertise (from a flag): \"tunnels.example:0\" is not such a place",
        ),
        (
            &[("workers", "1000")],
            "workers (from a flag): too many threads; write 256 or less",
        ),
        (
            &[("exchanges.max_body", "big")],
            "exchanges.max_body (from a flag): \"big\" is not a size; write a number of bytes",
        ),
        (
            &[("links.dead_after", "5s")],
            "links.dead_after (from a flag): a link would be dead before",
        ),
        (
            &[("exchanges.head_timeout", "0s")],
            "exchanges.head_timeout (from a flag): a timer of no length",
        ),
        (
            &[("drain_delay", "30s")],
            "drain_delay (from a flag): it leaves nothing of the grace period",
        ),
        (
            &[("visitors.max_head", "1MiB")],
            "visitors.max_head (from a flag): write a size from 8KiB to 56KiB",
        ),
        (
            &[("trusted_proxies", "10.0.0.0/8,everyone")],
            "trusted_proxies (from a flag): \"everyone\" is no IP address",
        ),
        (
            &[("visitors.proxy_protocol", "v2")],
            "visitors.proxy_protocol (from a flag): \"v2\" is no such word; write off, accept or require",
        ),
        (
            &[("visitors.proxy_protocol", "accept")],
            "visitors.proxy_protocol (from a flag): nobody is trusted to say it; write trusted_proxies too, or off",
        ),
        (
            &[("admission.mode", "closed")],
            "admission.mode (from a flag): \"closed\" is no mode of admission; write open or listed",
        ),
        (
            &[("admission.mode", "listed")],
            "admission.mode (from a flag): nobody would come in; write admission.keys_file too",
        ),
        (
            &[("admission.custom_domains", "yes")],
            "admission.custom_domains (from a flag): \"yes\" is neither; write true or false",
        ),
        (
            &[("admission.name_servers", "dns.example")],
            "admission.name_servers (from a flag): \"dns.example\" is no address of a name server",
        ),
        (
            &[("policy.forbid", "cars")],
            "policy.forbid (from a flag): no policy has a field \"cars\"; write basic_auth, ",
        ),
        (
            &[("bus", "redis://store"), ("pins_file", "/pins")],
            "pins_file (from a flag): the bus keeps the pins of a fleet; leave it out",
        ),
        (
            &[("port", "80")],
            "port (from a flag): unknown field `port`",
        ),
    ];
    for (flags, complaint) in cases {
        let error = from_flags(flags).unwrap_err();
        assert!(error.starts_with(complaint), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn proxies_are_trusted_by_word_address_or_network() {
    let trusted = |words: &str| {
        let settings = from_flags(&[("trusted_proxies", words)]).unwrap();
        let networks = settings.edge().trusted_proxies.into_iter();
        networks
            .map(|network| network.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(trusted("loopback"), ["127.0.0.0/8", "::1/128"]);
    assert_eq!(
        trusted("private,192.0.2.7,2001:db8::/32"),
        [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",
            "192.0.2.7/32",
            "2001:db8::/32"
        ]
    );
    let settings = from_flags(&[("trusted_proxies", "loopback,private,10.0.0.7")]).unwrap();
    let shown = to_toml(&settings).unwrap();
    assert!(
        shown.contains("trusted_proxies = [\"loopback\", \"private\", \"10.0.0.7/32\"]"),
        "{shown}"
    );
}

#[test]
fn limits_are_for_the_edge_and_are_told_to_agents() {
    let settings = from_flags(&[
        ("limits.tunnel_requests_per_second", "50"),
        ("limits.tunnel_request_burst", "80"),
        ("limits.visitor_requests_per_second", "5"),
        ("limits.visitor_misses_per_second", "unlimited"),
        ("visitors.max_connections_per_address", "unlimited"),
        ("visitors.proxy_protocol", "require"),
        ("trusted_proxies", "loopback"),
        ("connect_names", "eu.adit.example"),
    ])
    .unwrap();
    let edge = settings.edge();
    assert_eq!(edge.tunnel_requests, edge::Rate::new(50, 80));
    assert_eq!(edge.visitor_requests, edge::Rate::new(5, 1000));
    assert_eq!(edge.visitor_misses, None);
    assert_eq!(edge.max_connections_per_address, None);
    assert_eq!(edge.proxy_protocol, edge::ProxyProtocol::Require);
    assert_eq!(edge.own_names, ["eu.adit.example"]);
    let told = settings
        .uplink(&PublicUrl::plain(&settings.domain, 80))
        .limits;
    assert_eq!(told.requests_per_second, Some(50));
    assert_eq!(told.visitor_requests_per_second, Some(5));
}

#[test]
fn a_password_in_the_bus_url_is_hidden() {
    let settings = from_flags(&[("bus", "redis://joe:hunter2@store:6379/0")]).unwrap();
    assert_eq!(settings.bus.expose(), "redis://joe:hunter2@store:6379/0");
    assert!(
        to_toml(&settings)
            .unwrap()
            .contains("bus = \"redis://[hidden]@store:6379/0\"")
    );
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn a_token_is_hidden_wherever_settings_are_shown() {
    let settings =
        from_flags(&[("admission.tokens", "a-token-of-ours-1,a-token-of-ours-2")]).unwrap();
    assert_eq!(settings.admission.tokens.0.len(), 2);
    let printed = to_toml(&settings).unwrap();
    assert!(
        printed.contains("tokens = [\"[hidden]\", \"[hidden]\"]"),
        "{printed}"
    );
    assert!(!printed.contains("of-ours") && !format!("{settings:?}").contains("of-ours"));
    let wrong = from_flags(&[("admission.tokens", "hunter2")]).unwrap_err();
    assert!(!wrong.contains("hunter2"), "{wrong}");
}

#[test]
fn a_name_server_listens_on_port_53_unless_it_is_said() {
    let settings = from_flags(&[("admission.name_servers", "9.9.9.9,[::1]:5353,::1")]).unwrap();
    let servers = settings.admission.name_servers.0.iter();
    let servers: Vec<_> = servers.map(ToString::to_string).collect();
    assert_eq!(servers, ["9.9.9.9:53", "[::1]:5353", "[::1]:53"]);
}

#[test]
fn what_policies_may_have_at_most_is_what_a_policy_can_say() {
    let ours = from_flags(&[]).unwrap().policy;
    assert!(ours.forbid.0.is_empty());
    assert_eq!(ours.max_credentials.get(), 8);
    let mut theirs = uplink::Ceiling::default();
    theirs.limit_credentials(8);
    assert_eq!(ours.ceiling(), theirs);
}

#[test]
fn the_sample_file_says_what_the_defaults_are() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/adit-server.toml");
    let loaded = Layers::new()
        .file(Some(sample))
        .load()
        .and_then(checked)
        .unwrap();
    let defaults = from_flags(&[]).unwrap();
    assert_eq!(
        to_toml(&loaded.settings).unwrap(),
        to_toml(&defaults).unwrap()
    );
}
