//! A key that hands its name over to another one, with `adit key rotate`.

use testkit::{
    origin::Origin,
    process::{Agent, Folder, Key, Server},
};

#[tokio::test]
async fn a_rotated_key_keeps_the_hostname_and_the_old_one_is_refused_for_ever() {
    let folder = Folder::empty();
    let pins = folder.path("pins").display().to_string();
    let config = folder.write("server.toml", &format!("pins_file = '{pins}'\n"));
    let server = Server::start(&["--config", &config]).await;
    let origin = Origin::echo().await;
    let key = Key::made().await;
    let before = Agent::publish(&server, &origin.port(), &key, &[]).await;

    key.rotate("localhost").await;
    let retired = Key::copied(&key.before());
    let mut after = Agent::publish(&server, &origin.port(), &key, &[]).await;
    assert_eq!(after.url, before.url);
    assert_eq!(after.visitor().get("/").await.status, 200);
    is_retired(&server, &retired).await;

    server.program.kill().await;
    after.program.says("connection lost").await;
    after.program.kill().await;
    let server = Server::start(&["--config", &config]).await;
    is_retired(&server, &retired).await;
    let again = Agent::publish(&server, &origin.port(), &key, &[]).await;
    assert_eq!(host(&again), host(&before));
    assert_eq!(again.visitor().get("/").await.status, 200);
}

async fn is_retired(server: &Server, key: &Key) {
    let (code, said) = Agent::turned_away(server, "1", key, &[]).await;
    assert_eq!(code, Some(3));
    assert!(said.contains("rotated away"), "{said}");
}

/// Without the port, which is another one at each start.
fn host(agent: &Agent) -> &str {
    agent.host().split(':').next().unwrap()
}

#[tokio::test]
async fn a_rotated_key_keeps_the_names_that_its_predecessor_was_granted() {
    let (folder, key) = (Folder::empty(), Key::made().await);
    let line = format!("name=blog {}\n", key.entry().await);
    let keys = folder.write("keys", &line);
    let server = Server::start(&["--keys-file", &keys]).await;
    let origin = Origin::echo().await;
    key.rotate("localhost").await;
    let options = ["--subdomain", "blog"];
    let agent = Agent::publish(&server, &origin.port(), &key, &options).await;
    assert!(
        agent.url.starts_with("http://blog.localhost:"),
        "{}",
        agent.url
    );
}

#[tokio::test]
async fn a_key_that_is_denied_takes_its_successors_along() {
    let (folder, key) = (Folder::empty(), Key::made().await);
    let line = format!("deny {}\n", key.label().await);
    let keys = folder.write("keys", &line);
    let server = Server::start(&["--keys-file", &keys]).await;
    key.rotate("localhost").await;
    let (code, said) = Agent::turned_away(&server, "1", &key, &[]).await;
    assert_eq!(code, Some(3));
    assert!(said.contains("denied this key"), "{said}");
}
