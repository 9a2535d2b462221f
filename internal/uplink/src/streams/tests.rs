use super::*;

const NODE: NodeId = NodeId([1; 16]);
const OTHER: NodeId = NodeId([2; 16]);

fn exchange(id: u64) -> Exchange {
    Exchange {
        node: NODE,
        id: ExchangeId(id),
    }
}

#[test]
fn ids_rise_and_are_never_used_again() {
    let mut table = StreamTable::new(10);
    let first = table.open(exchange(1), true).unwrap();
    assert_eq!(table.heard_agent(first, true), Ok(Some(exchange(1))));
    assert!(table.is_empty());
    let second = table.open(exchange(1), true).unwrap();
    assert_eq!((first, second), (StreamId(1), StreamId(2)));
}

#[test]
fn a_stream_counts_until_both_directions_ended() {
    let mut table = StreamTable::new(1);
    let id = table.open(exchange(1), false).unwrap();
    assert_eq!(table.heard_agent(id, true), Ok(Some(exchange(1))));
    assert_eq!(table.open(exchange(2), true), Err(CannotOpen::Full));
    assert_eq!(table.heard_edge(exchange(1), true), Some(id));
    assert_eq!(table.len(), 0);
    assert!(table.open(exchange(2), true).is_ok());
}

#[test]
fn a_reset_by_the_edge_counts_until_the_agent_acknowledged_it() {
    let mut table = StreamTable::new(1);
    let id = table.open(exchange(1), true).unwrap();
    assert_eq!(table.heard_edge(exchange(1), true), Some(id));
    assert_eq!(table.open(exchange(2), true), Err(CannotOpen::Full));
    assert_eq!(table.heard_agent(id, true), Ok(Some(exchange(1))));
    assert!(table.open(exchange(2), true).is_ok());
}

#[test]
fn what_comes_for_a_stream_that_is_over_goes_nowhere() {
    let mut table = StreamTable::new(1);
    let id = table.open(exchange(1), true).unwrap();
    table.heard_agent(id, true).unwrap();
    assert_eq!(table.heard_agent(id, false), Ok(None));
    assert_eq!(table.heard_edge(exchange(1), false), None);
}

#[test]
fn a_stream_that_was_never_opened_is_a_fault() {
    let mut table = StreamTable::new(1);
    assert_eq!(table.heard_agent(StreamId(1), false), Err(NeverOpened));
    table.open(exchange(1), true).unwrap();
    assert_eq!(table.heard_agent(StreamId(2), false), Err(NeverOpened));
}

#[test]
fn an_exchange_has_one_stream_at_a_time() {
    let mut table = StreamTable::new(9);
    table.open(exchange(1), false).unwrap();
    assert_eq!(table.open(exchange(1), false), Err(CannotOpen::Duplicate));
}

#[test]
fn an_opening_that_could_not_be_queued_leaves_only_a_used_id() {
    let mut table = StreamTable::new(1);
    let id = table.open(exchange(1), false).unwrap();
    table.forget(id);
    assert_eq!(table.open(exchange(1), false), Ok(StreamId(2)));
}

#[test]
fn streams_of_a_lost_node_wait_only_for_the_agent() {
    let mut table = StreamTable::new(3);
    let kept = Exchange {
        node: OTHER,
        id: ExchangeId(1),
    };
    let lost = table.open(exchange(1), false).unwrap();
    let answered = table.open(exchange(2), false).unwrap();
    table.open(kept, false).unwrap();
    table.heard_agent(answered, true).unwrap();

    let mut resets = table.abandon_node(NODE);
    resets.sort_by_key(|id| id.0);
    assert_eq!(resets, [lost, answered]);
    assert_eq!(
        table.len(),
        2,
        "the answered one is over, the other waits for its acknowledgement"
    );
    assert_eq!(table.heard_agent(lost, false), Ok(None));
    assert_eq!(table.heard_agent(lost, true), Ok(None));
    assert_eq!(table.len(), 1);
    assert_eq!(table.clear(), [kept]);
}

#[test]
fn near_the_last_id_the_link_is_spent_and_after_it_nothing_opens() {
    let mut table = StreamTable::new(2);
    table.skip_to(SPENT);
    assert!(!table.is_spent());
    table.open(exchange(1), true).unwrap();
    assert!(table.is_spent());
    table.skip_to(StreamId::LAST);
    assert_eq!(table.open(exchange(2), true), Ok(StreamId::LAST));
    table.heard_agent(StreamId::LAST, true).unwrap();
    assert_eq!(table.open(exchange(3), true), Err(CannotOpen::Exhausted));
}
