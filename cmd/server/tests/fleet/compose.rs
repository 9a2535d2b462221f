//! The compose file, as far as it can be tested without containers: whether the programs take what it gives them, and
//! whether its times fit each other.

use std::{collections::BTreeMap, process::Output, time::Duration};

use testkit::{process::binary, redis::Redis};
use tokio::process::Command;

const COMPOSE: &str = include_str!("../../../../deploy/fleet/compose.yaml");

const HAPROXY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../deploy/fleet/haproxy.cfg"
);

/// What stands below a line of the file that begins so, by its indentation.
fn below(file: &str, begins: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = file
        .lines()
        .skip_while(|line| !line.trim_start().starts_with(begins));
    let first = lines.next().unwrap_or_else(|| panic!("{begins} is there"));
    let deeper = lines.take_while(|line| line.trim().is_empty() || depth(line) > depth(first));
    deeper.map(|line| format!("{line}\n")).collect()
}

/// The variables of a service.
fn environment(service: &str) -> BTreeMap<String, String> {
    let lines = below(service, "environment:");
    let lines = lines.lines().map(str::trim);
    let pairs = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    pairs
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        })
        .collect()
}

/// The words of a service's command.
fn command(service: &str) -> Vec<String> {
    let lines = service.lines().map(str::trim);
    let line = lines
        .clone()
        .find_map(|line| line.strip_prefix("command: ["));
    let words = line.unwrap().split('"').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The length of time after a name: `drain_delay = "3s"`, `inter 1s`.
fn seconds(text: &str, name: &str) -> u64 {
    let after = text
        .split_once(name)
        .unwrap_or_else(|| panic!("{name} is there"));
    let number = after.1.trim_start_matches([' ', ':', '=', '"']);
    let (number, _) = number.split_once('s').unwrap();
    number.parse().unwrap()
}

async fn run(program: &str, args: &[String], variables: &BTreeMap<String, String>) -> Output {
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(variables);
    let ended = tokio::time::timeout(Duration::from_secs(20), command.output()).await;
    ended.expect("it ends").expect("it starts")
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}

#[tokio::test]
async fn a_node_takes_the_variables_and_flags_of_the_compose_file() {
    let redis = Redis::fresh().await;
    let node = below(COMPOSE, "x-node:");
    let mut variables = environment(&node);
    assert!(variables.len() > 5, "{variables:?}");
    // That of the file is in a container of its own.
    let bus = variables
        .insert("ADIT_BUS".to_owned(), redis.url())
        .unwrap();
    assert_eq!(bus, "redis://redis:6379");
    let mut args = command(&node);
    args.extend(["config", "check"].map(str::to_owned));
    let server = binary("adit-server").display().to_string();
    let checked = run(&server, &args, &variables).await;
    let settings = said(&checked);
    assert!(checked.status.success(), "{settings}");
    for line in [
        "listen = \"0.0.0.0:8080\"",
        "public_url = \"http://localhost:8080\"",
        "connect_names = [\"door\"]",
        "trusted_proxies = [\"172.30.7.0/24\"]",
    ] {
        assert!(settings.contains(line), "{line} in {settings}");
    }

    // A name that is wrong would have been found.
    variables.insert("ADIT_DRAINDELAY".to_owned(), "3s".to_owned());
    assert!(!run(&server, &args, &variables).await.status.success());
}

#[tokio::test]
async fn the_times_of_the_compose_file_fit_each_other_and_those_of_its_balancer() {
    let node = below(COMPOSE, "x-node:");
    let haproxy = tokio::fs::read_to_string(HAPROXY).await.unwrap();
    let delay = seconds(&node, "ADIT_DRAIN_DELAY");
    let grace = seconds(&node, "ADIT_GRACE");
    let noticed = 2 * seconds(&haproxy, "check inter");
    assert!(haproxy.contains(" fall 2 "));
    assert!(delay > noticed, "{delay} s and {noticed} s");
    assert!(grace > delay + 10, "{grace} s and {delay} s");
    assert!(seconds(&node, "stop_grace_period") > grace);
}

#[tokio::test]
async fn haproxy_takes_its_file_with_the_variables_of_the_compose_file() {
    let mut variables = environment(&below(COMPOSE, "door:"));
    variables.insert(
        "PATH".to_owned(),
        "/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
    );
    let args = ["-c", "-f", HAPROXY].map(str::to_owned);
    let checked = run("haproxy", &args, &variables).await;
    assert!(checked.status.success(), "{}", said(&checked));
    variables.remove("NODE3");
    assert!(!run("haproxy", &args, &variables).await.status.success());
}

#[tokio::test]
async fn the_agent_takes_the_command_of_the_compose_file() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem").display().to_string();
    let agent = below(COMPOSE, "agent:");
    let mut args = command(&agent);
    let place = args.iter_mut().find(|word| *word == "/keys/key.pem");
    *place.expect("the key is in the volume") = key;
    args.push("--no-retry".to_owned());
    let program = binary("adit").display().to_string();
    let tried = run(&program, &args, &BTreeMap::new()).await;
    // 2 would be wrong usage: it got as far as to dial.
    assert_eq!(tried.status.code(), Some(1), "{}", said(&tried));
    assert!(said(&tried).contains("door"), "{}", said(&tried));
}
