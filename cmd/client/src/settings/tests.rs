//! Each layer, and every complaint.

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};

use super::*;

fn from(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    let layers = environment(variables).map_err(|error| error.to_string())?;
    let layers = layers.flag("key", "--key", Some("/k"));
    Settings::load(layers).map_err(|error| error.to_string())
}

#[test]
fn nothing_set_is_a_server_on_this_machine_and_empty_is_not_set() {
    for variables in [&[][..], &[("ADIT_SERVER", ""), ("ADIT_NAME", "")]] {
        let settings = from(variables).unwrap();
        assert_eq!(settings.server.to_string(), DEFAULT_SERVER);
        assert_eq!(settings.name, None);
    }
}

#[test]
fn the_servers_variables_are_not_ours_and_ours_are_read() {
    let settings = from(&[
        ("ADIT_LISTEN", "127.0.0.1:1"),
        ("ADIT_CONFIG", "/etc/adit-server.toml"),
        ("ADIT_SERVER", "tunnels.example"),
        ("ADIT_EXPECT_DOMAIN", "Tunnels.Example."),
        ("ADIT_LINKS", "3"),
        ("ADIT_TRANSPORT", "auto"),
        ("ADIT_MODE", "shared"),
    ])
    .unwrap();
    assert_eq!(settings.server.to_string(), "https://tunnels.example");
    assert_eq!(settings.expect_domain.as_deref(), Some("tunnels.example"));
    assert_eq!(settings.links.to_string(), "3");
    assert_eq!(settings.transports.to_string(), "auto");
    assert_eq!(settings.mode, Mode::Shared);
}

#[test]
fn a_bad_value_is_one_line_with_field_origin_and_fix() {
    for (variable, value, complaint) in [
        (
            "ADIT_SERVER",
            "ftp://x",
            "server (from ADIT_SERVER): the server's scheme is \"ftp\", but must be https or http; \
             write https://host or http://host:port",
        ),
        (
            "ADIT_NAME",
            "Photos",
            "name (from ADIT_NAME): a tunnel name is made of a-z, 0-9 and '-'; 'P' is none of them",
        ),
        (
            "ADIT_TARGET_PROTOCOL",
            "h2",
            "target_protocol (from ADIT_TARGET_PROTOCOL): \"h2\" is no protocol for a target; write http1 or h2c",
        ),
        (
            "ADIT_LINKS",
            "9",
            "links (from ADIT_LINKS): \"9\" is no such number; write auto, or a whole number from 1 to 8",
        ),
        (
            "ADIT_TRANSPORT",
            "udp",
            "transport (from ADIT_TRANSPORT): \"udp\" is no transport; write ws, tcp or auto",
        ),
        (
            "ADIT_MODE",
            "both",
            "mode (from ADIT_MODE): \"both\" is no mode; write exclusive or shared",
        ),
        (
            "ADIT_LOG_FORMAT",
            "xml",
            "log_format (from ADIT_LOG_FORMAT): \"xml\" is no log format; write text or json",
        ),
    ] {
        assert_eq!(from(&[(variable, value)]).unwrap_err(), complaint);
    }
    let complaint = from(&[("ADIT_EXPECT_DOMAIN", "https://x")]).unwrap_err();
    assert!(
        complaint.starts_with("expect_domain (from ADIT_EXPECT_DOMAIN): "),
        "{complaint}"
    );
}

/// The settings of `adit http 3000` with these flags and variables.
fn with(flags: &[&str], variables: &[(&str, &str)]) -> Result<(Settings, Secrets), String> {
    let line = [&["adit", "http", "3000", "--key", "/k"][..], flags].concat();
    let Cli { command } = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
    let Command::Http(http) = command else {
        panic!("it is adit http")
    };
    let variables: Vec<Variable> = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let read = Secrets::of(&variables).and_then(|secrets| {
        let layers = http.layers(environment(variables)?);
        Ok((Settings::load(layers)?, secrets))
    });
    read.map_err(|error| error.to_string())
}

fn hostname(flags: &[&str], variables: &[(&str, &str)]) -> Result<Hostname, String> {
    with(flags, variables).map(|(settings, _)| settings.hostname)
}

fn label(label: &str) -> Hostname {
    Hostname::Label(label.to_owned())
}

#[test]
fn a_hostname_is_chosen_by_one_flag() {
    for (flags, chosen) in [
        (&[][..], Hostname::Own),
        (&["--name", "photos"], Hostname::Named("photos".to_owned())),
        (&["--subdomain", "Blog"], label("blog")),
        (&["--subdomain", "@"], Hostname::Base),
        (&["--root"], Hostname::Base),
        (
            &["--domain", "App.Example.org."],
            Hostname::Custom("app.example.org".to_owned()),
        ),
        (&["--auto-name"], Hostname::Auto),
    ] {
        assert_eq!(hostname(flags, &[]), Ok(chosen));
    }
    for flags in [
        &["--name", "a", "--subdomain", "b"][..],
        &["--root", "--subdomain", "b"],
        &["--domain", "a.example", "--auto-name"],
        &["--name", "a", "--root"],
    ] {
        let said = hostname(flags, &[]).unwrap_err();
        assert!(said.contains("cannot be used with"), "{said}");
    }
    for flags in [["--subdomain", ""], ["--name", ""], ["--domain", ""]] {
        assert!(
            hostname(&flags, &[])
                .unwrap_err()
                .contains("a value is required")
        );
    }
}

#[test]
fn the_hostname_of_a_higher_layer_is_the_hostname_however_it_is_spelled() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "name = 'photos'\n").unwrap();
    let config = ["--config", file.path().to_str().unwrap()];
    let both = |flags: &[&str], variables: &[(&str, &str)]| {
        hostname(&[&config, flags].concat(), variables)
    };
    let variable = ("ADIT_SUBDOMAIN", "blog");
    assert_eq!(both(&[], &[]), Ok(Hostname::Named("photos".to_owned())));
    assert_eq!(both(&[], &[variable]), Ok(label("blog")));
    assert_eq!(both(&[], &[("ADIT_SUBDOMAIN", "  ")]), both(&[], &[]));
    assert_eq!(both(&[], &[("ADIT_AUTO_NAME", "true")]), Ok(Hostname::Auto));
    assert_eq!(both(&[], &[("ADIT_AUTO_NAME", "false")]), both(&[], &[]));
    assert_eq!(both(&["--root"], &[variable]), Ok(Hostname::Base));
    let named = both(&["--name", "a"], &[variable]);
    assert_eq!(named, Ok(Hostname::Named("a".to_owned())));
    let two = [variable, ("ADIT_CUSTOM_DOMAIN", "a.example")];
    assert_eq!(both(&["--auto-name"], &two), Ok(Hostname::Auto));
    let said = hostname(&[], &two).unwrap_err();
    assert_eq!(
        said,
        "subdomain (from ADIT_SUBDOMAIN): custom_domain is set too, but a tunnel has one hostname; leave one of them out"
    );
}

#[test]
fn a_hostname_that_is_none_is_told_by_its_flag() {
    for (flags, said) in [
        (
            ["--subdomain", "a.b"],
            "subdomain (from --subdomain): one DNS label is wanted",
        ),
        (
            ["--domain", "127.0.0.1"],
            "custom_domain (from --domain): a host name, not an IP address",
        ),
        (
            ["--name", "A"],
            "name (from --name): a tunnel name is made of",
        ),
    ] {
        let complaint = hostname(&flags, &[]).unwrap_err();
        assert!(complaint.starts_with(said), "{complaint:?} is not {said:?}");
    }
}

#[test]
fn the_join_token_comes_from_the_flags_file_or_the_environment_and_is_one_word() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let flags = ["--token-file", path];
    let token = |flags: &[&str], variables: &[(&str, &str)]| {
        let (settings, secrets) = with(flags, variables)?;
        let token = settings
            .token(&secrets)
            .map_err(|error| error.to_string())?;
        assert!(!format!("{token:?}{settings:?}").contains("token-of"));
        Ok::<_, String>(token.map(|token| token.expose().to_owned()))
    };
    std::fs::write(path, "token-of-the-file\n").unwrap();
    let variable = ("ADIT_TOKEN", " token-of-the-environment ");
    let of = |what: &str| Ok(Some(format!("token-of-the-{what}")));
    assert_eq!(token(&[], &[]), Ok(None));
    assert_eq!(token(&[], &[("ADIT_TOKEN", " ")]), Ok(None));
    assert_eq!(token(&flags, &[variable]), of("file"));
    assert_eq!(token(&[], &[variable]), of("environment"));
    assert_eq!(token(&[], &[("ADIT_TOKEN_FILE", path)]), of("file"));
    let two = token(&[], &[variable, ("ADIT_TOKEN_FILE", path)]);
    assert_eq!(
        two.unwrap_err(),
        "ADIT_TOKEN: ADIT_TOKEN_FILE is set too; unset one of them"
    );
    for content in ["", "two words", "\u{fc}", &"x".repeat(257)] {
        std::fs::write(path, content).unwrap();
        let said = token(&flags, &[]).unwrap_err();
        assert!(
            said.starts_with("token_file (from --token-file): the token is one word"),
            "{said}"
        );
    }
    let said = token(&["--token-file", "/nowhere"], &[]).unwrap_err();
    assert!(said.contains("cannot read /nowhere"), "{said}");
}

#[test]
fn how_the_service_is_called_is_three_words() {
    let flags = [
        "--host-header",
        "rewrite",
        "--send-proxy-protocol",
        "v2",
        "--self-check",
    ];
    let (settings, _) = with(&flags, &[]).unwrap();
    assert_eq!(settings.host_header, HostHeader::Rewrite);
    assert_eq!(settings.send_proxy_protocol, Some(ProxyProtocol::V2));
    assert!(settings.self_check);
    let variables = [
        ("ADIT_HOST_HEADER", "app.local"),
        ("ADIT_SEND_PROXY_PROTOCOL", "v1"),
        ("ADIT_SELF_CHECK", "true"),
    ];
    let (settings, _) = with(&[], &variables).unwrap();
    assert_eq!(settings.host_header.to_string(), "app.local");
    assert_eq!(settings.send_proxy_protocol, Some(ProxyProtocol::V1));
    assert!(settings.self_check);
    for (variable, said) in [
        (
            ("ADIT_HOST_HEADER", "a b"),
            "host_header (from ADIT_HOST_HEADER): \"a b\" is no host; write preserve, rewrite",
        ),
        (
            ("ADIT_SEND_PROXY_PROTOCOL", "3"),
            "send_proxy_protocol (from ADIT_SEND_PROXY_PROTOCOL): \"3\" is no version",
        ),
        (
            ("ADIT_SELF_CHECK", "yes"),
            "self_check (from ADIT_SELF_CHECK): \"yes\" is neither; write true or false",
        ),
    ] {
        let complaint = with(&[], &[variable]).err().unwrap();
        assert!(complaint.starts_with(said), "{complaint:?} is not {said:?}");
    }
}

#[test]
fn help_and_the_page_about_the_agent_name_every_variable() {
    let page = include_str!("../../../../docs/agent.md");
    let help = Cli::command()
        .find_subcommand_mut("http")
        .expect("there is adit http")
        .render_long_help()
        .to_string();
    let secret = ["ADIT_TOKEN", "ADIT_BASIC_AUTH", BASIC_AUTH_FILE.0];
    for variable in VARIABLES.iter().chain(&secret) {
        assert!(page.contains(&format!("`{variable}`")), "{variable}");
        assert!(help.contains(variable), "{variable}");
    }
}
