//! Pages with filters and budgets, and keyspaces.

use alloc::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ident::Epoch;
use crate::rows::stored_key_in;
use crate::stamp::{Dot, Time};
use crate::store::{MemoryStore, Store};
use crate::wire;

const PREFIX: Prefix = 7;
const NOW: Millis = 1000;

/// A copy with these keys: a keyspace, a key, and what is there of it.
fn copy<'a>(rows: impl IntoIterator<Item = (&'a str, &'a [u8], Kind)>) -> MemoryStore {
    let store = MemoryStore::new();
    let mut transaction = rows::Transaction::default();
    for (keyspace, key, kind) in rows {
        let payload = match kind {
            Kind::Live => Payload::Value(b"value".to_vec(), None),
            Kind::Expired => Payload::Value(b"value".to_vec(), Some(NOW)),
            Kind::Deleted => Payload::Tombstone,
        };
        let record = Record::new(Time(1), Dot { epoch: Epoch(1), sequence: 1 }, payload);
        let row = rows::data_key(PREFIX, &stored_key_in(keyspace, key));
        transaction.put(Space::Data, row, wire::encode(&record));
    }
    store.commit(transaction.into_batch()).unwrap();
    store
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Live,
    Expired,
    Deleted,
}

fn request(limit: u32, budget: u32, reverse: bool) -> PageRequest {
    PageRequest {
        start: Bound::Included(stored_key_in("", b"")),
        end: Bound::Excluded(alloc::vec![1]),
        limit,
        reverse,
        keys_only: true,
        filter: None,
        budget,
    }
}

fn keys(rows: &[Found]) -> Vec<Vec<u8>> {
    rows.iter().map(|(stored, _)| split_key(stored).unwrap().1.to_vec()).collect()
}

/// Reads page after page as a caller does; the keys of each page.
fn pages(store: &MemoryStore, mut page: PageRequest, filter: Option<&Filter>) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    loop {
        let (rows, next) = read_page(store, PREFIX, &page, filter, NOW).unwrap();
        all.push(keys(&rows));
        match (next, page.reverse) {
            (None, _) => return all,
            (Some(next), false) => page.start = Bound::Excluded(next),
            (Some(next), true) => page.end = Bound::Excluded(next),
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Live), Just(Kind::Expired), Just(Kind::Deleted)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'/'), Just(0xff)], 1..5)
}

proptest! {
    /// Whatever the limit and the budget, in either direction: the pages together have every match exactly
    /// once and in order, none reads more than its budget, and one that is cut short says so.
    #[test]
    fn pages_have_every_match_once(
        rows in proptest::collection::btree_map(bytes(), kind(), 0..40),
        glob in "[ab/*]{1,5}",
        (limit, budget) in (1_u32..5, 1_u32..8),
        reverse: bool,
    ) {
        let Ok(filter) = Filter::glob(glob) else { return Ok(()) };
        let store = copy(rows.iter().map(|(key, kind)| ("", &**key, *kind)));
        let matches = |(key, kind): (&Vec<u8>, &Kind)| {
            (*kind == Kind::Live && filter.matches(key)).then(|| key.clone())
        };
        let mut expected: Vec<_> = rows.iter().filter_map(matches).collect();
        if reverse {
            expected.reverse();
        }
        let pages = pages(&store, request(limit, budget, reverse), Some(&filter));
        prop_assert_eq!(pages.concat(), expected);
        prop_assert!(pages.iter().all(|page| page.len() <= limit.min(budget) as usize));
        prop_assert!(pages.len() >= rows.len().div_ceil(budget as usize));
    }

    /// Keyspaces are found page by page, each once, and only where a key of them is seen.
    #[test]
    fn keyspaces_are_found_once(
        rows in proptest::collection::btree_map(("[ab]{0,2}", bytes()), kind(), 0..40),
        limit in 1_u32..4,
    ) {
        let store = copy(rows.iter().map(|((keyspace, key), kind)| (&**keyspace, &**key, *kind)));
        let seen = |((name, _), kind): (&(_, _), &Kind)| {
            (*kind == Kind::Live).then(|| Clone::clone(name))
        };
        let expected: BTreeSet<String> = rows.iter().filter_map(seen).collect();
        let mut expected: Vec<_> = expected.into_iter().collect();
        expected.sort_by_key(|name| (name.len(), name.clone()));
        let (mut names, mut request) = (Vec::new(), KeyspacesRequest { start: Vec::new(), limit });
        loop {
            let (page, next) = read_keyspaces(&store, PREFIX, &request, NOW).unwrap();
            prop_assert!(page.len() <= limit as usize && !(page.is_empty() && next.is_some()));
            names.extend(page);
            let Some(next) = next else { break };
            request.start = next;
        }
        prop_assert_eq!(names, expected);
    }
}

/// A page whose budget is used up before anything was found is empty and leads on.
#[test]
fn an_empty_page_may_lead_on() {
    let names: Vec<String> = (0..25_000).map(|n| alloc::format!("{n:05}")).collect();
    let store = copy(names.iter().map(|name| ("", name.as_bytes(), Kind::Live)));
    let filter = Filter::glob("20000").unwrap();
    let pages = pages(&store, request(10_000, 0, false), Some(&filter));
    let lengths: Vec<_> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [0, 0, 1], "10,000 keys are looked at for a page");
    let lowered = self::pages(&store, request(10_000, 5_000, false), Some(&filter));
    assert_eq!(lowered.len(), 5);
    let raised = self::pages(&store, request(10_000, u32::MAX, true), Some(&filter));
    assert_eq!(raised.len(), 3);
    let (rows, next) = read_page(&store, PREFIX, &request(10_000, 0, false), None, NOW).unwrap();
    assert_eq!((rows.len(), next.is_some()), (PAGE_MAX, true));
    let (rows, next) = read_page(&store, PREFIX, &request(9, 3, false), None, NOW).unwrap();
    assert_eq!((rows.len(), next), (3, Some(stored_key_in("", b"00002"))));
}

/// A filter that is slow, and rows that are large, use up the budget sooner.
#[test]
fn bytes_count_too() {
    let long = [b'a'; 1000];
    let names: Vec<_> = (0..4000_u16).map(|n| [&long, &n.to_be_bytes()[..]].concat()).collect();
    let store = copy(names.iter().map(|name| ("", &**name, Kind::Live)));
    let count = |filter: &str| {
        let filter = Filter::regex(filter).unwrap();
        let page = request(10_000, 0, false);
        read_page(&store, PREFIX, &page, Some(&filter), NOW).unwrap().0.len()
    };
    let (light, heavy) = (count("(?s-u)a.*"), count(r"(?s-u)(?:(?:.?a){2}|b){100}.*|a.*"));
    assert!(heavy > 0 && heavy < 1000 && heavy < light, "{heavy} {light}");
}

/// Many keyspaces, and many keys that are gone, are told page by page.
#[test]
fn keyspaces_are_found_by_seeking() {
    let names: Vec<String> = (0..2500).map(|n| alloc::format!("k{n:04}")).collect();
    let seen = names.iter().map(|name| (&**name, &b"key"[..], Kind::Live));
    let gone: Vec<String> = (0..25_000).map(|n| alloc::format!("{n:05}")).collect();
    let gone = gone.iter().map(|key| ("a", key.as_bytes(), Kind::Deleted));
    let many: Vec<String> = (0..5_000).map(|n| alloc::format!("{n:05}")).collect();
    let many = many.iter().map(|key| ("b", key.as_bytes(), Kind::Live));
    let store = copy(gone.chain(many).chain(seen));
    let mut request = KeyspacesRequest { start: Vec::new(), limit: u32::MAX };
    let mut lengths = Vec::new();
    loop {
        let (page, next) = read_keyspaces(&store, PREFIX, &request, NOW).unwrap();
        lengths.push(page.len());
        let Some(next) = next else { break };
        request.start = next;
    }
    assert_eq!(lengths, [0, 0, 1000, 1000, 501]);
}
