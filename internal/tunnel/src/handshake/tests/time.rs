//! How long each side is waited for.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_agent_that_says_nothing_is_given_ten_seconds() {
    let began = Instant::now();
    let (error, refused) = greeted(|link| async { link }).await;
    assert!(
        matches!(error, GreetError::Handshake(HandshakeError::TimedOut)),
        "{error:?}"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(refused, None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_ten_seconds() {
    let (_server, mut agent) = pipe::pair();
    let began = Instant::now();
    let error = register(&mut agent, &SecretKey::generate(), &wish())
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegisterError::Handshake(HandshakeError::TimedOut)),
        "{error:?}"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn skipped_frames_do_not_buy_time() {
    let unknown = Bytes::from_static(&[0x77, 0, 0, 0, 0, 0]);
    let (error, _) = greeted(|mut link| async {
        for _ in 0..=MAX_SKIPPED {
            link.send_raw(unknown.clone()).await.unwrap();
        }
        link
    })
    .await;
    assert!(
        matches!(error, GreetError::Handshake(HandshakeError::OutOfTurn)),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn time_spent_answering_counts_against_the_signature() {
    let (error, refused) = greeted(|mut link| async {
        let greeting = hello(&mut link).await;
        let mut claims = wish().claims(&SecretKey::generate(), &greeting);
        (claims.iat, claims.exp) = (NOW - 60, NOW);
        tokio::time::sleep(Duration::from_secs(9)).await;
        answer(
            &mut link,
            sign_registration(&SecretKey::generate(), &claims),
        )
        .await;
        link
    })
    .await;
    assert!(
        matches!(error, GreetError::Unproven(VerifyError::Stale)),
        "{error:?}"
    );
    assert_eq!(code(refused), RefusalCode::Stale);
}

/// An agent that never reads must not hold the server's answer for ever.
#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_read_is_given_up() {
    let (mut server, _agent) = pipe::pair_holding(1);
    server.send(Frame::ping([0; 8])).await.unwrap();
    let limits = LIMITS();
    let began = Instant::now();
    let error = greet(&mut server, &terms(&limits)).await.unwrap_err();
    assert!(
        matches!(error, GreetError::Handshake(HandshakeError::TimedOut)),
        "{error:?}"
    );
    assert_eq!(began.elapsed(), HANDSHAKE_TIMEOUT);
}
