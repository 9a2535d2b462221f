//! Files of several tunnels: what they come to, and every complaint.

use agent::HttpTargetConfig;

use super::*;

/// The tunnels of a file with this text.
fn read(text: &str) -> Result<Vec<Tunnel>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    std::fs::write(&file, text).unwrap();
    let layers = Layers::new().flag("key", "--key", Some("/k"));
    let tunnels = Document::read(&file).and_then(|document| Ok(Tunnel::all(&document, &layers)?.1));
    let shown = file.display().to_string();
    tunnels.map_err(|error| error.to_string().replace(&shown, "adit.toml"))
}

fn complaint(text: &str) -> String {
    read(text).map(|_| ()).unwrap_err()
}

const TWO: &str = "server = 'https://tunnels.example'
links = 2

[tunnels.app]
target = 3000
host_header = 'rewrite'

[tunnels.site]
type = 'files'
target = '/srv/site'
links = 3
files = { listing = true }
[tunnels.site.policy]
https_only = true
";

#[test]
fn each_table_is_a_tunnel_with_its_own_above_what_all_have() {
    let tunnels = read(TWO).unwrap();
    let [app, site] = &tunnels[..] else {
        panic!("there are two")
    };
    assert_eq!((app.name.as_str(), site.name.as_str()), ("app", "site"));
    for tunnel in &tunnels {
        assert_eq!(
            tunnel.settings.server.to_string(),
            "https://tunnels.example"
        );
        assert_eq!(
            tunnel.settings.hostname,
            Hostname::Named(tunnel.name.clone())
        );
    }
    assert_eq!(app.settings.links.to_string(), "2");
    assert_eq!(site.settings.links.to_string(), "3");
    let Service::Http(url, config) = &app.service else {
        panic!("http is what a tunnel is of itself")
    };
    assert_eq!(url.to_string(), "http://localhost:3000");
    assert_ne!(*config, HttpTargetConfig::default());
    let listing = ::files::Config {
        listing: true,
        ..::files::Config::default()
    };
    assert_eq!(site.service, Service::Files("/srv/site".into(), listing));
}

#[test]
fn a_tunnel_may_have_the_keys_own_hostname_or_one_of_another_kind() {
    let hostname = |line: &str| {
        let text = format!("[tunnels.app]\ntarget = 'unix:/run/app.sock'\n{line}");
        read(&text).unwrap().remove(0).settings.hostname
    };
    assert_eq!(hostname("name = ''"), Hostname::Own);
    assert_eq!(hostname("name = 'x'"), Hostname::Named("x".to_owned()));
    assert_eq!(
        hostname("subdomain = 'blog'"),
        Hostname::Label("blog".to_owned())
    );
    assert_eq!(hostname("auto_name = true"), Hostname::Auto);
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_to_write() {
    let app = "[tunnels.app]\ntarget = '1'\n";
    for (text, said) in [
        (
            "",
            "tunnels (in adit.toml): there are 0; write 1 to 1024 tables [tunnels.NAME]",
        ),
        (
            "tunnels = 1",
            "tunnels (in adit.toml, line 1): found a single value; write [tunnels.NAME]",
        ),
        (
            "[tunnels.app]\n",
            "tunnels.app.target (in adit.toml, line 1): there is none; write a port such as 3000",
        ),
        (
            "[tunnels.app]\ntype = 'files'",
            "tunnels.app.target (in adit.toml, line 1): there is none; write the path of a folder",
        ),
        (
            "[tunnels.app]\ntarget = 'https://x'",
            "tunnels.app.target (in adit.toml, line 2): its scheme is \"https\"",
        ),
        (
            "[tunnels.App]\ntarget = '1'",
            "tunnels.App (in adit.toml, line 1): a tunnel name is made of a-z",
        ),
        (
            "[tunnels.app]\ntype = 'ftp'\ntarget = '1'",
            "tunnels.app.type (in adit.toml, line 2): \"ftp\" is no type of a tunnel; write http",
        ),
        (
            &format!("{app}{app}"),
            "adit.toml is not valid TOML: at line 3, column 10: duplicate key",
        ),
        (
            &format!("{app}[tunnels.b]\ntarget = '2'\nname = 'app'"),
            "tunnels.b (in adit.toml, line 3): it has the hostname of tunnels.app too; give it another",
        ),
        (
            &format!("name = 'x'\n{app}"),
            "name (in adit.toml, line 1): each tunnel has its own; write it under [tunnels",
        ),
        (
            &format!("target = 'x'\n{app}"),
            "target (in adit.toml, line 1): each tunnel has its own",
        ),
        (
            &format!("sever = 'x'\n{app}"),
            "sever (in adit.toml, line 1): unknown field `sever`, expected one of",
        ),
        (
            &format!("server = 'ftp://x'\n{app}"),
            "server (in adit.toml, line 1): the server's scheme is \"ftp\"",
        ),
        (
            &format!("{app}tagret = '2'"),
            "tunnels.app.tagret (in adit.toml, line 3): unknown field `tagret`",
        ),
        (
            &format!("{app}links = 9"),
            "tunnels.app.links (in adit.toml, line 3): \"9\" is no such number; write auto",
        ),
        (
            &format!("{app}log_format = 'json'"),
            "tunnels.app.log_format (in adit.toml, line 3): all tunnels have one log; write it at the top",
        ),
        (
            &format!("{app}files = {{ listing = true }}"),
            "tunnels.app.files (in adit.toml, line 3): only a tunnel with type = \"files\" has it, this one has http",
        ),
        (
            &format!("{app}type = 'files'\nhost_header = 'rewrite'"),
            "tunnels.app.host_header (in adit.toml, line 4): only a tunnel with type = \"http\" has it",
        ),
        (
            &format!("{app}type = 'files'\nfiles.index = ['a/b']"),
            "tunnels.app.files.index (in adit.toml, line 4): \"a/b\" is no name of a file",
        ),
        (
            &format!("{app}policy.compres = true"),
            "tunnels.app.policy.compres (in adit.toml, line 3): unknown field",
        ),
    ] {
        let complaint = complaint(text);
        assert!(complaint.starts_with(said), "{complaint:?} is not {said:?}");
        assert_eq!(complaint.lines().count(), 1);
    }
}

#[test]
fn a_variable_of_a_single_tunnel_is_refused_and_a_blank_one_is_none() {
    let refuse = |name: &str, value: &str| {
        let variables = [(name.into(), value.into())];
        refuse_variables(&variables).map_err(|error| error.to_string())
    };
    for name in [
        "ADIT_NAME",
        "ADIT_BASIC_AUTH",
        "ADIT_BASIC_AUTH_FILE",
        "ADIT_HOST_HEADER",
    ] {
        let said = refuse(name, "x").unwrap_err();
        assert!(
            said.starts_with(name) && said.contains("[tunnels.NAME]"),
            "{said}"
        );
        assert_eq!(refuse(name, " "), Ok(()));
    }
    for name in ["ADIT_SERVER", "ADIT_TOKEN", "ADIT_TRANSPORT"] {
        assert_eq!(refuse(name, "x"), Ok(()));
    }
}

#[test]
fn a_tunnel_is_the_same_while_nothing_of_it_differs_nor_of_the_files_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("passwords");
    std::fs::write(&secret, "one").unwrap();
    let text = format!("{TWO}basic_auth_file = {secret:?}\n");
    let (before, after) = (
        read(&text).unwrap(),
        read(&text.replace("3000", "3001")).unwrap(),
    );
    assert!(!before[0].is_as(&after[0]) && before[1].is_as(&after[1]));
    assert_eq!(
        before[0].place(),
        after[0].place(),
        "another service takes no other agent"
    );
    std::fs::write(&secret, "another").unwrap();
    let later = read(&text).unwrap();
    assert!(later[0].is_as(&before[0]) && !later[1].is_as(&before[1]));
    assert_eq!(later[1].place(), before[1].place());
    for (was, is) in [
        ("tunnels.example", "other.example"),
        ("links = 2", "transport = 'auto'"),
    ] {
        let elsewhere = read(&text.replace(was, is)).unwrap();
        assert_ne!(elsewhere[0].place(), before[0].place());
    }
}

/// The file that people begin with must be one that is read.
#[test]
fn the_sample_is_read_and_shows_every_kind_of_tunnel() {
    let sample = include_str!("../../../../../deploy/adit.toml");
    let tunnels = read(sample).unwrap();
    for (word, kind) in Kind::ALL {
        let shown = tunnels
            .iter()
            .any(|tunnel| tunnel.settings.loaded.settings.r#type.unwrap_or_default() == kind);
        assert!(shown, "{word}");
    }
    // What is commented out is read too, line by line, where it stands.
    let all: String = sample
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|line| !line.starts_with(' '))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    read(&all).unwrap();
}

#[test]
fn the_page_about_several_tunnels_names_every_field_that_is_particular_to_them() {
    let page = include_str!("../../../../../docs/start.md");
    for (word, _) in Kind::ALL {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
    for field in COMMON
        .iter()
        .map(|name| name.trim_start_matches("ADIT_").to_lowercase())
    {
        assert!(page.contains(&format!("`{field}`")), "{field}");
    }
}
