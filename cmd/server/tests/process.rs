//! The built server as its operator meets it: usage, complaints, signals, exit codes.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};

use assert_cmd::Command as Assert;

fn server() -> Assert {
    let mut command = Assert::new(env!("CARGO_BIN_EXE_adit-server"));
    command.env_clear();
    command
}

/// A running server that is killed when the test is over.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit-server"));
        command
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .env_clear();
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on http://") {
            line.clear();
            assert_ne!(
                stderr.read_line(&mut line).unwrap(),
                0,
                "the server ended before it listened"
            );
        }
        let address = line.split("listening on http://").nth(1).unwrap();
        let address = address.split([' ', '"', '\n']).next().unwrap().to_owned();
        Self {
            child,
            stderr,
            address,
        }
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for a line of the log that contains `what`.
    fn wait_for(&mut self, what: &str) {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert_ne!(
                self.stderr.read_line(&mut line).unwrap(),
                0,
                "the server never said {what:?}"
            );
        }
    }

    /// The exit code, and what was left on stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn get(address: &str, path: &str) -> String {
    ask(address, &format!("GET {path}"), address)
}

/// Any request line but for its version.
fn ask(address: &str, request: &str, host: &str) -> String {
    let mut visitor = TcpStream::connect(address).unwrap();
    write!(
        visitor,
        "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_says_where_it_listens_and_answers_there() {
    for workers in ["1", "3"] {
        let server = Running::start(&["--workers", workers]);
        // More often than there are workers, so that each is met.
        for _ in 0..12 {
            assert!(get(&server.address, "/_adit/health/ready").ends_with("ready\n"));
        }
        assert!(get(&server.address, "/").contains("This is an Adit server."));
    }
}

/// Without the fields that differ from one answer to the next.
fn head(answer: &str) -> Vec<String> {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let lines = head.lines().filter(|line| !line.starts_with("date: "));
    lines.map(str::to_owned).collect()
}

#[test]
fn probes_are_answered_on_every_name_of_the_server_without_a_body_to_head_and_to_reading_alone() {
    let server = Running::start(&["--domain", "adit.example"]);
    let address = &server.address;
    for host in [
        "adit.example",
        "Adit.Example:8080",
        "127.0.0.1",
        "[::1]:80",
        "localhost",
    ] {
        for probe in ["live", "ready"] {
            let ask = |method| {
                let request = format!("{method} /_adit/health/{probe}");
                ask(address, &request, host)
            };
            let got = ask("GET");
            assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
            let only_head = ask("HEAD");
            assert_eq!(head(&only_head), head(&got));
            assert!(only_head.ends_with("\r\n\r\n") && only_head.contains("\r\ncontent-length: "));
            for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
                let refused = ask(method);
                assert!(refused.starts_with("HTTP/1.1 405 "), "{method}: {refused}");
                assert!(refused.contains("\r\nallow: GET, HEAD\r\n"), "{refused}");
            }
        }
        for path in ["/_adit", "/_adit/", "/_adit/health", "/_adit/x"] {
            let answer = ask(address, &format!("GET {path}"), host);
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        }
        let door = ask(address, "GET /_adit/connect", host);
        assert!(door.starts_with("HTTP/1.1 426 "), "{door}");
    }
    let elsewhere = ask(address, "GET /_adit/health/live", "other.example");
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
}

#[test]
fn sigterm_and_sigint_end_a_server_in_order() {
    for signal in ["TERM", "INT"] {
        let server = Running::start(&[]);
        server.signal(signal);
        let (code, log) = server.end();
        assert_eq!(code, Some(0));
        assert!(
            log.contains("drained: everything in flight has ended"),
            "{log}"
        );
    }
}

#[test]
fn while_it_drains_a_server_is_reachable_but_not_ready_and_a_second_signal_ends_it_at_once() {
    let config = tempfile::NamedTempFile::new().unwrap();
    writeln!(&config, "grace = '10m'\ndrain_delay = '9m'").unwrap();
    let mut server = Running::start(&["--config", config.path().to_str().unwrap()]);
    server.signal("TERM");
    // Logged once it is so.
    server.wait_for("not ready any more");
    let answer = get(&server.address, "/_adit/health/ready");
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("draining\n"),
        "{answer}"
    );
    assert!(get(&server.address, "/_adit/health/live").starts_with("HTTP/1.1 200 "));
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(1));
    assert!(
        log.contains("error: ended at once by a second signal (SIGTERM)"),
        "{log}"
    );
}

#[test]
fn a_port_in_use_is_one_line_with_the_field_and_the_cure() {
    let holder = Running::start(&["--workers", "2"]);
    for workers in ["1", "2"] {
        let output = server()
            .args(["--listen", &holder.address, "--workers", workers])
            .assert()
            .code(1);
        let complaint = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(complaint.starts_with(&format!("error: listen: cannot bind {}: ", holder.address)));
        assert!(
            complaint.contains("stop what listens there, or choose another port"),
            "{complaint}"
        );
    }
}

#[test]
fn wrong_settings_are_one_line_and_exit_code_78() {
    let cases = [
        (
            vec!["--domain", "http://x"],
            "error: domain (from --domain): ",
        ),
        (
            vec!["--max-body", "lots"],
            "error: exchanges.max_body (from --max-body): ",
        ),
        (
            vec!["--bus", "nats://joe:hunter2@store"],
            "error: bus (from --bus): ",
        ),
        (
            vec!["--config", "/nowhere.toml"],
            "error: cannot read the configuration file /nowhere.toml: ",
        ),
        (
            vec!["config", "check", "--workers", "none"],
            "error: workers (from --workers): ",
        ),
        (
            vec!["config", "check", "--bus", "nonsense"],
            "error: bus (from --bus): ",
        ),
        (
            // Nobody listens there: a server would start and go on trying, a check says so.
            vec![
                "config",
                "check",
                "--bus",
                "redis://joe:hunter2@127.0.0.1:1",
            ],
            "error: bus (from --bus): ",
        ),
    ];
    for (args, beginning) in cases {
        let output = server().args(args).assert().code(78).stdout("");
        let complaint = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        assert!(complaint.starts_with(beginning), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(!complaint.contains("hunter2"));
    }
    let output = server()
        .env("ADIT_EXCHANGES__MAX_BODIES", "1")
        .assert()
        .code(78);
    let complaint = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(
        complaint.contains("exchanges.max_bodies (from ADIT_EXCHANGES__MAX_BODIES): unknown field"),
        "{complaint}"
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    server().arg("--lisen").assert().code(2).stdout("");
    server().arg("serve").assert().code(2).stdout("");
}

#[test]
fn config_check_prints_settings_that_read_back_the_same() {
    let print = |command: &mut Assert| {
        let output = command
            .args(["config", "check"])
            .assert()
            .code(0)
            .stderr("");
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let first = print(
        server()
            .env("ADIT_LINKS__MAX_STREAMS", "9")
            .args(["--domain", "adit.example"]),
    );
    assert!(
        first.contains("max_streams = 9\n") && first.contains("domain = \"adit.example\"\n"),
        "{first}"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(first.as_bytes()).unwrap();
    assert_eq!(print(server().env("ADIT_CONFIG", file.path())), first);
}

#[test]
fn the_version_names_the_protocol() {
    let version = concat!(
        "adit-server ",
        env!("CARGO_PKG_VERSION"),
        " (protocol adit.v1)\n"
    );
    server().arg("--version").assert().code(0).stdout(version);
}
