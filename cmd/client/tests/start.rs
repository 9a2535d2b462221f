//! `adit start` with the built binary: several tunnels from one file, and the same file again when it changes.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that panics has failed, and has no users"
)]

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use assert_cmd::Command;
use http::Response;
use testkit::cluster::Cluster;
use testkit::origin::{Origin, full, read_head};
use testkit::process::{Folder, Program};
use testkit::visitor::{PATIENCE, Visitor};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::timeout;

/// One server, and a folder for the file of tunnels and all that it names.
struct Stage {
    cluster: Cluster,
    folder: Folder,
}

impl Stage {
    async fn open() -> Self {
        Self::of(1).await
    }

    async fn of(nodes: u8) -> Self {
        Self {
            cluster: Cluster::of(nodes).await,
            folder: Folder::empty(),
        }
    }

    /// The text of a file: what all tunnels have in common, and these.
    fn text(&self, tunnels: &str) -> String {
        let server = self.cluster.agent().config.server.to_string();
        let key = self.folder.path("key.pem");
        format!("server = {server:?}\nkey = {key:?}\n{tunnels}")
    }

    /// `adit start` with these tunnels.
    fn start(&self, tunnels: &str) -> Program {
        let file = self.folder.write("adit.toml", &self.text(tunnels));
        Program::start(env!("CARGO_BIN_EXE_adit"), ["start", "-c", &file])
    }

    /// Other tunnels; the agent finds them by itself.
    fn change(&self, tunnels: &str) {
        self.folder.replace("adit.toml", &self.text(tunnels));
    }

    /// A visitor of the tunnel of that name, once it is up.
    async fn visitor(&self, agent: &mut Program, tunnel: &str) -> Visitor {
        let url = |line: &str| {
            line.strip_prefix(&format!("{tunnel} http://"))
                .map(str::to_owned)
        };
        let host = agent.line("its URL", url).await;
        let server = self.cluster.agent().config.server.to_string();
        let address = server.strip_prefix("http://").unwrap();
        Visitor::new(address.parse().unwrap(), host)
    }
}

/// Waits for a line with these words.
async fn says(agent: &mut Program, words: &str) -> String {
    agent
        .line(words, |line| line.contains(words).then(|| line.to_owned()))
        .await
}

/// A service that says a word.
async fn saying(word: &'static str) -> Origin {
    Origin::serving(move |_| async move { Response::new(full(word)) }).await
}

/// A table of a service.
fn http(name: &str, origin: &Origin) -> String {
    format!("[tunnels.{name}]\ntarget = {}\n", origin.port())
}

#[tokio::test]
async fn several_tunnels_come_up_from_one_file_each_at_its_own_hostname() {
    let (stage, app) = (Stage::open().await, saying("app").await);
    let site = stage.folder.path("site");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(site.join("index.html"), "site").unwrap();
    let tunnels = format!(
        "{}[tunnels.site]\ntype = 'files'\ntarget = {site:?}\nname = ''\n[tunnels.site.policy]\nhttps_only = false\n\
         response_headers = {{ set = ['X-Rule: here'] }}\n",
        http("app", &app)
    );
    let mut agent = stage.start(&tunnels);
    let app = stage.visitor(&mut agent, "app").await;
    let site = stage.visitor(&mut agent, "site").await;
    assert_ne!(app.host(), site.host());
    assert_eq!(app.get("/").await.text(), "app");
    let page = site.get("/").await;
    assert_eq!(page.text(), "site");
    assert_eq!(page.headers["x-rule"], "here");
    assert!(!app.get("/").await.headers.contains_key("x-rule"));
    says(&mut agent, "site: GET / 200").await;
    agent.signal("TERM").await;
    assert!(agent.ended().await.success());
}

#[tokio::test]
async fn a_tunnel_that_changes_answers_all_the_time_and_the_others_notice_nothing() {
    const OTHERS: usize = 12;
    let stage = Stage::open().await;
    let (others, old, new) = (
        saying("other").await,
        saying("old").await,
        saying("new").await,
    );
    let tunnels = |changing: &Origin, rule: &str| {
        let mut text = String::new();
        for index in 0..OTHERS {
            text += &http(&format!("t{index}"), &others);
        }
        write!(text, "{}{rule}", http("changing", changing)).unwrap();
        text
    };
    let mut agent = stage.start(&tunnels(&old, ""));
    let mut visitors = Vec::new();
    for index in 0..OTHERS {
        visitors.push(stage.visitor(&mut agent, &format!("t{index}")).await);
    }
    let changing = stage.visitor(&mut agent, "changing").await;

    let over = Rc::new(Cell::new(false));
    let local = LocalSet::new();
    let asking: Vec<_> = visitors
        .into_iter()
        .chain([changing.clone()])
        .map(|visitor| {
            let over = over.clone();
            local.spawn_local(async move {
                let mut asked = 0;
                while !over.get() {
                    let answer = visitor.get("/").await;
                    assert_eq!(answer.status, 200, "{}: {}", visitor.host(), answer.text());
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    local
        .run_until(async {
            stage.change(&tunnels(&new, ""));
            says(
                &mut agent,
                "read anew; tunnels: 0 new, 1 changed, 0 gone, 12 as they were",
            )
            .await;
            while changing.get("/").await.text() != "new" {}
            let rule = "policy.response_headers.set = ['X-Rule: here']\n";
            stage.change(&tunnels(&new, rule));
            says(&mut agent, "changing: a link was made anew").await;
            assert_eq!(changing.get("/").await.headers["x-rule"], "here");
            over.set(true);
            for asking in asking {
                assert!(asking.await.unwrap() > 0);
            }
        })
        .await;
    let said = agent.output().join("\n");
    for index in 0..OTHERS {
        let lines = said
            .lines()
            .filter(|line| line.starts_with(&format!("t{index}: ")));
        let about_links = lines
            .filter(|line| line.contains("link") || line.contains("connect"))
            .count();
        assert_eq!(
            about_links, 1,
            "t{index} was connected once, and that was all: {said}"
        );
    }
}

#[tokio::test]
async fn what_is_under_way_when_the_rules_of_a_tunnel_change_ends_as_it_began() {
    let stage = Stage::open().await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, open) = (begun.clone(), go_on.clone());
    let slow = Origin::serving(move |request| {
        let (begun, go_on) = (begun.clone(), go_on.clone());
        async move {
            if request.uri().path() == "/slow" {
                begun.notify_one();
                go_on.notified().await;
            }
            Response::new(full("done"))
        }
    })
    .await;
    let mut agent = stage.start(&http("app", &slow));
    let visitor = stage.visitor(&mut agent, "app").await;
    let posting = visitor.clone();
    let local = LocalSet::new();
    local
        .run_until(async {
            let posted = tokio::task::spawn_local(async move { posting.post("/slow", "x").await });
            seen.notified().await;
            let rule = "policy.strip_prefix = '/api'\n";
            stage.change(&format!("{}{rule}", http("app", &slow)));
            says(&mut agent, "a link was made anew").await;
            assert_eq!(visitor.get("/api/x").await.text(), "done");
            assert_eq!(
                visitor.get("/x").await.status,
                404,
                "by the rule that there is now"
            );
            open.notify_one();
            let posted = posted.await.unwrap();
            assert_eq!((posted.status.as_u16(), posted.text()), (200, "done"));
        })
        .await;
}

#[tokio::test]
async fn what_is_under_way_when_a_tunnel_gets_another_service_ends_with_the_old_one() {
    let (stage, new) = (Stage::open().await, saying("new").await);
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, open) = (begun.clone(), go_on.clone());
    let old = Origin::accepting(move |mut tcp| {
        let (begun, go_on) = (begun.clone(), go_on.clone());
        async move {
            read_head(&mut tcp).await;
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                .await
                .unwrap();
            begun.notify_one();
            go_on.notified().await;
            tcp.write_all(b"half").await.unwrap();
        }
    })
    .await;
    let mut agent = stage.start(&http("app", &old));
    let visitor = stage.visitor(&mut agent, "app").await;
    let asking = visitor.clone();
    LocalSet::new()
        .run_until(async {
            let asked = tokio::task::spawn_local(async move { asking.get("/").await });
            seen.notified().await;
            stage.change(&http("app", &new));
            agent.signal("HUP").await;
            says(&mut agent, "1 changed").await;
            assert_eq!(visitor.get("/").await.text(), "new");
            open.notify_one();
            assert_eq!(asked.await.unwrap().text(), "halfhalf");
        })
        .await;
    assert_eq!(agent.said("a link was made anew"), 0);
}

#[tokio::test]
async fn tunnels_come_and_go_with_their_tables_and_a_hangup_reads_at_once() {
    let (stage, origin) = (Stage::open().await, saying("hi").await);
    let mut agent = stage.start(&http("one", &origin));
    let one = stage.visitor(&mut agent, "one").await;
    stage.change(&format!("{}{}", http("one", &origin), http("two", &origin)));
    agent.signal("HUP").await;
    let two = stage.visitor(&mut agent, "two").await;
    assert_eq!(
        (one.get("/").await.text(), two.get("/").await.text()),
        ("hi", "hi")
    );
    stage.change(&http("two", &origin));
    agent.signal("HUP").await;
    says(&mut agent, "one: stopping").await;
    while one.get("/").await.status != 502 {}
    assert_eq!(two.get("/").await.text(), "hi");
}

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing_and_is_told_in_a_line() {
    let (stage, origin) = (Stage::open().await, saying("hi").await);
    let mut agent = stage.start(&http("app", &origin));
    let visitor = stage.visitor(&mut agent, "app").await;
    for (wrong, said) in [
        ("[tunnels.app\n", "is not valid TOML: at line 3"),
        (
            "[tunnels.app]\ntarget = 1\nlinsk = 1\n",
            "adit.toml, line 5): unknown field `linsk`",
        ),
        (
            "[tunnels.new]\ntype = 'files'\ntarget = '/nowhere'\n",
            "line 5): /nowhere cannot be served: No such file",
        ),
        ("", "there are 0; write 1 to 1024 tables"),
    ] {
        stage.change(wrong);
        agent.signal("HUP").await;
        let line = says(&mut agent, said).await;
        assert!(line.ends_with("everything stays as it was"), "{line}");
        assert_eq!(visitor.get("/").await.text(), "hi");
    }
    let file = stage.folder.path("adit.toml");
    let mut check = Command::new(env!("CARGO_BIN_EXE_adit"));
    check.env_clear().args(["config", "check", "-c"]).arg(&file);
    check.assert().code(78).stdout("");
    stage.change(&http("app", &origin));
    let fine = format!(
        "app: http://localhost:{}\n{} is fine; tunnels: 1\n",
        origin.port(),
        file.display()
    );
    check.assert().success().stdout(fine).stderr("");
}

#[tokio::test]
async fn a_tunnel_that_the_server_refuses_ends_alone_and_a_better_table_begins_it_again() {
    let (stage, origin) = (Stage::open().await, saying("hi").await);
    let refused = format!("{}subdomain = 'not-granted'\n", http("bad", &origin));
    let mut agent = stage.start(&format!("{}{refused}", http("good", &origin)));
    let good = stage.visitor(&mut agent, "good").await;
    let line = says(&mut agent, "the other tunnels go on").await;
    assert!(
        line.starts_with("bad: the server refuses this agent"),
        "{line}"
    );
    assert_eq!(good.get("/").await.text(), "hi");
    stage.change(&format!(
        "{}{}",
        http("good", &origin),
        http("bad", &origin)
    ));
    let bad = stage.visitor(&mut agent, "bad").await;
    assert_eq!(bad.get("/").await.text(), "hi");
}

#[tokio::test]
async fn a_bare_server_and_a_relay_are_tunnels_like_others_and_their_settings_change_in_place() {
    let stage = Stage::open().await;
    let both = |directory: &str| {
        format!(
            "[tunnels.bare]\ntype = 'bare'\nbare = {{ directory = '{directory}', allow_host = ['example.org'] }}\n\
             [tunnels.relay]\ntype = 'relay'\ntarget = 'ws://127.0.0.1:1/feed?token=x'\nrelay.errors = 'message'\n"
        )
    };
    let mut agent = stage.start(&both("/bare/"));
    let bare = stage.visitor(&mut agent, "bare").await;
    let relay = stage.visitor(&mut agent, "relay").await;
    let manifest = bare.get("/bare/").await;
    assert!(
        manifest.text().contains("\"versions\""),
        "{}",
        manifest.text()
    );
    assert_eq!(relay.get("/").await.status, 426, "it speaks WebSocket");
    assert_eq!(agent.said("token"), 0);
    stage.change(&both("/other/"));
    agent.signal("HUP").await;
    says(&mut agent, "1 changed, 0 gone, 1 as they were").await;
    assert!(bare.get("/other/").await.text().contains("\"versions\""));
    stage.change(&both("/other/").replace("allow_host", "allow_hosts"));
    agent.signal("HUP").await;
    says(&mut agent, "tunnels.bare.bare.allow_hosts (in ").await;
    assert!(bare.get("/other/").await.text().contains("\"versions\""));
    assert_eq!(agent.said("a link was made anew"), 0);
}

#[tokio::test]
async fn another_agent_takes_over_where_a_change_needs_one() {
    let (stage, origin) = (Stage::open().await, saying("hi").await);
    let mut agent = stage.start(&http("app", &origin));
    let visitor = stage.visitor(&mut agent, "app").await;
    stage.change(&format!("{}links = 2\n", http("app", &origin)));
    agent.signal("HUP").await;
    says(&mut agent, "app: connected by 2 links").await;
    assert_eq!(visitor.get("/").await.text(), "hi");
    stage.change(&format!("{}name = 'renamed'\n", http("app", &origin)));
    agent.signal("HUP").await;
    while visitor.get("/").await.status != 502 {}
    let hosts = agent.output();
    let urls = hosts.iter().filter(|line| line.starts_with("app http://"));
    assert_eq!(urls.collect::<std::collections::HashSet<_>>().len(), 2);
    assert_eq!(
        agent.said("another agent"),
        0,
        "it was replaced by its own kind"
    );
}

#[tokio::test]
async fn in_a_fleet_each_node_goes_over_to_the_new_rules_without_a_failed_request() {
    let (stage, origin) = (Stage::of(2).await, saying("hi").await);
    let with = |rule: &str| format!("{}links = 2\n{rule}", http("app", &origin));
    let mut agent = stage.start(&with(""));
    let visitor = stage.visitor(&mut agent, "app").await;
    // Each node of this fleet has a URL of its own.
    says(&mut agent, "which publishes at").await;
    let doors = [0, 1].map(|node| Visitor::new(stage.cluster.node(node).addr, visitor.host()));
    stage.change(&with("policy.response_headers.set = ['X-Rule: here']\n"));
    agent.signal("HUP").await;
    let gone_over = async {
        for door in &doors {
            loop {
                let answer = door.get("/").await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                if answer.headers.contains_key("x-rule") {
                    break;
                }
            }
        }
    };
    timeout(PATIENCE, gone_over).await.unwrap();
    for _ in 0..50 {
        for door in &doors {
            let answer = door.get("/").await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}
