//! One meaning, whatever the door: every feature through the library, the command line, HTTP and the Redis
//! protocol, with the same answer from each.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod doors;
mod support;

use doors::{Ask, Door};
use support::Peer;

/// What no door but these offers.
const NOT_OFFERED: &[(&str, &str)] = &[
    ("http", "GetMany"),
    ("cli", "GetMany"),
    ("redis", "PutIfCurrent"),
    ("redis", "ListLast"),
    ("redis", "Scan"),
    ("redis", "Sync"),
    ("redis", "DeletePrefix"),
    ("redis", "Keyspaces"),
    ("redis", "Drop"),
    ("redis", "Watch"),
];

/// What is asked, in this order, and the answer.
const STEPS: &[(Ask, &str)] = &[
    // get, put, delete
    (Ask::Get("k"), "absent"),
    (Ask::Put("k", "value"), "ok"),
    (Ask::Get("k"), "value"),
    (Ask::Put("k", ""), "ok"),
    (Ask::Get("k"), ""),
    (Ask::Put("", "value"), "refused: key-length"),
    (Ask::PutNowhere, "refused: no-match"),
    (Ask::PutTooMuch, "refused: no-space"),
    (Ask::Delete("k"), "ok"),
    (Ask::Get("k"), "absent"),
    (Ask::Delete("never"), "ok"),
    // batch, get_many
    (Ask::Put("user:0", "x"), "ok"),
    (Ask::Batch(&[("user:1", Some("a")), ("user:2", Some("b")), ("user:0", None)]), "ok"),
    (Ask::Put("user:3", "c"), "ok"),
    (Ask::Put("other", "d"), "ok"),
    (Ask::GetMany(&["user:2", "user:0", "user:1"]), "b absent a"),
    // list, scan
    (Ask::List("user:"), "user:1 user:2 user:3"),
    (Ask::List("nothing"), ""),
    (Ask::ListGlob("user:*"), "user:1 user:2 user:3"),
    (Ask::ListGlob("*:2"), "user:2"),
    (Ask::ListLast("user:", 2), "user:3 user:2"),
    (Ask::Pages("user:"), "user:1=a user:2=b user:3=c"),
    (Ask::Scan("other", "user:3"), "other=d user:1=a user:2=b"),
    // counters
    (Ask::Incr("n", 1), "1"),
    (Ask::Incr("n", 41), "42"),
    (Ask::Incr("n", -50), "-8"),
    (Ask::Get("n"), "-8"),
    (Ask::Put("n", "10"), "ok"),
    (Ask::Incr("n", 5), "15"),
    (Ask::Incr("n", i64::MAX), "refused: not-a-counter"),
    (Ask::Incr("other", 1), "refused: not-a-counter"),
    (Ask::Delete("n"), "ok"),
    (Ask::Incr("n", 2), "2"),
    // expiry
    (Ask::PutFor("t", "v", 1000), "ok"),
    (Ask::Ttl("t"), "expires"),
    (Ask::Persist("t"), "ok"),
    (Ask::Ttl("t"), "stays"),
    (Ask::Expire("t", 1000), "ok"),
    (Ask::Ttl("t"), "expires"),
    (Ask::Put("t", "again"), "ok"),
    (Ask::Ttl("t"), "stays"),
    (Ask::Expire("never", 1000), "absent"),
    (Ask::Ttl("never"), "absent"),
    // conditions
    (Ask::PutIfAbsent("c", "1"), "ok"),
    (Ask::PutIfAbsent("c", "2"), "refused: condition-failed"),
    (Ask::Get("c"), "1"),
    (Ask::PutIfCurrent("c", "3"), "ok"),
    (Ask::Get("c"), "3"),
    (Ask::Usage, "7"),
    // keyspaces
    (Ask::PutIn("drafts", "user:1", "draft"), "ok"),
    (Ask::GetIn("drafts", "user:1"), "draft"),
    (Ask::Get("user:1"), "a"),
    (Ask::GetIn("drafts", "user:2"), "absent"),
    (Ask::Keyspaces, r#"["","drafts"]"#),
    // watch, sync
    (Ask::Watch("w", "w1", "seen"), "w1=seen w1"),
    (Ask::Sync, "ok"),
    // delete_prefix
    (Ask::DeletePrefix("user:"), "3"),
    (Ask::DeletePrefix("user:"), "0"),
    (Ask::Get("user:1"), "absent"),
    (Ask::GetIn("drafts", "user:1"), "draft"),
    // drop
    (Ask::Drop, "ok"),
    (Ask::Get("other"), "absent"),
    (Ask::Put("other", "anew"), "ok"),
];

fn feature(ask: &Ask) -> String {
    format!("{ask:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn every_door_gives_the_same_answers() {
    let peer = Peer::start_with(&["--redis", "127.0.0.1:0"]);
    let address = peer.ready["listen"][0].as_str().unwrap();
    let redis = peer.ready["redis"].as_str().unwrap();
    let mut doors: Vec<Box<dyn Door + '_>> = vec![
        Box::new(doors::library::Library::new(address, "data/library")),
        Box::new(doors::cli::Cli::new(&peer, "data/cli")),
        Box::new(doors::http::Http::new(&peer, "data/http")),
        Box::new(doors::redis::Redis::new(redis, "data/redis")),
    ];
    let mut missing = std::collections::BTreeSet::new();
    let mut asked = 0;
    for door in &mut doors {
        let mut offered = true;
        for (ask, expected) in STEPS {
            // What comes of something that is not offered is not looked at.
            if !offered && matches!(ask, Ask::Get(_) | Ask::GetIn(..)) {
                continue;
            }
            let answer = door.ask(ask);
            offered = answer.is_some();
            match answer {
                Some(answer) => assert_eq!(answer, *expected, "{}: {ask:?}", door.name()),
                None => {
                    missing.insert((door.name(), feature(ask)));
                }
            }
            asked += usize::from(offered);
        }
    }
    assert!(asked > 200, "{asked}");
    let listed = NOT_OFFERED.iter().map(|(door, what)| (*door, (*what).to_owned())).collect();
    assert_eq!(missing, listed, "what a door does not offer is listed");
}
