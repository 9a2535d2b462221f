//! Who serves which slot of a cluster.

use redis::Value;

use super::error::StoreError;
use super::names::SLOTS;
use super::scripts::text;
use super::url::Address;

/// The most masters of a cluster: a line is kept in a byte for each slot.
const MAX_MASTERS: usize = 255;

/// Reads `CLUSTER SLOTS`: the masters, and for each slot which of them serves it.
pub(super) fn read(
    answer: &Value,
    seed: &Address,
) -> Result<(Vec<Address>, Box<[u8]>), StoreError> {
    const NOBODY: u8 = u8::MAX;
    let mut masters: Vec<Address> = Vec::new();
    let mut slots = vec![NOBODY; usize::from(SLOTS)];
    for range in answer.as_sequence().unwrap_or_default() {
        let [Value::Int(first), Value::Int(last), master, ..] =
            range.as_sequence().unwrap_or_default()
        else {
            continue;
        };
        let Some(master) = master.as_sequence().and_then(|it| node_of(it, seed)) else {
            continue;
        };
        let known = masters.iter().position(|known| *known == master);
        let at = known.unwrap_or_else(|| {
            masters.push(master);
            masters.len() - 1
        });
        let (Ok(first), Ok(last)) = (usize::try_from(*first), usize::try_from(*last)) else {
            continue;
        };
        if let (Some(range), Ok(at)) = (slots.get_mut(first..=last), u8::try_from(at)) {
            range.fill(at);
        }
    }
    if masters.len() > MAX_MASTERS {
        return Err(StoreError::Refused(
            "the cluster has too many masters".to_owned(),
        ));
    }
    if slots.contains(&NOBODY) {
        return Err(StoreError::Down(
            "nobody serves some slots of the cluster".to_owned(),
        ));
    }
    Ok((masters, slots.into()))
}

/// A node of `CLUSTER SLOTS`: one that does not know its own name is the one that was asked.
fn node_of(node: &[Value], seed: &Address) -> Option<Address> {
    let [host, Value::Int(port), ..] = node else {
        return None;
    };
    let own = match seed {
        Address::Tcp { host, .. } => host,
        Address::Unix(_) => return None,
    };
    let host = text(host).filter(|host| !matches!(*host, "" | "?"));
    Some(Address::Tcp {
        host: host.map_or_else(|| own.clone(), str::to_owned),
        port: u16::try_from(*port).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_value(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let node = Value::Array(vec![text_value(host), Value::Int(port), text_value("id")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node])
    }

    #[test]
    fn a_cluster_says_who_serves_each_slot() {
        let seed = Address::Tcp {
            host: "seed".to_owned(),
            port: 1,
        };
        let answer = Value::Array(vec![
            range(0, 99, "", 7000),
            range(100, 16382, "b", 7001),
            range(16383, 16383, "", 7000),
        ]);
        let (masters, slots) = read(&answer, &seed).expect("all slots are served");
        let masters: Vec<String> = masters.iter().map(Address::to_string).collect();
        assert_eq!(masters, ["seed:7000", "b:7001"]);
        assert_eq!((slots[99], slots[100], slots[16383]), (0, 1, 0));

        let hole = Value::Array(vec![range(0, 99, "a", 1), range(101, 16383, "b", 1)]);
        assert!(matches!(read(&hole, &seed), Err(StoreError::Down(_))));
        let beyond = Value::Array(vec![range(0, 20000, "a", 1)]);
        assert!(matches!(read(&beyond, &seed), Err(StoreError::Down(_))));
        assert!(read(&Value::Nil, &seed).is_err());
    }
}
