//! Which faults fired and which rare branches were reached: a campaign that never saw one of those
//! that must be seen has proved nothing about it, and fails.

use std::collections::BTreeMap;

/// How often each thing was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sometimes(BTreeMap<String, u64>);

/// Counters of the core that a campaign must reach.
pub const CORE: [&str; 24] = [
    "broken_fragments",
    "copies_damaged",
    "copies_joined",
    "copies_scrubbed",
    "databases_created",
    "differences",
    "divergences",
    "entries_expired",
    "gaps",
    "messages_for_other_copies",
    "offers",
    "pulls",
    "pulls_given_up",
    "pulls_outlined",
    "pulls_refused",
    "pushes_relayed",
    "records_answered",
    "records_pulled",
    "records_received",
    "requests_again",
    "requests_forwarded",
    "requests_served",
    "share_rounds",
    "sums_ended",
];

/// Counters of the world that a campaign must reach, beside every kind of fault.
pub const WORLD: [&str; 40] = [
    "acknowledged",
    "acknowledged by several",
    "acknowledged synced",
    "alarm clock off",
    "batch",
    "commit failed",
    "concurrent creation",
    "counted anew",
    "counter checked",
    "counter read",
    "copy left",
    "declared lost",
    "definition changed unseen",
    "definition removed",
    "disk full",
    "expired entry swept",
    "frame cut off",
    "frame duplicated",
    "frame lost",
    "frame reordered",
    "hostile peer noticed",
    "hostile write",
    "killed in an operation",
    "loss excused",
    "outcome unknown",
    "peer joined late",
    "peer stays dead",
    "pending interval",
    "queue overflow",
    "read elsewhere",
    "read failed",
    "read here",
    "refused",
    "rows repaired",
    "start failed",
    "sum checked",
    "sync failed",
    "unfinished cut",
    "watch checked",
    "watch went on",
];

impl Sometimes {
    /// Notes that something was seen.
    pub fn saw(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Notes that something was seen this many times.
    pub fn add(&mut self, what: &str, times: u64) {
        if times > 0 {
            if let Some(count) = self.0.get_mut(what) {
                *count += times;
            } else {
                self.0.insert(what.to_string(), times);
            }
        }
    }

    /// Adds what another run saw.
    pub fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }

    /// How often something was seen.
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Everything seen, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(what, times)| (what.as_str(), *times))
    }

    /// What had to be seen and was not.
    pub fn missing(&self) -> Vec<String> {
        let faults = crate::faults::FaultKind::ALL.into_iter().map(crate::faults::FaultKind::name);
        let core = CORE.iter().map(|name| format!("core {name}"));
        let world = WORLD.iter().map(|name| (*name).to_string());
        faults.chain(core).chain(world).filter(|what| self.count(what) == 0).collect()
    }
}
