//! Counters, expiries, keyspaces, and deletes of many keys, at one peer.

use std::time::{Duration, SystemTime};

use tidings::{Batch, Condition, Database, Definition, Error, ListOptions, Peer, WriteOptions};

#[expect(clippy::unwrap_used, reason = "a test")]
async fn database() -> (Peer, Database) {
    let any = Definition::new("any", "**", 1, 1);
    let peer = Peer::in_memory().definitions(vec![any]).start().await.unwrap();
    let database = peer.database("some/database").await.unwrap();
    (peer, database)
}

#[tokio::test]
async fn a_counter_counts_from_nothing_and_from_a_number() {
    let (_peer, database) = database().await;
    assert_eq!(database.incr("new", 5).await, Ok(5));
    assert_eq!(database.incr("new", -7).await, Ok(-2));
    assert_eq!(database.get("new").await, Ok(Some(b"-2".to_vec())));
    database.put("number", "40").await.unwrap();
    let counted = database.incr_with("number", 2, &WriteOptions::default()).await.unwrap();
    assert_eq!(counted.value, 42);
    let entry = database.get_entry("number").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.version), (b"42".to_vec(), counted.version));
}

#[tokio::test]
async fn what_is_no_number_is_not_counted_and_stays() {
    let (_peer, database) = database().await;
    for value in ["", "1.5", " 1", "01", "-0", "+1", "9223372036854775808", "many"] {
        database.put("key", value).await.unwrap();
        let error = database.incr("key", 1).await.unwrap_err();
        assert!(matches!(error, Error::NotACounter { .. }), "{value:?}: {error}");
        assert_eq!(database.get("key").await, Ok(Some(value.into())));
    }
}

#[tokio::test]
async fn a_sum_out_of_range_is_refused_and_nothing_is_added() {
    let (_peer, database) = database().await;
    assert_eq!(database.incr("key", i64::MAX).await, Ok(i64::MAX));
    let error = database.incr("key", 1).await.unwrap_err().to_string();
    assert!(error.contains("9223372036854775807 and 1 are beyond the range"), "{error}");
    assert_eq!(database.incr("key", i64::MIN).await, Ok(-1));
    database.put("low", i64::MIN.to_string()).await.unwrap();
    assert!(database.incr("low", -1).await.is_err());
    assert_eq!(database.get("low").await, Ok(Some(i64::MIN.to_string().into())));
}

#[tokio::test]
async fn a_put_and_a_delete_start_anew() {
    let (_peer, database) = database().await;
    database.incr("key", 5).await.unwrap();
    database.delete("key").await.unwrap();
    assert_eq!(database.get("key").await, Ok(None));
    assert_eq!(database.incr("key", 1).await, Ok(1));
    database.put("key", "10").await.unwrap();
    assert_eq!(database.get("key").await, Ok(Some(b"10".to_vec())));
    assert_eq!(database.incr("key", 1).await, Ok(11));
}

#[tokio::test]
async fn a_counter_is_one_entry_of_a_listing_and_of_a_watch() {
    let (_peer, database) = database().await;
    let mut watch = database.watch("").await.unwrap();
    database.incr("a", 1).await.unwrap();
    database.put("b", "x").await.unwrap();
    database.incr("a", 1).await.unwrap();
    let page = database.list(&ListOptions::default()).await.unwrap();
    let found: Vec<_> = page.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    assert_eq!(found, [(b"a".to_vec(), b"2".to_vec()), (b"b".to_vec(), b"x".to_vec())]);
    let status = database.status().await.unwrap();
    assert_eq!((status.entries, status.bytes), (2, 11));
    for (key, value) in [("a", "1"), ("b", "x"), ("a", "2")] {
        let change = watch.next().await.unwrap().unwrap();
        assert_eq!((change.key, change.value), (key.into(), Some(value.into())));
    }
    database.delete("a").await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().value, None);
    let page = database.list(&ListOptions::default()).await.unwrap();
    assert_eq!(page.entries.len(), 1);
}

#[tokio::test]
async fn an_expiry_comes_and_goes_and_leaves_the_value() {
    let (_peer, database) = database().await;
    let day = Duration::from_hours(24);
    database.put("value", "v").await.unwrap();
    database.incr("counter", 3).await.unwrap();
    for (key, value) in [("value", "v"), ("counter", "3")] {
        database.expire_in(key, day).await.unwrap().unwrap();
        let entry = database.get_entry(key).await.unwrap().unwrap();
        assert_eq!(entry.value, value.as_bytes());
        assert!(entry.expires.unwrap() > SystemTime::now() + day / 2);
        database.persist(key).await.unwrap().unwrap();
        assert_eq!(database.get_entry(key).await.unwrap().unwrap().expires, None);
        database.expire(key, SystemTime::now() - day).await.unwrap().unwrap();
        assert_eq!(database.get(key).await, Ok(None));
        assert_eq!(database.persist(key).await, Ok(None), "{key} has expired");
    }
    assert_eq!(database.incr("counter", 1).await, Ok(1), "a new one");
    assert_eq!(database.get_entry("counter").await.unwrap().unwrap().expires, None);
    assert_eq!(database.expire_in("absent", day).await, Ok(None));
}

#[tokio::test]
async fn an_increment_keeps_the_expiry() {
    let (_peer, database) = database().await;
    let day = Duration::from_hours(24);
    let options = WriteOptions { ttl: Some(day), ..WriteOptions::default() };
    database.put_with("key", "1", &options).await.unwrap();
    let before = database.get_entry("key").await.unwrap().unwrap().expires;
    assert_eq!(database.incr("key", 1).await, Ok(2));
    assert_eq!(database.get_entry("key").await.unwrap().unwrap().expires, before);
    assert!(database.incr_with("key", 1, &options).await.is_err());
}

#[tokio::test]
async fn keyspaces_are_apart_and_share_the_size() {
    let (_peer, database) = database().await;
    let (one, other) = (database.keyspace("one").unwrap(), database.keyspace("one!").unwrap());
    database.put("key", "0").await.unwrap();
    one.put("key", "1").await.unwrap();
    other.incr("key", 2).await.unwrap();
    for (keyspace, value) in [(&database, "0"), (&one, "1"), (&other, "2")] {
        assert_eq!(keyspace.get("key").await, Ok(Some(value.into())));
        let page = keyspace.list(&ListOptions::default()).await.unwrap();
        assert_eq!(page.entries.len(), 1);
    }
    assert_eq!(database.status().await.unwrap().entries, 3);
    let mut watch = one.watch("k").await.unwrap();
    database.put("key", "not seen").await.unwrap();
    one.put("key", "seen").await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().value, Some(b"seen".to_vec()));
    assert_eq!(one.delete_prefix("").await, Ok(1));
    assert_eq!(database.status().await.unwrap().entries, 2);
    assert!(database.keyspace(&"x".repeat(129)).is_err());
    assert!(database.keyspace(&"x".repeat(128)).is_ok());
}

#[tokio::test]
async fn every_key_with_a_prefix_is_deleted() {
    let (_peer, database) = database().await;
    let mut batch = Batch::new();
    for number in 0..1_234 {
        batch.put(format!("user:{number}"), "x");
    }
    batch.put("user", "stays").put("uses", "stays");
    database.batch(batch).await.unwrap();
    assert_eq!(database.delete_prefix("user:").await, Ok(1_234));
    assert_eq!(database.delete_prefix("user:").await, Ok(0));
    assert_eq!(database.list(&ListOptions::default()).await.unwrap().entries.len(), 2);
    assert_eq!(database.delete_prefix("").await, Ok(2));
}

#[tokio::test]
async fn a_batch_counts_or_does_nothing() {
    let (_peer, database) = database().await;
    let mut batch = Batch::new();
    batch.put("n", "40").incr("n", 2).incr("n", -1).delete("m").incr("m", 5);
    let written = database.batches(vec![(batch, WriteOptions::default())]).await.remove(0).unwrap();
    let values: Vec<_> = written.iter().map(|written| written.value).collect();
    assert_eq!(values, [None, Some(42), Some(41), None, Some(5)]);
    assert_eq!(database.get("n").await, Ok(Some(b"41".to_vec())));
    let mut batch = Batch::new();
    batch.incr("n", 1).put("text", "x").incr("text", 1);
    assert!(matches!(database.batch(batch).await, Err(Error::NotACounter { .. })));
    assert_eq!(database.get("n").await, Ok(Some(b"41".to_vec())));
    assert_eq!(database.get("text").await, Ok(None));
}

/// Each sees those before it, and one that is refused is in the way of no other; the first ones make the
/// database.
#[tokio::test]
async fn several_batches_are_applied_in_order() {
    let (_peer, database) = database().await;
    assert_eq!(database.batches(Vec::new()).await, []);
    let absent = WriteOptions { condition: Some(Condition::Absent), ..WriteOptions::default() };
    for _ in 0..2 {
        let mut batches = Vec::new();
        for number in 0..3_000 {
            let mut batch = Batch::new();
            match number % 6 {
                0 => batch.put("text", number.to_string() + "x"),
                1 => batch.incr("text", 1),
                2 => batch.put("text", ""),
                3 => batch.put("", "no key"),
                4 => batch.put("n", "no number").incr("n", 1),
                _ => batch.incr("n", 1),
            };
            let condition = if number % 6 == 2 { absent.clone() } else { WriteOptions::default() };
            batches.push((batch, condition));
        }
        let results = database.batches(batches).await;
        assert_eq!(results.len(), 3_000);
        for (number, result) in results.into_iter().enumerate() {
            match number % 6 {
                0 => assert!(result.is_ok()),
                1 | 4 => assert!(matches!(result, Err(Error::NotACounter { .. }))),
                2 => assert!(matches!(result, Err(Error::ConditionFailed(_)))),
                3 => assert_eq!(result, Err(Error::KeyLength { length: 0 })),
                _ => assert_eq!(result.unwrap()[0].value, Some(number as i64 / 6 + 1)),
            }
        }
        assert_eq!(database.get("text").await, Ok(Some(b"2994x".to_vec())));
        assert_eq!(database.delete_prefix("").await, Ok(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_is_read_as_of_one_moment() {
    let (_peer, database) = database().await;
    database.incr("key", 1).await.unwrap();
    let writer = {
        let database = database.clone();
        tokio::spawn(async move {
            for _ in 0..2_000 {
                let mut anew = Batch::new();
                anew.delete("key").incr("key", 1);
                database.batch(anew).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        assert_eq!(database.get("key").await, Ok(Some(b"1".to_vec())));
    }
    writer.await.unwrap();
}
