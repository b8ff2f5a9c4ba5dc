//! Writes a scenario as TOML: every value is said, also those that are the default.

use std::fmt::{self, Write as _};

use tidings_core::definition::Definition;

use super::read::quoted;
use super::units::{decimal, show_duration, show_share};
use super::{Class, Databases, Distribution, FaultKind, Link, Load, Scenario};
use crate::timeline::text;

impl Scenario {
    /// The scenario as TOML, which [`Scenario::from_toml`] reads back as it is.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = self.write_to(&mut text);
        text
    }

    fn write_to(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "name = {}", quoted(&self.name))?;
        if !self.description.is_empty() {
            writeln!(out, "description = {}", quoted(&self.description))?;
        }
        writeln!(out, "seed = {}", self.seed)?;
        writeln!(out, "duration = \"{}\"", show_duration(self.duration))?;
        writeln!(out, "settle_within = \"{}\"", show_duration(self.patience))?;
        writeln!(out, "check_every = \"{}\"", show_duration(self.check_every))?;
        if self.sample_every > 0 {
            writeln!(out, "sample_every = \"{}\"", show_duration(self.sample_every))?;
        }
        for (name, pause) in [
            ("replacement_delay", self.replacement_delay),
            ("stability_window", self.stability_window),
            ("rebalance_delay", self.rebalance_delay),
            ("trash", self.trash),
            ("tombstone_grace", self.tombstone_grace),
            ("holder_ttl", self.holder_ttl),
            ("sweep_interval", self.sweep_interval),
        ] {
            writeln!(out, "{name} = \"{}\"", show_duration(pause * 1_000))?;
        }
        writeln!(out, "clock_spread = \"{}\"", show_duration(self.clock_spread * 1_000))?;
        writeln!(out, "appliers = {}", self.appliers)?;
        // Before the tables: what follows a header belongs to its table.
        if !self.timeline.is_empty() {
            writeln!(out, "timeline = [")?;
            for timed in &self.timeline {
                writeln!(out, "  {},", text::show(timed))?;
            }
            writeln!(out, "]")?;
        }
        self.peers.iter().try_for_each(|class| write_class(out, class))?;
        writeln!(out, "\n[links]\ndiscovery = {}", self.links.discovery)?;
        write_link(out, &self.links.within)?;
        if let Some(link) = &self.links.between_zones {
            writeln!(out, "\n[links.between_zones]")?;
            write_link(out, link)?;
        }
        self.definitions.iter().try_for_each(|definition| write_definition(out, definition))?;
        write_load(out, &self.load)?;
        let kinds: Vec<String> =
            self.faults.kinds.iter().copied().map(FaultKind::word).map(quoted).collect();
        writeln!(out, "\n[faults]\nkinds = [{}]", kinds.join(", "))?;
        writeln!(out, "every = \"{}\"", show_duration(self.faults.every))?;
        writeln!(out, "longest = \"{}\"", show_duration(self.faults.longest))?;
        writeln!(out, "stay_dead = {}", self.stay_dead)?;
        self.write_expectations(out)
    }

    fn write_expectations(&self, out: &mut String) -> fmt::Result {
        let expect = &self.expect;
        if *expect == super::Expectations::default() {
            return Ok(());
        }
        writeln!(out, "\n[expect]")?;
        let times = [
            ("converge_within", expect.converge_within),
            ("propagation_p99", expect.propagation_p99),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                writeln!(out, "{name} = \"{}\"", show_duration(time))?;
            }
        }
        for (name, number) in [("lost_writes", expect.lost_writes), ("traffic", expect.traffic)] {
            if let Some(number) = number {
                writeln!(out, "{name} = {number}")?;
            }
        }
        match expect.acknowledged {
            Some(share) => writeln!(out, "acknowledged = {}", show_share(share)),
            None => Ok(()),
        }
    }
}

fn write_class(out: &mut String, class: &Class) -> fmt::Result {
    let Class { count, zone, weight, starts } = class;
    writeln!(out, "\n[[peers]]\ncount = {count}\nzone = {}", quoted(zone))?;
    writeln!(out, "weight = {}", decimal(u64::from(*weight), 100))?;
    writeln!(out, "starts = \"{}\"", show_duration(*starts))
}

fn write_link(out: &mut String, link: &Link) -> fmt::Result {
    let distribution = match link.distribution {
        Distribution::Uniform => "uniform",
        Distribution::Exponential => "exponential",
    };
    writeln!(out, "latency = \"{}\"", show_duration(link.latency))?;
    writeln!(out, "jitter = \"{}\"", show_duration(link.jitter))?;
    writeln!(out, "distribution = \"{distribution}\"")?;
    writeln!(out, "tail = {}", show_share(link.tail))?;
    writeln!(out, "tail_factor = {}", link.tail_factor)?;
    writeln!(out, "loss = {}", show_share(link.loss))?;
    writeln!(out, "duplication = {}", show_share(link.duplication))?;
    writeln!(out, "reordering = {}", show_share(link.reordering))?;
    writeln!(out, "bandwidth = {}\nqueue = {}", link.bandwidth, link.queue)
}

fn write_definition(out: &mut String, definition: &Definition) -> fmt::Result {
    writeln!(out, "\n[[definitions]]\nname = {}", quoted(&definition.name))?;
    if let Some(id) = &definition.id {
        writeln!(out, "id = {}", quoted(id))?;
    }
    if !definition.description.is_empty() {
        writeln!(out, "description = {}", quoted(&definition.description))?;
    }
    if !definition.tags.is_empty() {
        let tags: Vec<String> = definition.tags.iter().map(|tag| quoted(tag)).collect();
        writeln!(out, "tags = [{}]", tags.join(", "))?;
    }
    writeln!(out, "matcher = {}", quoted(&definition.matcher))?;
    let copies = definition.replication;
    writeln!(out, "replication = {{ min = {}, max = {} }}", copies.min, copies.max)?;
    if let Some(size) = definition.size {
        writeln!(out, "size = {size}")?;
    }
    writeln!(out, "durability = \"{}\"", definition.durability.name())?;
    if let Some(ttl) = definition.ttl {
        writeln!(out, "ttl = \"{}\"", show_duration(ttl * 1_000))?;
    }
    writeln!(out, "priority = {}", definition.priority)
}

fn write_load(out: &mut String, load: &Load) -> fmt::Result {
    writeln!(out, "\n[workload]\nrate = {}", decimal(load.rate, 1_000))?;
    match &load.databases {
        Databases::Named(paths) => {
            let paths: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
            writeln!(out, "paths = [{}]", paths.join(", "))?;
        }
        Databases::Counted(count, path) => {
            writeln!(out, "databases = {count}\npath = {}", quoted(path))?;
        }
    }
    writeln!(out, "populate_over = \"{}\"", show_duration(load.populate))?;
    writeln!(out, "opens = {}\nkeys = {}", decimal(load.opens, 1_000), load.keys)?;
    let distribution = if load.zipf { "zipf" } else { "uniform" };
    writeln!(out, "key_distribution = \"{distribution}\"\nhot = {}", show_share(load.hot))?;
    writeln!(out, "value_bytes = {}", load.value_bytes)?;
    writeln!(out, "deletes = {}", show_share(load.deletes))?;
    writeln!(out, "synced = {}", show_share(load.synced))?;
    writeln!(out, "buffered = {}", show_share(load.buffered))?;
    writeln!(out, "acknowledged = {}", show_share(load.acknowledged))?;
    let mix = &load.mix;
    writeln!(
        out,
        "mix = {{ put = {}, batch = {}, read = {}, sync = {}, large = {}, status = {}, drop = {}, \
         count = {}, expire = {} }}",
        mix.put,
        mix.batch,
        mix.read,
        mix.sync,
        mix.large,
        mix.status,
        mix.drop,
        mix.count,
        mix.expire
    )
}
