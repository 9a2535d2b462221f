//! Names that an operator grants: who gets them, which hosts lead to them, and what others are told.

use http::Response;
use testkit::{
    origin::{Origin, full},
    process::{Agent, Folder, Key, Program, Server, binary},
    visitor::{Answer, Visitor},
};

/// A server whose keys file has these options for these keys.
async fn granting(grants: &[(&str, &Key)]) -> (Server, Folder) {
    let folder = Folder::empty();
    let mut lines = String::new();
    for (options, key) in grants {
        let line = format!("{options} {}", key.entry().await);
        lines.push_str(line.trim());
        lines.push('\n');
    }
    let keys = folder.write("keys", &lines);
    (Server::start(&["--keys-file", &keys]).await, folder)
}

/// A service that says its name.
async fn named(name: &'static str) -> Origin {
    Origin::serving(move |_| async move { Response::new(full(name)) }).await
}

async fn published(server: &Server, origin: &Origin, key: &Key, options: &[&str]) -> Agent {
    let options = [options, &["-q"]].concat();
    Agent::publish(server, &origin.port(), key, &options).await
}

async fn asked_for(server: &Server, host: &str) -> Answer {
    Visitor::new(server.addr, host).get("/").await
}

fn is_from(answer: &Answer, name: &str) {
    assert_eq!((answer.status.as_u16(), answer.text()), (200, name));
}

#[tokio::test]
async fn a_granted_subdomain_leads_to_its_key_however_a_visitor_spells_it() {
    let (ann, bob) = (Key::made().await, Key::made().await);
    let (server, _folder) = granting(&[("name=blog", &ann)]).await;
    let (blog, other) = (named("blog").await, named("other").await);
    let agent = published(&server, &blog, &ann, &["--subdomain", "Blog"]).await;
    let _own = published(&server, &other, &bob, &[]).await;
    let port = server.addr.port();
    assert_eq!(agent.url, format!("http://blog.localhost:{port}"));
    for host in ["blog.localhost", "BLOG.Localhost:1", "blog.localhost.:80"] {
        is_from(&asked_for(&server, host).await, "blog");
    }
    for host in [
        "blogs.localhost",
        "my.blog.localhost",
        "blog.localhost.evil.example",
    ] {
        let answer = asked_for(&server, host).await;
        assert_eq!(answer.error(), Some("unknown-host"), "{host}");
    }
}

#[tokio::test]
async fn who_was_not_granted_a_name_is_told_which_line_is_missing() {
    let (ann, bob) = (Key::made().await, Key::made().await);
    let (server, _folder) = granting(&[("name=blog", &ann), ("", &bob)]).await;
    for (options, line) in [
        (&["--subdomain", "blog"][..], "name=blog"),
        (&["--subdomain", "*.blog"], "name=*.blog"),
        (&["--root"], "root"),
        (&["--domain", "app.example.org"], "domain=app.example.org"),
        (&["--auto-name"], "auto-names"),
    ] {
        let (code, said) = Agent::turned_away(&server, "1", &bob, options).await;
        assert_eq!(code, Some(3), "{said}");
        let line = format!("{line} {}", bob.label().await);
        assert!(said.contains(&line), "{line:?} is not in {said}");
    }
}

#[tokio::test]
async fn a_wildcard_has_every_name_one_label_below_and_no_other() {
    let ann = Key::made().await;
    let (server, _folder) = granting(&[("name=*.blog", &ann)]).await;
    let (all, about) = (named("all").await, named("about").await);
    let wildcard = published(&server, &all, &ann, &["--subdomain", "*.blog"]).await;
    let _exact = published(&server, &about, &ann, &["--domain", "about.blog.localhost"]).await;
    assert!(
        wildcard.url.starts_with("http://*.blog.localhost:"),
        "{}",
        wildcard.url
    );
    is_from(&asked_for(&server, "anything.blog.localhost").await, "all");
    is_from(&asked_for(&server, "about.blog.localhost").await, "about");
    for host in ["blog.localhost", "a.b.blog.localhost"] {
        assert_eq!(asked_for(&server, host).await.status, 404, "{host}");
    }
}

#[tokio::test]
async fn the_base_domain_itself_can_be_granted_but_for_the_servers_own_folder() {
    let ann = Key::made().await;
    let (server, _folder) = granting(&[("root", &ann)]).await;
    let front = named("front page").await;
    is_servers_own(&asked_for(&server, "localhost").await);
    let agent = published(&server, &front, &ann, &["--root"]).await;
    assert_eq!(
        agent.url,
        format!("http://localhost:{}", server.addr.port())
    );
    is_from(&agent.visitor().get("/deep?x").await, "front page");
    is_from(&agent.visitor().get("/_aditx").await, "front page");
    let ready = agent.visitor().get("/_adit/health/ready").await;
    assert_eq!(ready.text(), "ready\n");
    assert_eq!(agent.visitor().get("/_adit/x").await.status, 404);
}

fn is_servers_own(answer: &Answer) {
    assert!(
        answer.text().contains("This is an Adit server."),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_host_of_another_domain_leads_to_the_key_it_was_granted_to() {
    let ann = Key::made().await;
    let (server, _folder) = granting(&[("domain=app.example.org", &ann)]).await;
    let app = named("app").await;
    let agent = published(&server, &app, &ann, &["--domain", "App.Example.org"]).await;
    assert!(
        agent.url.starts_with("http://app.example.org"),
        "{}",
        agent.url
    );
    is_from(&asked_for(&server, "app.example.org").await, "app");
    assert_eq!(asked_for(&server, "example.org").await.status, 404);
}

#[tokio::test]
async fn a_name_that_the_server_picks_can_be_read_and_is_always_the_same() {
    let ann = Key::made().await;
    let (server, _folder) = granting(&[("auto-names", &ann)]).await;
    let service = named("demo").await;
    let first = published(&server, &service, &ann, &["--auto-name"]).await;
    is_from(&first.visitor().get("/").await, "demo");
    let label = first.host().split_once('.').unwrap().0;
    let words: Vec<_> = label.split('-').collect();
    assert_eq!(words.len(), 3, "{label}");
    assert!(
        words
            .iter()
            .all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
    );
    let url = first.url.clone();
    first.program.kill().await;
    let again = published(&server, &service, &ann, &["--auto-name"]).await;
    assert_eq!(again.url, url);
}

#[tokio::test]
async fn another_key_waits_for_a_name_that_is_held_and_the_same_key_takes_it_over() {
    let (ann, bob) = (Key::made().await, Key::made().await);
    let (server, _folder) = granting(&[("name=blog", &ann), ("name=blog", &bob)]).await;
    let (first, second) = (named("first").await, named("second").await);
    let blog = ["--subdomain", "blog"];
    let mut holder = published(&server, &first, &ann, &blog).await;

    for mode in ["exclusive", "shared"] {
        let options = [&blog[..], &["--mode", mode]].concat();
        let (code, said) = Agent::turned_away(&server, "1", &bob, &options).await;
        assert_eq!(code, Some(1), "it may come back: {said}");
        assert!(said.contains("another key holds blog.localhost"), "{said}");
    }
    is_from(&holder.visitor().get("/").await, "first");

    let heir = published(&server, &second, &ann, &blog).await;
    assert_eq!(holder.ended().await.0, Some(4));
    is_from(&heir.visitor().get("/").await, "second");
}

#[tokio::test]
async fn a_name_is_shared_by_agents_of_one_key_that_all_say_so() {
    let ann = Key::made().await;
    let server = Server::start(&[]).await;
    let (left, right) = (named("left").await, named("right").await);
    let shared = ["--mode", "shared"];
    let one = published(&server, &left, &ann, &shared).await;
    let _other = published(&server, &right, &ann, &shared).await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(one.visitor().get("/").await.text().to_owned());
    }
    answers.sort();
    answers.dedup();
    assert_eq!(answers, ["left", "right"]);
}

#[tokio::test]
async fn who_would_share_a_name_that_is_held_alone_is_told_so() {
    let ann = Key::made().await;
    let server = Server::start(&[]).await;
    let service = named("alone").await;
    let alone = published(&server, &service, &ann, &[]).await;
    let (code, said) = Agent::turned_away(&server, "1", &ann, &["--mode", "shared"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("exclusive"), "{said}");
    is_from(&alone.visitor().get("/").await, "alone");
}

#[tokio::test]
async fn a_tunnel_has_every_path_of_its_own_host() {
    let server = Server::start(&[]).await;
    let service = named("service").await;
    let agent = published(&server, &service, &Key::fresh(), &[]).await;
    for path in ["/_adit", "/_adit/connect", "/_adit/health/live"] {
        is_from(&agent.visitor().get(path).await, "service");
    }
}

#[tokio::test]
async fn the_url_is_all_that_an_agent_says_on_stdout() {
    let server = Server::start(&[]).await;
    let (service, key, folder) = (named("service").await, Key::made().await, Folder::empty());
    let file = folder.write("url", "");
    let words = Agent::args(&server, &service.port(), &key.path(), &["-v"]);
    let mut shell = vec!["-c".to_owned(), format!("exec \"$0\" \"$@\" > {file}")];
    shell.push(binary("adit").display().to_string());
    shell.extend(words);
    let mut agent = Program::start("sh", shell);
    agent.says("now reach").await;
    let host = format!("{}.localhost:{}", key.label().await, server.addr.port());
    is_from(&asked_for(&server, &host).await, "service");
    agent.says("GET / 200").await;
    let said = std::fs::read_to_string(file).unwrap();
    assert_eq!(said, format!("http://{host}\n"));
}
