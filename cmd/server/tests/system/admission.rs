//! Who comes in, and who is cut when the operator thinks otherwise. The files and their complaints have tests of their own
//! beside these; here it is the agents' owners who notice.

use testkit::{
    origin::Origin,
    process::{Agent, Folder, Key, Server},
};

const OLD: &str = "the-old-token-of-the-club";
const NEW: &str = "the-new-token-of-the-club";

#[tokio::test]
async fn only_listed_keys_come_in_and_a_change_of_the_list_cuts_those_it_concerns() {
    let (ann, bob, eve) = (Key::made().await, Key::made().await, Key::made().await);
    let folder = Folder::empty();
    let (a, b) = (ann.entry().await, bob.entry().await);
    let keys = folder.write("keys", &format!("{a} Ann\n{b} Bob\n"));
    let config = folder.write(
        "server.toml",
        &format!("[admission]\nmode = 'listed'\nkeys_file = '{keys}'\n"),
    );
    let mut server = Server::start(&["--config", &config]).await;
    let service = Origin::echo().await;
    let stays = Agent::publish(&server, &service.port(), &ann, &[]).await;
    let mut goes = Agent::publish(&server, &service.port(), &bob, &[]).await;
    let (code, said) = Agent::turned_away(&server, "1", &eve, &[]).await;
    assert_eq!(code, Some(3));
    assert!(
        said.contains(&eve.label().await),
        "it says the missing line: {said}"
    );

    folder.replace("keys", &format!("{a} Ann\ndeny {b} Bob\n"));
    let (code, said) = goes.ended().await;
    assert_eq!(code, Some(3));
    assert!(said.contains("denied this key"), "{said}");
    server.program.says("the rules are in force").await;
    assert_eq!(stays.visitor().get("/").await.status, 200);
    assert_eq!(stays.program.said("connection lost"), 0);
    assert_eq!(
        goes.visitor().get("/").await.error(),
        Some("tunnel-offline")
    );
}

#[tokio::test]
async fn an_agent_comes_in_by_the_join_token_alone() {
    let folder = Folder::empty();
    let tokens = folder.write("tokens", &format!("{OLD}\n"));
    let mut server = Server::start(&["--token-file", &tokens, "-vvv"]).await;
    let key = Key::made().await;
    let (code, said) = Agent::turned_away(&server, "1", &key, &[]).await;
    assert_eq!(code, Some(3));
    assert!(said.contains("--token-file"), "{said}");
    let wrong = folder.write("wrong", NEW);
    let (code, said) = Agent::turned_away(&server, "1", &key, &["--token-file", &wrong]).await;
    assert_eq!(code, Some(3));
    assert!(said.contains("token is not valid"), "{said}");

    let service = Origin::echo().await;
    let right = folder.write("right", &format!("{OLD}\n"));
    let options = ["--token-file", &right, "-vvv"];
    let agent = Agent::publish(&server, &service.port(), &key, &options).await;
    assert_eq!(agent.visitor().get("/").await.status, 200);
    server.program.says("registered").await;
    for program in [&server.program, &agent.program] {
        assert_eq!(
            program.said(OLD) + program.said(NEW),
            0,
            "no token is in any log"
        );
    }
}

#[tokio::test]
async fn a_token_is_replaced_while_both_are_valid_and_then_the_old_one_is_worth_nothing() {
    let folder = Folder::empty();
    let tokens = folder.write("tokens", &format!("{OLD}\n"));
    let mut server = Server::start(&["--token-file", &tokens]).await;
    let (old, new) = (folder.write("old", OLD), folder.write("new-one", NEW));
    let service = Origin::echo().await;
    let addr = server.addr;
    let publish = async |token: &str| {
        let options = ["--token-file", token];
        Agent::dial(addr, &service.port(), &Key::fresh(), &options).await
    };
    let mut knows_old = publish(&old).await;
    folder.replace("tokens", &format!("{OLD}\n{NEW}\n"));
    server.program.says("tokens=2").await;
    let knows_new = publish(&new).await;

    folder.replace("tokens", &format!("{NEW}\n"));
    let (code, said) = knows_old.ended().await;
    assert_eq!(code, Some(3));
    assert!(said.contains("join token"), "{said}");
    assert_eq!(knows_new.visitor().get("/").await.status, 200);
    assert_eq!(knows_new.program.said("connection lost"), 0);
}

#[tokio::test]
async fn a_policy_above_the_operators_ceiling_is_refused_and_the_field_named() {
    let server = Server::configured("[policy]\nforbid = ['compress']\nmax_credentials = 1\n").await;
    let folder = Folder::empty();
    let two = folder.write("two", "ann:sesame\nbob:simsim\n");
    let key = Key::made().await;
    for (options, field) in [
        (&["--compress"][..], "policy.compress"),
        (&["--basic-auth-file", &two], "policy.basic_auth"),
    ] {
        let (code, said) = Agent::turned_away(&server, "1", &key, options).await;
        assert_eq!(code, Some(3));
        assert!(said.contains(field), "{field} is not in {said}");
    }
}
