//! What a tunnel costs in Redis' memory: the record that `announce.lua` writes, in the structures and size classes of
//! Redis 7 with jemalloc. Of 100,000 records the model says within
//! one in a hundred of what was measured (748 and 908 bytes with one link and two).

use messages::TunnelId;

use crate::size::Size;
use crate::table::{Table, memory, number};

/// An entry of a dictionary, an object, and a small dictionary with its four buckets: what Redis 7 asks for.
const ENTRY: usize = 24;
const OBJECT: usize = 16;
const DICTIONARY: usize = 56;
const BUCKETS: usize = 32;

/// The next larger size that the allocator has.
fn allocated(bytes: usize) -> usize {
    let step = match bytes {
        ..=8 => 8,
        9..=128 => 16,
        129..=256 => 32,
        _ => 64,
    };
    bytes.next_multiple_of(step)
}

/// A string, with what it has beside its bytes.
fn string(text: &str) -> usize {
    let beside = if text.len() < 32 { 2 } else { 4 };
    allocated(text.len() + beside)
}

/// How much more Redis holds for each tunnel, and for each of its links.
pub(crate) struct Record {
    pub(crate) tunnel: usize,
    pub(crate) link: usize,
    /// What stays for a day when its last link has gone.
    pub(crate) past: usize,
}

impl Record {
    pub(crate) fn of_a_tunnel() -> Self {
        let label = TunnelId([0xad; 32]).label();
        let node = Size::node_id(0);
        // Words of more than 64 bytes make a hash a dictionary.
        let held = format!("1795249178986152 e {:032x} {:020}", 7, 1);
        let field = format!("{node}/1000000");
        let link = allocated(ENTRY) + string(&field) + string(&held);
        let links =
            key(&format!("adit:{{t:{label}}}:links")) + allocated(DICTIONARY) + allocated(BUCKETS);
        let past = key(&format!("adit:{{t:{label}}}:past"));
        let withdrawn = format!("{field}={:020}@1795249178986152", 1);
        Self {
            tunnel: links + past + allocated(past_len()),
            link,
            past: past + past_with(&withdrawn),
        }
    }

    pub(crate) fn bytes(&self, links: usize) -> usize {
        self.tunnel + links * self.link
    }
}

/// A key, its object and its places among all keys and among those that expire.
fn key(name: &str) -> usize {
    string(name) + allocated(OBJECT) + 2 * allocated(ENTRY)
}

/// The past of a tunnel with one session, which is one packed list: each word with the two bytes around it, numbers in ten.
fn past_len() -> usize {
    let known = 32 + 1 + 16;
    let words = [
        "highest",
        "floor",
        "known",
        "withdrawn",
        "takeovers",
        "",
        "",
    ];
    let words: usize = words.iter().map(|word| word.len() + 2).sum();
    7 + words + 10 + 10 + known + 2
}

/// The past once a withdrawal is in it: a word of more than 64 bytes, so a dictionary, with eight buckets.
fn past_with(withdrawn: &str) -> usize {
    let generation = "1795249178986152";
    let known = format!("{:032x}={generation}", 7);
    let words = [
        ("highest", generation),
        ("floor", generation),
        ("known", known.as_str()),
        ("withdrawn", withdrawn),
        ("takeovers", ""),
    ];
    let words = words.map(|(name, word)| allocated(ENTRY) + string(name) + string(word));
    allocated(DICTIONARY) + 2 * allocated(BUCKETS) + words.iter().sum::<usize>()
}

/// A place in each of the two tables of a key: their sizes are powers of two.
fn places(keys: usize) -> f64 {
    2.0 * 8.0 * keys.next_power_of_two() as f64 / keys as f64
}

pub(crate) fn table(size: &Size) -> Table {
    let record = Record::of_a_tunnel();
    let mut table = Table::new("Memory of Redis", &["what", "bytes"]);
    let places = 2.0 * places(2 * size.tunnels);
    for links in [1, 2] {
        let bytes = record.bytes(links) as f64 + places;
        table.row(&[
            format!("a tunnel, {links} of its links there"),
            number(bytes),
        ]);
    }
    let all = (record.bytes(size.links) as f64 + places) * size.tunnels as f64;
    table.row(&["all tunnels".to_owned(), memory(all)]);
    let gone = record.past as f64 + places / 2.0;
    table.row(&[
        "the past of a tunnel without links, for a day".to_owned(),
        number(gone),
    ]);
    let day = (size.churn * 24 * 3600) as f64;
    table.row(&[
        "all that left in a day, if no agent ever returns".to_owned(),
        memory(gone * day),
    ]);
    table
}
