//! WebSockets of programs that people really use: Node's `ws`, Socket.IO, Python's `websockets`, a browser, Vite.

use std::{ffi::OsString, fs, path::PathBuf};

use testkit::process::{Agent, Key, Program, Server};
use tokio::time::Duration;

/// Where `.ci/install` puts what npm and pip have.
fn installed(path: &str) -> PathBuf {
    let target = testkit::process::binary("adit-server");
    let target = target
        .ancestors()
        .nth(2)
        .expect("target/PROFILE/adit-server");
    let path = target.join("programs").join(path);
    assert!(
        path.exists(),
        "{} is missing: run .ci/install first",
        path.display()
    );
    path
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/system/programs")
        .join(name)
}

/// A Node program of ours.
fn node(name: &str, args: &[&str]) -> Program {
    let mut modules = OsString::from("NODE_PATH=");
    modules.push(installed("node_modules"));
    let mut all = vec![modules, "node".into(), "--require".into()];
    all.extend([script("loopback.cjs").into(), script(name).into()]);
    all.extend(args.iter().map(OsString::from));
    Program::start("env", all)
}

/// A Python program of ours.
fn python(name: &str, args: &[&str]) -> Program {
    let mut modules = OsString::from("PYTHONPATH=");
    modules.push(installed("python"));
    let mut all = vec![modules, "python3".into(), "-u".into(), script(name).into()];
    all.extend(args.iter().map(OsString::from));
    Program::start("env", all)
}

/// Headless Chromium on this page.
fn browser(url: &str) -> Program {
    node("browser.cjs", &["/usr/bin/chromium", url])
}

/// A server and an agent before a program that says its port.
struct Published {
    service: Program,
    agent: Agent,
    server: Server,
}

impl Published {
    async fn before(mut service: Program) -> Self {
        let port: u16 = service
            .line("its port", |line| line.strip_prefix("port ")?.parse().ok())
            .await;
        let server = Server::start(&[]).await;
        let agent = Agent::publish(&server, &port.to_string(), &Key::fresh(), &["-q"]).await;
        Self {
            service,
            agent,
            server,
        }
    }

    /// The public URL of a path, as a WebSocket's.
    fn socket(&self, path: &str) -> String {
        format!("ws://{}{path}", self.agent.host())
    }
}

async fn succeeds(program: &mut Program) {
    assert!(program.ended().await.success(), "{:?}", program.output());
}

#[tokio::test]
async fn node_talks_to_node() {
    let mut published = Published::before(node("ws_server.cjs", &[])).await;
    let url = published.socket("/echo");
    for (last, said) in [
        ("client closes", "closed 4001 bye"),
        ("server closes", "closed 3001 enough"),
    ] {
        let mut client = node("ws_client.cjs", &[&url, last]);
        client.says(said).await;
        succeeds(&mut client).await;
        published.service.says(said).await;
    }
}

#[tokio::test]
async fn a_browser_talks_to_node() {
    let mut published = Published::before(node("ws_server.cjs", &[])).await;
    let mut chromium = browser(&published.agent.url);
    chromium
        .says(r#"title ["page.v2","","grüezi","",70000,4321,"from the server"]"#)
        .await;
    published.service.says("closed 4321 from the server").await;
    chromium.signal("TERM").await;
    chromium.ended().await;
}

#[tokio::test]
async fn python_talks_to_python() {
    let mut published = Published::before(python("websockets_server.py", &[])).await;
    let url = published.socket("/");
    let port = published.server.addr.port().to_string();
    for (last, said) in [
        ("client closes", "closed 4001 bye"),
        ("server closes", "closed 3001 enough"),
        ("too large", "closed 1009 "),
    ] {
        let mut client = python("websockets_client.py", &[&url, &port, last]);
        client.says(said).await;
        succeeds(&mut client).await;
        published.service.says(said).await;
    }
    published.service.says("origin http://app.example").await;
}

#[tokio::test]
async fn socket_io_works_by_polling_by_websocket_and_by_upgrade() {
    let published = Published::before(node("socketio_server.cjs", &[])).await;
    for (transports, last) in [
        (&["polling"][..], "polling"),
        (&["websocket"], "websocket"),
        (&["polling", "websocket"], "websocket"),
    ] {
        let mut args = vec![published.agent.url.as_str()];
        args.extend(transports);
        let mut client = node("socketio_client.cjs", &args);
        client.says(&format!("fine over {last}")).await;
        succeeds(&mut client).await;
    }
}

/// Vite's development server on a small project, in a folder of its own.
async fn vite(folder: &tempfile::TempDir) -> (Program, u16) {
    let page = "<!doctype html><title>loading</title><script type=module src=/main.js></script>";
    fs::write(folder.path().join("index.html"), page).unwrap();
    let main = "import { message } from './message.js';\ndocument.title = message;\n\
        import.meta.hot.accept('./message.js', (changed) => { document.title = changed.message; });\n";
    fs::write(folder.path().join("main.js"), main).unwrap();
    say(folder, "first");
    let root = folder.path().display().to_string();
    let mut all = vec![installed("node_modules/vite/bin/vite.js").into_os_string()];
    all.extend([root.as_str(), "--host", "127.0.0.1", "--port", "0"].map(OsString::from));
    let mut vite = Program::start("node", all);
    let port = vite
        .line("its port", |line| {
            let plain = line.replace("\u{1b}[1m", "").replace("\u{1b}[22m", "");
            let after = plain.split_once("http://127.0.0.1:")?.1;
            after
                .split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        })
        .await;
    (vite, port)
}

fn say(folder: &tempfile::TempDir, message: &str) {
    let text = format!("export const message = '{message}';\n");
    fs::write(folder.path().join("message.js"), text).unwrap();
}

#[tokio::test]
async fn vite_reloads_a_module_hot_in_a_browser_through_the_tunnel() {
    let folder = tempfile::tempdir().unwrap();
    let (_vite, port) = vite(&folder).await;
    let server = Server::start(&[]).await;
    let agent = Agent::publish(&server, &port.to_string(), &Key::fresh(), &["-q"]).await;
    let mut chromium = browser(&agent.url);
    chromium.says("title first").await;
    // The tunnel's name, not Vite's own port, which its client would fall back to.
    chromium
        .says(&format!("websocket ws://{}/", agent.host()))
        .await;
    chromium.says("received {\"type\":\"connected\"}").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    say(&folder, "second");
    chromium.says("title second").await;
    let output = chromium.output();
    let loads = output.iter().filter(|line| *line == "load").count();
    assert_eq!(loads, 1, "hot, not by loading the page again: {output:?}");
    assert_eq!(chromium.said("websocket ws://"), 1, "{output:?}");
    chromium.signal("TERM").await;
    chromium.ended().await;
}
