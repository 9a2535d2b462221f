//! An agent that asks its own public URL whether visitors get through.

use testkit::{
    origin::{Log, Origin},
    port::Port,
    process::{Agent, Folder, Key, Server},
};

#[tokio::test]
async fn an_agent_that_visitors_reach_says_so_and_its_service_is_not_bothered() {
    let log = Log::default();
    let server = Server::start(&[]).await;
    let origin = Origin::echo_into(log.clone()).await;
    let options = ["--self-check"];
    let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
    agent.program.says("self-check: visitors get through").await;
    assert!(log.requests().is_empty());
}

#[tokio::test]
async fn an_agent_that_visitors_do_not_reach_says_why_and_connects_anew() {
    let nowhere = Port::free();
    let url = format!("public_url = 'http://localhost:{}'", nowhere.number());
    let server = Server::configured(&url).await;
    let origin = Origin::echo().await;
    let options = ["--self-check"];
    let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
    agent
        .program
        .says("self-check: visitors do not get through: cannot connect to")
        .await;
    agent.program.says("connected").await;
}

#[tokio::test]
async fn an_agent_behind_its_own_password_says_how_far_visitors_get() {
    let folder = Folder::empty();
    let file = folder.write("visitors", "ann:sesame\n");
    let server = Server::start(&[]).await;
    let origin = Origin::echo().await;
    let options = ["--self-check", "--basic-auth-file", &file];
    let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
    agent
        .program
        .says("self-check: visitors get as far as the server, which asks for")
        .await;
}
