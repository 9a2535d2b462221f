//! What a keys file may say, and how each mistake is named.

use std::path::Path;

use identity::SecretKey;

use super::*;

const DOMAIN: &str = "adit.example";

fn key() -> PublicKey {
    SecretKey::generate().public()
}

fn read(text: &str) -> Result<Keys, String> {
    Keys::read_file(text.as_bytes(), DOMAIN).map_err(|bad| bad.in_file(Path::new("keys")))
}

fn grants(keys: &Keys, key: &PublicKey) -> Grants {
    match keys.get(key.tunnel_id(None)) {
        Some(Entry::Listed(grants)) => grants.clone(),
        other => panic!("the key is listed, not {other:?}"),
    }
}

#[test]
fn a_key_is_named_by_its_label_or_by_itself_and_a_comment_may_follow() {
    let (one, other) = (key(), key());
    let text = format!(
        "# ours\n{}   laptop of Ann, root\n\ned25519:{}\n",
        one.label(None),
        BASE64URL_NOPAD.encode(other.as_bytes())
    );
    let keys = read(&text).unwrap();
    assert_eq!(keys.len(), 2);
    for key in [one, other] {
        assert_eq!(grants(&keys, &key), Grants::default());
    }
    assert_eq!(keys.get(key().tunnel_id(None)), None);
}

#[test]
fn options_stand_before_the_key() {
    let (one, other) = (key(), key());
    let text = format!(
        "name=blog,name=*.blog,root,domain=App.Example.org,domain=*.example.net,max-links=4 {} blog\nauto-names {}",
        one.label(None),
        other.label(None)
    );
    let keys = read(&text).unwrap();
    let blog = grants(&keys, &one);
    assert_eq!(
        blog.hosts,
        [
            "blog.adit.example",
            "*.blog.adit.example",
            "adit.example",
            "app.example.org",
            "*.example.net"
        ]
    );
    assert_eq!(
        (blog.max_links, blog.auto_names),
        (NonZeroU32::new(4), false)
    );
    assert!(grants(&keys, &other).auto_names);
}

#[test]
fn a_host_is_granted_when_some_line_says_so() {
    let (one, other) = (key().label(None), key().label(None));
    let keys = read(&format!("name=blog {one}\nname=*.wiki,root {other}")).unwrap();
    for host in ["blog.adit.example", "en.wiki.adit.example", "adit.example"] {
        assert!(keys.grant(host), "{host}");
    }
    for host in [
        "wiki.adit.example",
        "a.en.wiki.adit.example",
        "en.blog.adit.example",
        "example",
        "",
    ] {
        assert!(!keys.grant(host), "{host}");
    }
}

#[test]
fn a_denied_key_is_denied() {
    let bad = key();
    let keys = read(&format!("deny {}", bad.label(None))).unwrap();
    assert_eq!(keys.get(bad.tunnel_id(None)), Some(&Entry::Denied));
}

#[test]
fn the_example_of_the_manual_is_a_good_file() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/admission.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let example = manual
        .lines()
        .skip_while(|line| *line != "    # /etc/adit/keys");
    let example: Vec<_> = example
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .collect();
    let keys = Keys::read_file(example.join("\n").as_bytes(), "tunnels.example");
    let keys = keys
        .map_err(|bad| bad.in_file(Path::new("manual")))
        .unwrap();
    assert_eq!(keys.len(), 5);
    assert!(keys.grant("en.blog.tunnels.example") && keys.grant("app.example.org"));
}

#[test]
fn each_mistake_is_named_with_its_line() {
    let label = key().label(None);
    let weak = BASE64URL_NOPAD.encode(&[0; 32]);
    for (line, said) in [
        (
            "laptop".to_owned(),
            "\"laptop\" is neither a key nor an option; there are name=, root",
        ),
        (format!("nam=x {label}"), "\"nam=x\" is neither"),
        (format!("name=a, root {label}"), "\"\" is neither"),
        ("root".to_owned(), "no key after the options; write a label"),
        ("root laptop".to_owned(), "no key after the options"),
        (
            format!("name=Blog {label}"),
            "name=Blog: a tunnel name is made of a-z",
        ),
        (
            format!("name=a.b {label}"),
            "name=a.b: a tunnel name is made of a-z",
        ),
        (
            format!("name=* {label}"),
            "name=*: a tunnel name is made of a-z",
        ),
        (format!("name= {label}"), "name=: a tunnel name has 1 to 63"),
        (
            format!("name={label} {label}"),
            "this label is some key's own",
        ),
        (
            format!("domain=10.0.0.1 {label}"),
            "domain=10.0.0.1: a host name, not an IP",
        ),
        (
            format!("domain=a.Adit.example. {label}"),
            "it belongs to this server; write name=",
        ),
        (
            format!("domain=adit.example {label}"),
            "it belongs to this server",
        ),
        (
            format!("max-links=0 {label}"),
            "max-links=0: a whole number from 1",
        ),
        (format!("deny,root {label}"), "deny stands alone"),
        (label.to_uppercase(), "is no label of a key"),
        (
            format!("ed25519:{}", weak.trim_end_matches('A')),
            "a public key is 32 bytes",
        ),
        (format!("ed25519:{weak}"), "a weak key"),
        (
            format!("{},name=x {label}", vec!["root"; 64].join(",")),
            "more than 64 hosts",
        ),
        (
            format!("{label} {}", "x".repeat(4096)),
            "longer than 4096 bytes",
        ),
    ] {
        let error = read(&format!("# ours\n{line}\n")).unwrap_err();
        assert!(
            error.starts_with("keys:2: ") && error.contains(said),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn a_key_that_is_there_twice_is_a_mistake_for_its_lines_could_disagree() {
    let twice = key();
    let public = BASE64URL_NOPAD.encode(twice.as_bytes());
    let text = format!("{}\n\ndeny ed25519:{public}", twice.label(None));
    let error = read(&text).unwrap_err();
    assert_eq!(
        error,
        "keys:3: this key is on line 1 too; write one line for it"
    );
}
