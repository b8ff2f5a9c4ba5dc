//! The library: a peer inside this program, which works through the one that all doors are at.

use std::collections::HashMap;
use std::ops::Bound;
use std::time::Duration;

use futures::TryStreamExt as _;
use tidings::{
    Batch, Condition, Database, Entry, Error, Filter, ListOptions, Peer, Result, Version,
    WriteOptions,
};
use tokio::runtime::Runtime;

use super::{ABSENT, Ask, Door, NOWHERE, OK, SMALL, line, refusal};

pub struct Library {
    runtime: Runtime,
    peer: Peer,
    database: Database,
    versions: HashMap<&'static str, Version>,
}

impl Library {
    /// A peer that joins the one with this address, and reads the definitions there.
    pub fn new(address: &str, path: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (peer, database) = runtime.block_on(async {
            let builder = Peer::in_memory().mdns(false).listen("/ip4/127.0.0.1/tcp/0");
            let peer = builder.bootstrap(address).start().await.expect("starts");
            let deadline = std::time::Instant::now() + crate::support::DEADLINE;
            loop {
                match peer.database(path).await {
                    Ok(database) => break (peer, database),
                    Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
                }
                tokio::task::yield_now().await;
            }
        });
        Self { runtime, peer, database, versions: HashMap::new() }
    }

    fn put(&mut self, key: &'static str, value: &str, options: &WriteOptions) -> String {
        let put = self.runtime.block_on(self.database.put_with(key, value, options));
        if let Ok(version) = &put {
            self.versions.insert(key, *version);
        }
        done(put)
    }

    fn list(&self, options: &ListOptions) -> tidings::Page {
        self.runtime.block_on(self.database.list(options)).expect("lists")
    }

    fn put_at(&self, path: &str, value: &str) -> String {
        done(self.runtime.block_on(async { self.peer.database(path).await?.put("k", value).await }))
    }
}

fn done<T>(result: Result<T>) -> String {
    result.map_or_else(|error| refused(&error), |_| OK.into())
}

fn found<T>(result: Result<Option<T>>, show: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(found) => found.map_or_else(|| ABSENT.into(), show),
        Err(error) => refused(&error),
    }
}

fn refused(error: &Error) -> String {
    refusal(error.code())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

fn entries(entries: Vec<Entry>, values: bool) -> Vec<(String, Option<String>)> {
    let entry = |entry: Entry| (text(entry.key), values.then(|| text(entry.value)));
    entries.into_iter().map(entry).collect()
}

impl Door for Library {
    fn name(&self) -> &'static str {
        "library"
    }

    fn ask(&mut self, ask: &Ask) -> Option<String> {
        let database = self.database.clone();
        let plain = WriteOptions::default();
        let keys = |prefix: &str| ListOptions {
            prefix: prefix.into(),
            keys_only: true,
            ..ListOptions::default()
        };
        Some(match *ask {
            Ask::Get(key) => found(self.runtime.block_on(database.get(key)), text),
            Ask::GetMany(keys) => {
                let got = self.runtime.block_on(database.get_many(keys)).expect("reads");
                let shown = |entry: Option<Entry>| {
                    entry.map_or_else(|| ABSENT.into(), |entry| text(entry.value))
                };
                got.into_iter().map(shown).collect::<Vec<String>>().join(" ")
            }
            Ask::Put(key, value) => self.put(key, value, &plain),
            Ask::PutNowhere => self.put_at(NOWHERE, "v"),
            Ask::PutTooMuch => self.put_at(SMALL, &"v".repeat(2000)),
            Ask::PutFor(key, value, seconds) => {
                let ttl = Some(Duration::from_secs(seconds));
                self.put(key, value, &WriteOptions { ttl, ..plain })
            }
            Ask::PutIfAbsent(key, value) => {
                let condition = Some(Condition::Absent);
                self.put(key, value, &WriteOptions { condition, ..plain })
            }
            Ask::PutIfCurrent(key, value) => {
                let condition = Some(Condition::Version(*self.versions.get(key)?));
                self.put(key, value, &WriteOptions { condition, ..plain })
            }
            Ask::Delete(key) => done(self.runtime.block_on(database.delete(key))),
            Ask::Batch(writes) => {
                let mut batch = Batch::new();
                for (key, value) in writes {
                    match value {
                        Some(value) => batch.put(*key, *value),
                        None => batch.delete(*key),
                    };
                }
                done(self.runtime.block_on(database.batch(batch)))
            }
            Ask::List(prefix) => line(entries(self.list(&keys(prefix)).entries, false)),
            Ask::ListGlob(glob) => {
                let filter = Some(Filter::glob(glob).expect("a glob"));
                let options = ListOptions { filter, ..keys("") };
                line(entries(self.list(&options).entries, false))
            }
            Ask::Keyspaces => {
                let page = self.runtime.block_on(database.keyspaces(None, 0)).expect("names");
                serde_json::to_string(&page.names).expect("JSON")
            }
            Ask::ListLast(prefix, limit) => {
                let options = ListOptions { limit, reverse: true, ..keys(prefix) };
                line(entries(self.list(&options).entries, false))
            }
            Ask::Pages(prefix) => {
                let mut options = ListOptions { limit: 2, keys_only: false, ..keys(prefix) };
                let mut all = Vec::new();
                loop {
                    let page = self.list(&options);
                    all.extend(entries(page.entries, true));
                    let Some(cursor) = page.cursor else { break line(all) };
                    options.cursor = Some(cursor);
                }
            }
            Ask::Scan(start, end) => {
                let range = (Bound::Included(start.into()), Bound::Excluded(end.into()));
                let rows = database.scan(range.0, range.1).try_collect::<Vec<Entry>>();
                line(entries(self.runtime.block_on(rows).expect("scans"), true))
            }
            Ask::Incr(key, by) => match self.runtime.block_on(database.incr(key, by)) {
                Ok(value) => value.to_string(),
                Err(error) => refused(&error),
            },
            Ask::Ttl(key) => found(self.runtime.block_on(database.get_entry(key)), |entry| {
                if entry.expires.is_some() { "expires".into() } else { "stays".into() }
            }),
            Ask::Expire(key, seconds) => {
                let after = Duration::from_secs(seconds);
                found(self.runtime.block_on(database.expire_in(key, after)), |_| OK.into())
            }
            Ask::Persist(key) => found(self.runtime.block_on(database.persist(key)), |_| OK.into()),
            Ask::DeletePrefix(prefix) => {
                self.runtime.block_on(database.delete_prefix(prefix)).expect("deletes").to_string()
            }
            Ask::PutIn(keyspace, key, value) => {
                let keyspace = database.keyspace(keyspace).expect("a name");
                done(self.runtime.block_on(keyspace.put(key, value)))
            }
            Ask::GetIn(keyspace, key) => {
                let keyspace = database.keyspace(keyspace).expect("a name");
                found(self.runtime.block_on(keyspace.get(key)), text)
            }
            Ask::Usage => {
                let status = self.runtime.block_on(database.status()).expect("a status");
                status.entries.to_string()
            }
            Ask::Sync => done(self.runtime.block_on(database.sync(Duration::from_secs(5)))),
            Ask::Watch(prefix, key, value) => self.runtime.block_on(async {
                let mut watch = database.watch(prefix).await.expect("watches");
                database.put(key, value).await.expect("puts");
                database.delete(key).await.expect("deletes");
                let mut told = Vec::new();
                for _ in 0..2 {
                    let change = watch.next().await.expect("goes on").expect("a change");
                    told.push((text(change.key), change.value.map(text)));
                }
                line(told)
            }),
            Ask::Drop => done(self.runtime.block_on(self.peer.drop_database(database.path()))),
        })
    }
}
