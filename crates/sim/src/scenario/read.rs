//! Reads a scenario from TOML, strictly: an unknown key, a wrong value or a contradiction is an error
//! with its place and the way out.

use std::collections::BTreeSet;

use tidings_core::definition::Definition;
use tidings_core::name::Path;

use super::document::{BadScenario, Fields, Item, Table, Value};
use super::{
    Class, DATABASES_MAX, Databases, Distribution, Expectations, FaultKind, Link, Links, Load,
    PEERS_MAX, PRESETS, SECOND, Scenario,
};
use crate::timeline::text;

/// Longest duration of anything: a year.
pub const DURATION_MAX: u64 = 366 * 86_400 * SECOND;
/// How many samples a run takes where the scenario does not say how often.
const SAMPLES: u64 = 60;
/// Most operations, or new databases, in a second.
const RATE_MAX: u64 = 1_000_000;
/// Rates are kept in a thousandth of one in a second.
const RATE_SCALE: u64 = 1_000;

/// Text as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => vec!['\\', c],
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)).chars().collect(),
        c => vec![c],
    };
    let escaped: String = text.chars().flat_map(escape).collect();
    format!("\"{escaped}\"")
}

impl Scenario {
    /// Reads a scenario from TOML; `source` names the text in errors. `seeds` and `[sweep]`, which
    /// belong to a campaign, are not accepted.
    ///
    /// # Errors
    /// With the place of the first mistake, and the way out.
    pub fn from_toml(source: &str, text: &str) -> Result<Self, BadScenario> {
        Self::from_table(&Table::parse(source, text)?)
    }

    /// Reads a scenario from a table.
    ///
    /// # Errors
    /// With the place of the first mistake, and the way out.
    pub fn from_table(table: &Table) -> Result<Self, BadScenario> {
        let mut fields = Fields::new(table, "");
        let peers = fields.need("peers", read_peers)?;
        let count = peers.iter().map(|class| class.count).sum::<usize>();
        let mut scenario = Self::quiet(1, count);
        let zoneless = peers.iter().all(|class| class.zone.is_empty());
        scenario.peers = peers;
        scenario.replacement_delay = tidings_core::node::REPLACEMENT_DELAY;
        scenario.stability_window = tidings_core::node::STABILITY_WINDOW;
        scenario.rebalance_delay = tidings_core::node::REBALANCE_DELAY;
        scenario.trash = tidings_core::node::TRASH;
        scenario.name = "scenario".into();
        fields.fill("name", &mut scenario.name, Item::text)?;
        fields.fill("description", &mut scenario.description, Item::text)?;
        fields.fill("seed", &mut scenario.seed, |item, name| {
            item.count(name, 0..=i64::MAX.unsigned_abs())
        })?;
        let long = |item: &Item, name: &str| item.duration(name, SECOND..=DURATION_MAX);
        fields.fill("duration", &mut scenario.duration, long)?;
        fields.fill("settle_within", &mut scenario.patience, long)?;
        let often = |item: &Item, name: &str| item.duration(name, 1_000..=DURATION_MAX);
        fields.fill("check_every", &mut scenario.check_every, often)?;
        scenario.sample_every = (scenario.duration / SAMPLES).max(SECOND / 10);
        fields.fill("sample_every", &mut scenario.sample_every, often)?;
        let pauses = [
            ("replacement_delay", &mut scenario.replacement_delay),
            ("stability_window", &mut scenario.stability_window),
            ("rebalance_delay", &mut scenario.rebalance_delay),
            ("trash", &mut scenario.trash),
            ("tombstone_grace", &mut scenario.tombstone_grace),
            ("holder_ttl", &mut scenario.holder_ttl),
            ("sweep_interval", &mut scenario.sweep_interval),
            ("clock_spread", &mut scenario.clock_spread),
        ];
        for (name, pause) in pauses {
            fields.fill(name, pause, |item, name| {
                item.duration(name, 0..=DURATION_MAX).map(|micros| micros / 1_000)
            })?;
        }
        let all = |item: &Item, name: &str| item.count(name, 1..=count as u64);
        fields.fill("appliers", &mut scenario.appliers, |i, n| all(i, n).map(|n| n as usize))?;
        fields.fill("links", &mut scenario.links, read_links)?;
        if zoneless && scenario.links.between_zones.is_some() {
            let place = fields.item("links").map_or(fields.place(), |item| &item.place);
            return Err(place.error(
                "links.between_zones says what is between zones, and no peer has one; \
                 write peers in several [[peers]] with a zone each",
            ));
        }
        fields.fill("definitions", &mut scenario.definitions, |item, name| {
            item.list(name)?.iter().map(|item| read_definition(item, name)).collect()
        })?;
        fields.fill("workload", &mut scenario.load, read_load)?;
        if let Some(item) = fields.item("faults") {
            read_faults(item, count, &mut scenario)?;
        }
        fields.fill("expect", &mut scenario.expect, read_expectations)?;
        let (end, definitions) = (scenario.duration, scenario.definitions.clone());
        fields.fill("timeline", &mut scenario.timeline, |item, name| {
            let items = item.list(name)?.iter().enumerate();
            let read =
                |(n, item)| text::read(item, &format!("{name}.{n}"), count, &definitions, end);
            items.map(read).collect()
        })?;
        scenario.timeline.sort_by_key(|timed| timed.at);
        if scenario.load.populate + SECOND > scenario.duration {
            return Err(fields.place().error(
                "workload.populate_over ends after duration; make it shorter or duration longer",
            ));
        }
        fields.done()?;
        Ok(scenario)
    }
}

fn read_peers(item: &Item, name: &str) -> Result<Vec<Class>, BadScenario> {
    let mut classes = Vec::new();
    match &item.value {
        Value::List(items) => {
            for (number, item) in items.iter().enumerate() {
                classes.push(read_class(item, &format!("{name}.{number}"))?);
            }
        }
        _ => classes.push(read_class(item, name)?),
    }
    let count: usize = classes.iter().map(|class| class.count).sum();
    if (1..=PEERS_MAX).contains(&count) {
        return Ok(classes);
    }
    let message = format!("{name} are {count} in all; have 1 to {PEERS_MAX} of them");
    Err(item.place.error(message))
}

fn read_class(item: &Item, name: &str) -> Result<Class, BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let count = fields.need("count", |item, name| item.count(name, 1..=PEERS_MAX as u64))?;
    let mut class = Class::of(count as usize);
    fields.fill("zone", &mut class.zone, Item::text)?;
    fields.fill("weight", &mut class.weight, |item, name| {
        item.parts(name, 100, 1_000_000).map(|weight| (weight as u32).max(1))
    })?;
    fields.fill("starts", &mut class.starts, |item, name| item.duration(name, 0..=DURATION_MAX))?;
    fields.done()?;
    Ok(class)
}

fn read_links(item: &Item, name: &str) -> Result<Links, BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let mut links = Links::default();
    fields.fill("preset", &mut links, |item, name| {
        item.word(name, PRESETS.map(|word| (word, Links::preset(word).unwrap_or_default())))
    })?;
    fields.fill("discovery", &mut links.discovery, Item::boolean)?;
    read_link(&mut fields, &mut links.within)?;
    if let Some(item) = fields.item("between_zones") {
        let name = fields.full("between_zones");
        let mut between = Fields::new(item.table(&name)?, name);
        let mut link = links.between_zones.unwrap_or(links.within);
        read_link(&mut between, &mut link)?;
        between.done()?;
        links.between_zones = Some(link);
    }
    fields.done()?;
    Ok(links)
}

fn read_link(fields: &mut Fields<'_>, link: &mut Link) -> Result<(), BadScenario> {
    let time = |item: &Item, name: &str| item.duration(name, 0..=3_600 * SECOND);
    fields.fill("latency", &mut link.latency, time)?;
    fields.fill("jitter", &mut link.jitter, time)?;
    fields.fill("distribution", &mut link.distribution, |item, name| {
        let words =
            [("uniform", Distribution::Uniform), ("exponential", Distribution::Exponential)];
        item.word(name, words)
    })?;
    fields.fill("tail", &mut link.tail, Item::share)?;
    fields.fill("tail_factor", &mut link.tail_factor, |i, n| i.count(n, 1..=10_000))?;
    fields.fill("loss", &mut link.loss, Item::share)?;
    fields.fill("duplication", &mut link.duplication, Item::share)?;
    fields.fill("reordering", &mut link.reordering, Item::share)?;
    fields.fill("bandwidth", &mut link.bandwidth, |i, n| i.bytes(n, 1_000..=1 << 40))?;
    // A frame has up to 256 KiB: a queue below that would drop it for ever.
    fields.fill("queue", &mut link.queue, |i, n| i.bytes(n, (512 << 10)..=1 << 40))
}

/// Reads the least and the greatest number of copies.
pub(crate) fn replication(item: &Item, name: &str) -> Result<(i64, i64), BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let copies = |item: &Item, name: &str| item.count(name, 1..=256);
    let bounds = (fields.need("min", copies)?, fields.need("max", copies)?);
    fields.done()?;
    Ok(bounds)
}

fn read_definition(item: &Item, name: &str) -> Result<Definition, BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let own = fields.need("name", Item::text)?;
    let matcher = fields.need("matcher", Item::text)?;
    let (min, max) = fields.need("replication", replication)?;
    let mut definition = Definition::new(&own, &matcher, min as u32, max as u32);
    definition.id = fields.read("id", Item::text)?;
    fields.fill("description", &mut definition.description, Item::text)?;
    fields.fill("tags", &mut definition.tags, |item, name| {
        item.list(name)?.iter().map(|item| item.text(name)).collect()
    })?;
    definition.size = fields.read("size", |item, name| item.bytes(name, 1..=1 << 60))?;
    fields.fill("durability", &mut definition.durability, text::durability)?;
    let ttl = fields.read("ttl", |item, name| item.duration(name, 1_000..=100 * DURATION_MAX))?;
    definition.ttl = ttl.map(|micros| micros / 1_000);
    fields.fill("priority", &mut definition.priority, |item, name| {
        item.count(name, i32::MIN..=i32::MAX)
    })?;
    fields.done()?;
    definition.validate().map_err(|error| item.place.error(format!("{name}: {error}")))?;
    Ok(definition)
}

fn read_load(item: &Item, name: &str) -> Result<Load, BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let mut load = Load::default();
    let rate = |item: &Item, name: &str| item.parts(name, RATE_SCALE, RATE_MAX * RATE_SCALE);
    fields.fill("rate", &mut load.rate, rate)?;
    let count = fields.read("databases", |item, name| item.count(name, 1..=DATABASES_MAX))?;
    let pattern = fields.read("path", |item, name| {
        let path = item.text(name)?;
        if path.matches("{}").count() != 1 {
            return Err(item.place.error(format!(
                "{name} is {path:?}; write {{}} once in it, where the number of the database goes"
            )));
        }
        checked_path(item, name, &super::numbered(&path, DATABASES_MAX)).map(|_| path)
    })?;
    let paths = fields.read("paths", |item, name| {
        let paths: Result<Vec<_>, _> = item
            .list(name)?
            .iter()
            .map(|item| item.text(name).and_then(|path| checked_path(item, name, &path)))
            .collect();
        let paths = paths?;
        if paths.is_empty() {
            return Err(item.place.error(format!("{name} is empty; write one path or more")));
        }
        Ok(paths)
    })?;
    let place = &item.place;
    match (paths, count, pattern) {
        (Some(paths), None, None) => load.databases = Databases::Named(paths),
        (Some(_), ..) => {
            return Err(place.error(format!(
                "{name} says paths and also databases or path; write either the paths, or how \
                 many databases there are"
            )));
        }
        (None, None, None) => {}
        (None, count, pattern) => {
            let pattern = pattern.unwrap_or_else(|| "db/{}".into());
            load.databases = Databases::Counted(count.unwrap_or(1), pattern);
        }
    }
    fields.fill("opens", &mut load.opens, rate)?;
    if load.opens > 0 && matches!(load.databases, Databases::Named(_)) {
        return Err(place.error(format!(
            "{name}.opens makes new databases, and their paths are not known; \
             write {name}.databases and {name}.path in place of paths"
        )));
    }
    fields.fill("populate_over", &mut load.populate, |i, n| i.duration(n, 0..=DURATION_MAX))?;
    fields.fill("keys", &mut load.keys, |item, name| item.count(name, 1..=1_000_000_000))?;
    fields.fill("key_distribution", &mut load.zipf, |item, name| {
        item.word(name, [("uniform", false), ("zipf", true)])
    })?;
    fields.fill("hot", &mut load.hot, Item::share)?;
    fields
        .fill("value_bytes", &mut load.value_bytes, |item, name| item.bytes(name, 8..=8 << 20))?;
    fields.fill("deletes", &mut load.deletes, Item::share)?;
    fields.fill("synced", &mut load.synced, Item::share)?;
    fields.fill("buffered", &mut load.buffered, Item::share)?;
    fields.fill("acknowledged", &mut load.acknowledged, Item::share)?;
    if let Some(item) = fields.item("mix") {
        let name = fields.full("mix");
        read_mix(item, &name, &mut load)?;
    }
    fields.done()?;
    Ok(load)
}

fn read_mix(item: &Item, name: &str, load: &mut Load) -> Result<(), BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let mix = &mut load.mix;
    *mix = super::Mix::NONE;
    let weight = |item: &Item, name: &str| item.count(name, 0..=1_000_000);
    fields.fill("put", &mut mix.put, weight)?;
    fields.fill("batch", &mut mix.batch, weight)?;
    fields.fill("read", &mut mix.read, weight)?;
    fields.fill("sync", &mut mix.sync, weight)?;
    fields.fill("large", &mut mix.large, weight)?;
    fields.fill("status", &mut mix.status, weight)?;
    fields.fill("drop", &mut mix.drop, weight)?;
    fields.fill("count", &mut mix.count, weight)?;
    fields.fill("expire", &mut mix.expire, weight)?;
    fields.done()?;
    if mix.plain() + mix.count + mix.expire == 0 {
        return Err(item
            .place
            .error(format!("{name} has no operation above 0; give one a weight")));
    }
    Ok(())
}

fn checked_path(item: &Item, name: &str, path: &str) -> Result<String, BadScenario> {
    match Path::new(path) {
        Ok(_) => Ok(path.into()),
        Err(error) => Err(item.place.error(format!("{name}: {error}"))),
    }
}

fn read_faults(item: &Item, peers: usize, scenario: &mut Scenario) -> Result<(), BadScenario> {
    let mut fields = Fields::new(item.table("faults")?, "faults");
    let kinds = fields.read("kinds", |item, name| {
        if matches!(&item.value, Value::Text(word) if word == "all") {
            return Ok(BTreeSet::from(FaultKind::ALL));
        }
        let items = item.list(name).map_err(|_| {
            let given = &item.value;
            item.place.error(format!("{name} is {given}; write \"all\", or a list of kinds"))
        })?;
        let word = |item: &Item| item.word(name, FaultKind::ALL.map(|kind| (kind.word(), kind)));
        items.iter().map(word).collect::<Result<BTreeSet<_>, _>>()
    })?;
    scenario.faults.kinds = kinds.unwrap_or_default();
    let time = |item: &Item, name: &str| item.duration(name, 1_000..=DURATION_MAX);
    fields.fill("every", &mut scenario.faults.every, time)?;
    fields.fill("longest", &mut scenario.faults.longest, time)?;
    fields.fill("stay_dead", &mut scenario.stay_dead, |item, name| {
        item.count(name, 0..=peers as u64 - 1).map(|count| count as usize)
    })?;
    fields.done()
}

fn read_expectations(item: &Item, name: &str) -> Result<Expectations, BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let time = |item: &Item, name: &str| item.duration(name, 1_000..=DURATION_MAX);
    let expect = Expectations {
        converge_within: fields.read("converge_within", time)?,
        propagation_p99: fields.read("propagation_p99", time)?,
        lost_writes: fields.read("lost_writes", |i, n| i.count(n, 0..=1_000_000_000))?,
        traffic: fields.read("traffic", |i, n| i.bytes(n, 0..=1 << 40))?,
        acknowledged: fields.read("acknowledged", Item::share)?,
    };
    fields.done()?;
    Ok(expect)
}
