//! Which requests share a connection to the service, seen from both ends.

use super::*;

/// One visitor after the other; each gets a whole answer.
async fn ask_in_turn(bench: &mut Bench, times: usize) {
    for _ in 0..times {
        let stream = bench.server.ask(&get("/"), b"", true).await;
        bench.server.response(stream).await;
    }
}

#[tokio::test]
async fn a_service_that_says_close_is_taken_at_its_word() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end",
        "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.0 200 OK\r\n\r\nto the end",
    ] {
        let service = Service::saying(answer).await;
        let mut bench = service.published().await;
        ask_in_turn(&mut bench, 3).await;
        assert_eq!(service.connections(), 3, "{answer:?}");
    }
}

#[tokio::test]
async fn a_service_that_closes_without_a_word_is_dialled_again_even_for_what_must_not_be_sent_twice()
 {
    let service = Service::answering(|request| match request {
        0 => "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
        _ => OK,
    })
    .await;
    let mut bench = service.published().await;
    ask_in_turn(&mut bench, 1).await;
    let head = request(Method::POST, "/", &[("content-length", "4")]);
    let stream = bench.server.ask(&head, b"data", true).await;
    assert_eq!(bench.server.response(stream).await.1, b"hi");
    assert_eq!(service.connections(), 2);
}

#[tokio::test]
async fn the_second_try_has_a_fresh_connection_though_others_are_idle() {
    let service = Service::answering(|request| if request == 2 { "" } else { OK }).await;
    let mut bench = service.published().await;
    let first = bench.server.ask(&get("/"), b"", true).await;
    let second = bench.server.ask(&get("/"), b"", true).await;
    let mut ended = 0;
    while ended < 2 {
        match bench.server.hear().await.unwrap() {
            (stream, Message::HttpResponse { end: true, .. }) => {
                assert!([first, second].contains(&stream));
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(service.connections(), 2);
    ask_in_turn(&mut bench, 1).await;
    assert_eq!(service.connections(), 3);
}

#[tokio::test]
async fn what_is_no_answer_on_a_kept_connection_is_not_asked_for_again() {
    let service = Service::answering(|request| match request {
        0 => OK,
        _ => "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    })
    .await;
    let mut bench = service.published().await;
    ask_in_turn(&mut bench, 1).await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    let reset = bench.server.reset(stream).await;
    assert_eq!(reset.code, ResetCode::BadResponse, "{reset}");
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn a_request_lost_after_an_interim_head_is_not_tried_again() {
    let service = Service::answering(|request| match request {
        0 => OK,
        _ => "HTTP/1.1 103 Early Hints\r\nconnection: close\r\n\r\n",
    })
    .await;
    let mut bench = service.published().await;
    ask_in_turn(&mut bench, 1).await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    loop {
        match bench.server.on(stream).await {
            Message::HttpResponse { head, .. } => assert_eq!(head.status.as_u16(), 103),
            Message::Reset(reset) => {
                assert_eq!(reset.code, ResetCode::TargetUnreachable, "{reset}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn a_connection_answered_early_is_used_again_only_when_the_upload_is_over() {
    let mut service = Service::saying(OK).await;
    let mut bench = service.published().await;
    let head = request(Method::POST, "/", &[("content-length", "8")]);
    let upload = bench.server.ask(&head, b"half", false).await;
    assert_eq!(bench.server.response(upload).await.1, b"hi");
    ask_in_turn(&mut bench, 1).await;
    assert_eq!(service.connections(), 2, "the first one is not free");
    for _ in 0..2 {
        service.head().await;
    }
    bench
        .server
        .say(Frame::body(upload, "rest".into(), true))
        .await;
    // The other one is kept busy, so that the first one is all that is left.
    let busy = bench.server.ask(&get("/"), b"", true).await;
    let again = bench.server.ask(&get("/"), b"", true).await;
    let mut heads = Vec::new();
    for _ in 0..2 {
        heads.push(service.head().await);
    }
    heads.sort_unstable();
    assert!(heads[0].starts_with("GET / "), "{heads:?}");
    assert!(heads[1].starts_with("halfrestGET / "), "{heads:?}");
    assert!(busy != again);
    assert_eq!(service.connections(), 2);
}
