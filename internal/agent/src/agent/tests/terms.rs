//! What an agent does when it is to ask its server for something else, and when others dial too.

use messages::{Policy, Secret};
use tokio::sync::Notify;

use super::*;

fn https() -> Option<Policy> {
    let https_only = true;
    Some(Policy {
        https_only,
        ..Policy::default()
    })
}

#[tokio::test(start_paused = true)]
async fn other_terms_are_asked_for_on_another_link_of_the_same_session_while_the_old_one_ends_its_work()
 {
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, open) = (begun.clone(), gate.clone());
    let slow = Doing(move |request: http::Request<crate::RequestBody>, _| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            if request.uri() == "/slow" {
                begun.notify_one();
                gate.notified().await;
            }
            Ok(Response::new(TargetBody::full("hi")))
        }
    });
    let mut life = Life::serving(slow, 0, patient);
    let (mut old, first) = life.admit().await;
    assert_eq!(first.policy, None);
    let running = old.ask(&get("/slow"), b"", true).await;
    seen.notified().await;

    life.agent
        .renew(https(), Some(Secret::new("a-token-of-sixteen")));
    let (mut new, second) = life.admit().await;
    assert!(second.policy.is_some());
    assert_eq!(
        (second.session, second.generation),
        (first.session, Some(42))
    );
    life.until_pool(&PoolChange::Renewed, [1, 1, 1]).await;
    answers(&mut new).await;
    open.notify_one();
    assert_eq!(old.response(running).await.1, b"hi");
    assert_eq!(goodbye(&mut old).await.code, DisconnectCode::Leaving);
    assert!(!life.story().contains(&"lost"), "{:?}", life.story());
}

#[tokio::test(start_paused = true)]
async fn the_same_terms_change_nothing() {
    let mut life = Life::begin(0, patient);
    let (mut server, _) = life.admit().await;
    life.agent.renew(None, None);
    sleep(Duration::from_secs(5)).await;
    assert!(life.links.try_recv().is_err());
    answers(&mut server).await;
}

#[tokio::test(start_paused = true)]
async fn a_superseded_link_that_is_never_left_alone_refuses_in_the_end() {
    let mut life = Life::begin(0, patient);
    let (mut old, _) = life.admit().await;
    life.agent.renew(https(), None);
    let (_new, _) = life.admit().await;
    let superseded = Instant::now();
    // Each comes before the link has been quiet for long enough.
    while superseded.elapsed() < Duration::from_secs(29) {
        answers(&mut old).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(goodbye(&mut old).await.code, DisconnectCode::Leaving);
    assert!(superseded.elapsed() < Duration::from_secs(35));
}

#[tokio::test(start_paused = true)]
async fn agents_that_share_their_dials_take_turns() {
    let dials = Dials::at_most(1);
    let mut lives: Vec<_> = (0..2)
        .map(|_| {
            Life::begin(0, |config| {
                patient(config);
                config.dials = Some(dials.clone());
            })
        })
        .collect();
    let mut second = lives.pop().unwrap();
    let mut first = lives.pop().unwrap();
    let pipe = first.links.recv().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(
        second.links.try_recv().is_err(),
        "the first has not registered yet"
    );
    let admitted = Server::admit(pipe, &Site::of(7, 1)).await;
    assert!(admitted.is_some());
    second.admit().await;
}
