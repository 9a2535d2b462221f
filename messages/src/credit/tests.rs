//! Credit: what a sender may do, what a receiver tolerates, how windows grow, and that no sequence breaks the sums.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const AT_ONCE: Duration = Duration::ZERO;

fn never(_: u32) -> bool {
    false
}

fn always(_: u32) -> bool {
    true
}

#[test]
fn a_sender_spends_what_it_has_and_no_more() {
    let mut credit = SendCredit::new(100);
    assert!(!credit.take(101));
    assert!(credit.take(100));
    assert_eq!(credit.available(), 0);
    assert!(!credit.take(1));
    credit.add(5).unwrap();
    assert_eq!(credit.available(), 5);
}

#[test]
fn credit_above_its_ceiling_is_a_protocol_error_and_changes_nothing() {
    let mut credit = SendCredit::new(1);
    assert_eq!(
        credit.add(MAX_CREDIT),
        Err(CreditOverflow {
            granted: MAX_CREDIT
        })
    );
    assert_eq!(
        credit.add(u32::MAX),
        Err(CreditOverflow { granted: u32::MAX })
    );
    assert_eq!(credit.available(), 1);
    assert_eq!(credit.add(MAX_CREDIT - 1), Ok(()));
}

#[test]
fn a_chunk_is_as_long_as_credit_and_frame_allow() {
    assert_eq!(SendCredit::new(INITIAL_WINDOW).chunk(100), Some(100));
    assert_eq!(SendCredit::new(65536).chunk(1 << 20), Some(65536 - 64));
    assert_eq!(
        SendCredit::new(MAX_WINDOW).chunk(1 << 20),
        Some(MAX_BODY_FRAME)
    );
}

#[test]
fn a_sender_waits_rather_than_send_crumbs() {
    assert_eq!(SendCredit::new(4096 + 63).chunk(1 << 20), None);
    assert_eq!(SendCredit::new(4096 + 64).chunk(1 << 20), Some(4096));
    // The whole of a short rest is no crumb.
    assert_eq!(SendCredit::new(10 + 64).chunk(10), Some(10));
    assert_eq!(SendCredit::new(10 + 63).chunk(10), None);
    assert_eq!(SendCredit::new(64).chunk(0), Some(0));
    assert_eq!(SendCredit::new(63).chunk(0), None);
}

#[test]
fn a_body_that_fits_the_window_needs_no_grant() {
    let mut window = ReceiveWindow::new(INITIAL_WINDOW);
    assert!(window.suffices(0, 100 * 1024));
    assert!(!window.suffices(0, INITIAL_WINDOW.into()));
    window.received(cost(64 * 1024)).unwrap();
    assert!(window.suffices(0, 100 * 1024), "what is here counts");
    assert!(window.suffices(cost(64 * 1024), 36 * 1024));
    assert!(
        !window.suffices(cost(64 * 1024), 64 * 1024),
        "what is consumed now covers nothing of what follows it"
    );
    window.freed(cost(64 * 1024));
    // What was not granted then is granted with the next consumption that matters.
    window.received(cost(1024)).unwrap();
    assert_eq!(
        window.consumed(cost(1024), AT_ONCE, never),
        Some(cost(64 * 1024) + cost(1024))
    );
}

/// Sends a body in frames of at most `frame` bytes, as the credit allows, each consumed when the next cannot be sent.
fn send(body: u64, frame: usize) {
    let mut window = ReceiveWindow::new(INITIAL_WINDOW);
    let mut credit = SendCredit::new(INITIAL_WINDOW);
    let mut arrived = VecDeque::new();
    let (mut unsent, mut to_come) = (body, body);
    while to_come > 0 {
        let wanted = usize::try_from(unsent.min(frame as u64)).unwrap();
        if wanted > 0
            && let Some(len) = credit.chunk(wanted)
        {
            assert!(credit.take(cost(len)));
            window.received(cost(len)).unwrap();
            arrived.push_back(len);
            unsent -= len as u64;
            continue;
        }
        let Some(len) = arrived.pop_front() else {
            panic!("a body of {body} in frames of {frame} is stuck with {unsent} bytes unsent");
        };
        to_come -= len as u64;
        if window.suffices(cost(len), to_come) {
            window.freed(cost(len));
        } else if let Some(grant) = window.consumed(cost(len), AT_ONCE, never) {
            credit.add(grant).unwrap();
        }
    }
}

#[test]
fn a_body_in_tiny_frames_is_never_stuck() {
    send(100 * 1024, 1);
}

#[test]
fn a_body_of_any_length_in_frames_of_any_size_is_never_stuck() {
    for body in (0..400 * 1024).step_by(997) {
        for frame in [1000, 16 * 1024, 32 * 1024, 64 * 1024, 128 * 1024] {
            send(body, frame);
        }
    }
}

#[test]
fn a_peer_that_sends_more_than_it_was_granted_is_noticed() {
    let mut window = ReceiveWindow::new(100);
    window.received(60).unwrap();
    assert_eq!(
        window.received(41),
        Err(Overrun {
            cost: 41,
            outstanding: 40
        })
    );
    window.received(40).unwrap();
    assert_eq!((window.outstanding(), window.held()), (0, 100));
}

#[test]
fn grants_come_by_quarters_and_only_for_what_was_passed_on() {
    let mut window = ReceiveWindow::new(1000);
    window.received(1000).unwrap();
    assert_eq!(window.consumed(249, AT_ONCE, never), None);
    assert_eq!(window.consumed(1, AT_ONCE, never), Some(250));
    assert_eq!(window.outstanding(), 250);
    assert_eq!(
        window.consumed(u32::MAX, AT_ONCE, never),
        Some(750),
        "no more than was held"
    );
    assert_eq!(
        window.consumed(1, AT_ONCE, never),
        None,
        "nothing is held any more"
    );
}

#[test]
fn a_window_emptied_within_the_period_doubles_if_the_budget_agrees() {
    let just_in_time = GROWTH_PERIOD - Duration::from_millis(1);
    let refill = |answer: fn(u32) -> bool, now| {
        let mut window = ReceiveWindow::new(1000);
        window.received(1000).unwrap();
        window.consumed(200, AT_ONCE, always);
        let grant = window.consumed(800, now, answer);
        (grant, window.window())
    };
    assert_eq!(refill(always, just_in_time), (Some(2000), 2000));
    assert_eq!(refill(never, just_in_time), (Some(1000), 1000));
    assert_eq!(refill(always, GROWTH_PERIOD), (Some(1000), 1000));
}

#[test]
fn the_budget_is_asked_for_exactly_the_growth() {
    let mut window = ReceiveWindow::new(MAX_WINDOW - 10);
    window.received(MAX_WINDOW - 10).unwrap();
    let grant = window.consumed(MAX_WINDOW - 10, AT_ONCE, |extra| extra == 10);
    assert_eq!(grant, Some(MAX_WINDOW));
    window.received(MAX_WINDOW).unwrap();
    window.consumed(MAX_WINDOW, AT_ONCE, |_| {
        panic!("a full-grown window asks for nothing")
    });
    assert_eq!(window.window(), MAX_WINDOW);
}

#[test]
fn a_pause_does_not_speak_against_the_burst_after_it() {
    let mut window = ReceiveWindow::new(1000);
    window.received(1000).unwrap();
    window.consumed(10, AT_ONCE, always);
    let later = Duration::from_secs(60);
    window.consumed(990, later, always);
    window.received(10).unwrap();
    window.consumed(10, later + Duration::from_millis(100), always);
    assert_eq!(window.window(), 2000);
}

#[test]
fn a_closed_window_opens_when_the_target_says_continue() {
    let mut window = ReceiveWindow::new(0);
    assert_eq!(
        window.received(64),
        Err(Overrun {
            cost: 64,
            outstanding: 0
        })
    );
    assert_eq!(window.open(INITIAL_WINDOW), Some(INITIAL_WINDOW));
    assert_eq!(window.open(INITIAL_WINDOW), None, "once");
    assert_eq!(window.received(64), Ok(()));
}

/// A path of 100 ms there and back must carry more than 20 MB/s in one stream: the window has to grow to its ceiling within
/// few round trips when the next hop takes everything at once.
#[test]
fn a_fast_stream_over_a_long_path_reaches_the_largest_window() {
    let mut window = ReceiveWindow::new(INITIAL_WINDOW);
    let mut round_trips = 0;
    while window.window() < MAX_WINDOW {
        round_trips += 1;
        assert!(round_trips < 10, "still at {}", window.window());
        let now = Duration::from_millis(100 * round_trips);
        while window.outstanding() >= 16_448 {
            window.received(16_448).unwrap();
        }
        while window.held() > 0 {
            window.consumed(16_448, now, always);
        }
    }
}

proptest! {
    /// The sender's credit and the receiver's books agree whatever happens, nothing overruns, and as long as the next hop takes
    /// what arrives the sender is never left without enough for a useful frame.
    #[test]
    fn both_ends_agree_and_never_starve(
        steps in prop::collection::vec((0usize..200_000, 0u32..100_000, 0u64..300, any::<bool>()), 1..200),
    ) {
        let mut sender = SendCredit::new(INITIAL_WINDOW);
        let mut receiver = ReceiveWindow::new(INITIAL_WINDOW);
        let mut now = Duration::ZERO;
        for (wanted, taken, millis, room) in steps {
            now += Duration::from_millis(millis);
            if let Some(len) = sender.chunk(wanted) {
                prop_assert!(len <= MAX_BODY_FRAME && (len == wanted || len >= MIN_CHUNK));
                prop_assert!(sender.take(cost(len)));
                prop_assert_eq!(receiver.received(cost(len)), Ok(()));
            }
            let before = receiver.window();
            if let Some(grant) = receiver.consumed(taken, now, |_| room) {
                sender.add(grant).unwrap();
            }
            prop_assert!(room || receiver.window() == before);
            prop_assert!(receiver.window() <= MAX_WINDOW);
            prop_assert_eq!(sender.available(), receiver.outstanding());
            prop_assert!(receiver.held() <= receiver.window());
            prop_assert_eq!(receiver.outstanding() + receiver.held() + receiver.due, receiver.window());
            if receiver.held() == 0 {
                prop_assert!(sender.chunk(MAX_BODY_FRAME).is_some());
                prop_assert!(sender.available() >= cost(crate::headers::MAX_TRAILERS));
            }
        }
    }
}
