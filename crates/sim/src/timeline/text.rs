//! Entries of a timeline as TOML, read and written.

use std::fmt::Write as _;

use tidings_core::definition::{Definition, Durability};

use super::{COUNTERS, Call, KeyWrite, LEASES, Operation, TALLIES, Timed, VALUE_MAX, What};
use crate::faults::{Change, Fault, FaultKind, Parameter};
use crate::scenario::document::{BadScenario, Fields, Item};
use crate::scenario::read::{DURATION_MAX, quoted, replication};
use crate::scenario::units::{show_duration, show_share};
use crate::scenario::{SECOND, WHOLE};

/// Words of the operations.
const OPERATIONS: [&str; 12] = [
    "put", "delete", "batch", "burst", "read", "sync", "status", "drop", "count", "tally", "lease",
    "expire",
];

/// Longest jump of a clock, in microseconds.
const OFFSET_MAX: u64 = 366 * 86_400 * SECOND;

/// Longest drift of a clock, in parts per million.
const DRIFT_MAX: i64 = 500_000;

/// Reads one entry of a scenario with so many peers, such definitions and such a duration.
pub(crate) fn read(
    item: &Item,
    name: &str,
    peers: usize,
    definitions: &[Definition],
    end: u64,
) -> Result<Timed, BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let at = fields.need("at", |item, name| {
        let at = item.duration(name, 0..=DURATION_MAX)?;
        if at < end {
            return Ok(at);
        }
        Err(item.place.error(format!(
            "{name} is {}, not before the end of the run at {}; make it earlier, or duration longer",
            show_duration(at),
            show_duration(end)
        )))
    })?;
    let kinds = || FaultKind::ALL.into_iter().chain(FaultKind::TIMELINE_ONLY);
    let fault = fields
        .read("fault", |item, name| item.word(name, kinds().map(|kind| (kind.word(), kind))))?;
    if let Some(kind) = fault {
        let fault = read_fault(&mut fields, kind, peers, definitions)?;
        fields.done()?;
        return Ok(Timed { at, what: What::Fault(fault) });
    }
    let word =
        fields.need("operation", |item, name| item.word(name, OPERATIONS.map(|word| (word, word))));
    let word = word.map_err(|error| {
        if item.table(name).is_ok_and(|table| table.get("operation").is_some()) {
            return error;
        }
        item.place.error(format!("{name} says neither a fault nor an operation; write one of them"))
    })?;
    let operation = read_operation(&mut fields, word, peers)?;
    fields.done()?;
    Ok(Timed { at, what: What::Operation(operation) })
}

fn peer(item: &Item, name: &str, peers: usize) -> Result<usize, BadScenario> {
    item.count(name, 0..=peers as u64 - 1).map(|peer| peer as usize)
}

fn read_fault(
    fields: &mut Fields<'_>,
    kind: FaultKind,
    peers: usize,
    definitions: &[Definition],
) -> Result<Fault, BadScenario> {
    let mut fault = Fault::new(kind, 0);
    if kind.has_peer() {
        fault.peer = fields.need("peer", |item, name| peer(item, name, peers))?;
    }
    if kind.has_other() {
        let own = fault.peer;
        fault.other = fields.need("other", |item, name| {
            let other = peer(item, name, peers)?;
            if other == own {
                let message = format!("{name} is {other}, the same as peer; name another one");
                return Err(item.place.error(message));
            }
            Ok(other)
        })?;
    }
    if kind.has_side() {
        fault.side = fields.need("peers", |item, name| {
            item.list(name)?.iter().map(|item| peer(item, name, peers)).collect()
        })?;
    }
    if kind.has_time() {
        fault.lasts = fields.read("for", |item, name| item.duration(name, 1..=DURATION_MAX))?;
    }
    if kind.has_definition() {
        read_change(fields, kind, definitions, &mut fault.change)?;
    }
    let amount = &mut fault.amount;
    match kind.parameter() {
        Parameter::None => {}
        Parameter::Rows => {
            fields.fill("rows", amount, |item, name| item.count(name, 1..=1_000_000))?;
        }
        Parameter::Nth => {
            fields.fill("nth", amount, |item, name| item.count(name, 1..=1_000_000_000))?;
        }
        Parameter::Times => {
            fields.fill("times", amount, |item, name| item.count(name, 1..=1_000_000))?;
        }
        Parameter::Gulp => fields.fill("gulp", amount, |item, name| {
            item.duration(name, 1..=3_600 * SECOND).map(u64::cast_signed)
        })?,
        Parameter::Delay => fields.fill("delay", amount, |item, name| {
            item.duration(name, 1..=3_600 * SECOND).map(u64::cast_signed)
        })?,
        Parameter::Share => {
            fields.fill("share", amount, |item, name| item.share(name).map(u64::cast_signed))?;
        }
        Parameter::Offset => {
            fields.fill("offset", amount, |item, name| item.offset(name, OFFSET_MAX))?;
        }
        Parameter::Drift => {
            fields.fill("ppm", amount, |item, name| item.count(name, -DRIFT_MAX..=DRIFT_MAX))?;
        }
        Parameter::Room => fields.fill("room", amount, |item, name| {
            item.bytes(name, 0..=1 << 40).map(u64::cast_signed)
        })?,
    }
    Ok(fault)
}

fn read_change(
    fields: &mut Fields<'_>,
    kind: FaultKind,
    definitions: &[Definition],
    change: &mut Change,
) -> Result<(), BadScenario> {
    change.definition = fields.need("definition", |item, name| {
        let known = item.text(name)?;
        if definitions.iter().any(|definition| definition.name == known) {
            return Ok(known);
        }
        let names: Vec<&str> = definitions.iter().map(|own| own.name.as_str()).collect();
        Err(item.place.error(format!("{name} is {known:?}; write one of: {}", names.join(", "))))
    })?;
    if kind == FaultKind::Undefine {
        return Ok(());
    }
    let (min, max) = fields.need("replication", replication)?;
    change.copies = (min as u32, max as u32);
    if min > max {
        return Err(fields.place().error(format!(
            "replication.max is {max}, less than replication.min, {min}; raise max or lower min"
        )));
    }
    change.size = fields.read("size", |item, name| item.bytes(name, 1..=1 << 60))?;
    Ok(())
}

fn key(item: &Item, name: &str) -> Result<String, BadScenario> {
    let key = item.text(name)?;
    if (1..=1_024).contains(&key.len()) {
        return Ok(key);
    }
    Err(item.place.error(format!("{name} has {} bytes; write 1 to 1024", key.len())))
}

fn read_operation(
    fields: &mut Fields<'_>,
    word: &str,
    peers: usize,
) -> Result<Operation, BadScenario> {
    let peer = fields.need("peer", |item, name| peer(item, name, peers))?;
    let database = fields.need("database", Item::text)?;
    let call = match word {
        "read" => Call::Read(fields.need("key", key)?),
        "count" => {
            let key = prefixed(fields, COUNTERS)?;
            let mut by = 1;
            fields.fill("by", &mut by, |item, name| item.count(name, 1..=1_000_000_000))?;
            let (durability, acks) = terms(fields)?;
            Call::Count { key, by, durability, acks }
        }
        "tally" => {
            let key = prefixed(fields, TALLIES)?;
            let mut by = 1;
            fields.fill("by", &mut by, |item, name| item.count(name, 1..=1_000_000_000))?;
            let mut anew = false;
            fields.fill("anew", &mut anew, |item, name| {
                item.word(name, [("yes", true), ("no", false)])
            })?;
            Call::Tally { key, by, anew }
        }
        "lease" => {
            let key = prefixed(fields, LEASES)?;
            let length = fields.need("bytes", |item, name| item.bytes(name, 0..=VALUE_MAX))?;
            Call::Lease(key, length, fields.need("ttl", ttl)?)
        }
        "expire" => Call::Expire(prefixed(fields, LEASES)?, fields.read("ttl", ttl)?),
        "sync" => Call::Sync,
        "status" => Call::Status,
        "drop" => Call::Drop,
        "put" => {
            let length = fields.need("bytes", |item, name| item.bytes(name, 0..=VALUE_MAX))?;
            let key = fields.need("key", key)?;
            write(fields, vec![vec![(key, Some(length))]])?
        }
        "delete" => {
            let key = fields.need("key", key)?;
            write(fields, vec![vec![(key, None)]])?
        }
        _ => {
            let writes: Vec<KeyWrite> = fields.need("writes", |item, name| {
                item.list(name)?.iter().map(|item| key_write(item, name)).collect()
            })?;
            let batches = if word == "batch" {
                vec![writes]
            } else {
                writes.into_iter().map(|write| vec![write]).collect()
            };
            write(fields, batches)?
        }
    };
    Ok(Operation { peer, database, call })
}

fn key_write(item: &Item, name: &str) -> Result<KeyWrite, BadScenario> {
    let mut fields = Fields::new(item.table(name)?, name);
    let key = fields.need("key", key)?;
    let length = fields.read("bytes", |item, name| item.bytes(name, 0..=VALUE_MAX))?;
    fields.done()?;
    Ok((key, length))
}

fn write(fields: &mut Fields<'_>, batches: Vec<Vec<KeyWrite>>) -> Result<Call, BadScenario> {
    let (durability, acks) = terms(fields)?;
    Ok(Call::Write { batches, durability, acks })
}

fn terms(fields: &mut Fields<'_>) -> Result<(Option<Durability>, u32), BadScenario> {
    let durability = fields.read("durability", durability)?;
    let mut acks = 1;
    fields.fill("acks", &mut acks, |item, name| item.count(name, 1..=256))?;
    Ok((durability, acks as u32))
}

/// The key, which begins with what tells the checker what it may find there.
fn prefixed(fields: &mut Fields<'_>, prefix: &str) -> Result<String, BadScenario> {
    fields.need("key", |item, name| {
        let key = key(item, name)?;
        if key.starts_with(prefix) {
            return Ok(key);
        }
        Err(item.place.error(format!("{name} is {key:?}; write one that begins with {prefix:?}")))
    })
}

fn ttl(item: &Item, name: &str) -> Result<u64, BadScenario> {
    item.duration(name, 1_000..=3_600 * 24 * SECOND).map(|micros| micros / 1_000)
}

/// Reads `buffered` or `synced`.
pub(crate) fn durability(item: &Item, name: &str) -> Result<Durability, BadScenario> {
    item.word(name, [Durability::Buffered, Durability::Synced].map(|one| (one.name(), one)))
}

/// Writes one entry as an inline table.
pub(crate) fn show(timed: &Timed) -> String {
    let mut text = format!("{{ at = \"{}\"", show_duration(timed.at));
    // Writing to a text does not fail.
    let _ = match &timed.what {
        What::Fault(fault) => show_fault(&mut text, fault),
        What::Operation(operation) => show_operation(&mut text, operation),
    };
    text + " }"
}

fn show_fault(text: &mut String, fault: &Fault) -> std::fmt::Result {
    let kind = fault.kind;
    write!(text, ", fault = \"{}\"", kind.word())?;
    if kind.has_peer() {
        write!(text, ", peer = {}", fault.peer)?;
    }
    if kind.has_other() {
        write!(text, ", other = {}", fault.other)?;
    }
    if kind.has_side() {
        write!(text, ", peers = {:?}", fault.side)?;
    }
    if kind.has_definition() {
        show_change(text, kind, &fault.change)?;
    }
    if let Some(time) = fault.lasts.filter(|_| kind.has_time()) {
        write!(text, ", for = \"{}\"", show_duration(time))?;
    }
    let amount = fault.amount;
    match kind.parameter() {
        Parameter::None => Ok(()),
        Parameter::Rows => write!(text, ", rows = {amount}"),
        Parameter::Nth => write!(text, ", nth = {amount}"),
        Parameter::Times => write!(text, ", times = {amount}"),
        Parameter::Gulp => write!(text, ", gulp = \"{}\"", show_duration(amount.unsigned_abs())),
        Parameter::Delay => write!(text, ", delay = \"{}\"", show_duration(amount.unsigned_abs())),
        Parameter::Share => {
            write!(text, ", share = {}", show_share(amount.unsigned_abs().min(WHOLE)))
        }
        Parameter::Offset => {
            let sign = if amount < 0 { "-" } else { "" };
            let millis = show_duration(amount.unsigned_abs() * 1_000);
            write!(text, ", offset = \"{sign}{millis}\"")
        }
        Parameter::Drift => write!(text, ", ppm = {amount}"),
        Parameter::Room => write!(text, ", room = {amount}"),
    }
}

fn show_change(text: &mut String, kind: FaultKind, change: &Change) -> std::fmt::Result {
    write!(text, ", definition = {}", quoted(&change.definition))?;
    if kind == FaultKind::Undefine {
        return Ok(());
    }
    let (min, max) = change.copies;
    write!(text, ", replication = {{ min = {min}, max = {max} }}")?;
    change.size.map_or(Ok(()), |size| write!(text, ", size = {size}"))
}

fn show_operation(text: &mut String, operation: &Operation) -> std::fmt::Result {
    let (word, keys) = match &operation.call {
        Call::Read(key) => ("read", format!(", key = {}", quoted(key))),
        Call::Count { key, by, .. } => ("count", format!(", key = {}, by = {by}", quoted(key))),
        Call::Tally { key, by, anew } => {
            let anew = if *anew { ", anew = \"yes\"" } else { "" };
            ("tally", format!(", key = {}, by = {by}{anew}", quoted(key)))
        }
        Call::Lease(key, length, ttl) => {
            let ttl = show_duration(ttl * 1_000);
            ("lease", format!(", key = {}, bytes = {length}, ttl = \"{ttl}\"", quoted(key)))
        }
        Call::Expire(key, None) => ("expire", format!(", key = {}", quoted(key))),
        Call::Expire(key, Some(ttl)) => {
            let ttl = show_duration(ttl * 1_000);
            ("expire", format!(", key = {}, ttl = \"{ttl}\"", quoted(key)))
        }
        Call::Sync => ("sync", String::new()),
        Call::Status => ("status", String::new()),
        Call::Drop => ("drop", String::new()),
        Call::Write { batches, .. } => match batches.as_slice() {
            [batch] => match batch.as_slice() {
                [(key, None)] => ("delete", format!(", key = {}", quoted(key))),
                [(key, Some(length))] => {
                    ("put", format!(", key = {}, bytes = {length}", quoted(key)))
                }
                writes => ("batch", format!(", writes = [{}]", show_writes(writes))),
            },
            batches => {
                let writes: Vec<KeyWrite> = batches.iter().flatten().cloned().collect();
                ("burst", format!(", writes = [{}]", show_writes(&writes)))
            }
        },
    };
    let Operation { peer, database, .. } = operation;
    write!(text, ", operation = \"{word}\", peer = {peer}, database = {}{keys}", quoted(database))?;
    if let Call::Write { durability, acks, .. } | Call::Count { durability, acks, .. } =
        &operation.call
    {
        if let Some(durability) = durability {
            write!(text, ", durability = \"{}\"", durability.name())?;
        }
        if *acks > 1 {
            write!(text, ", acks = {acks}")?;
        }
    }
    Ok(())
}

fn show_writes(writes: &[KeyWrite]) -> String {
    let one = |(key, length): &KeyWrite| match length {
        Some(length) => format!("{{ key = {}, bytes = {length} }}", quoted(key)),
        None => format!("{{ key = {} }}", quoted(key)),
    };
    writes.iter().map(one).collect::<Vec<_>>().join(", ")
}
