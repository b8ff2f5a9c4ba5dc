//! Scenarios as files: what is written reads the same, mistakes are told with their place, and the
//! library in `simulations` runs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers too may panic")]

use std::fs;
use std::path::PathBuf;

use tidings_sim::campaign::{Campaign, Source};
use tidings_sim::run::{Verdict, run};
use tidings_sim::scenario::{Databases, SECOND, Scenario};

const PLAIN: &str = "duration = \"20s\"\n\n[peers]\ncount = 3\n\n[workload]\nrate = 5\n";

fn mistake(text: &str) -> String {
    Campaign::read(&[("office.toml".into(), text.into())], &[], None).unwrap_err().to_string()
}

fn mistake_of_set(set: &str) -> String {
    Campaign::read(&[("office.toml".into(), PLAIN.into())], &[set.into()], None)
        .unwrap_err()
        .to_string()
}

/// Scenarios of the swarm come back from TOML as they were, also once everything is drawn.
#[test]
fn what_is_written_reads_the_same() {
    for seed in 1..=60 {
        let drawn = Scenario::swarm(seed);
        for mut scenario in [drawn.clone().expand(), drawn] {
            // A file always samples.
            scenario.sample_every = SECOND;
            let text = scenario.to_toml();
            let read =
                Scenario::from_toml("written", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(read, scenario, "{text}");
        }
    }
}

/// Drawing again what is drawn already changes nothing, and a run from the written list of events is
/// the same run.
#[test]
fn an_expanded_scenario_is_the_same_run() {
    for seed in [3, 8] {
        let drawn = Scenario::swarm(seed);
        let expanded = drawn.clone().expand();
        assert_eq!(expanded.clone().expand(), expanded);
        let text = Scenario { sample_every: SECOND, ..expanded }.to_toml();
        let read = Scenario::from_toml("written", &text).unwrap();
        let before = run(Scenario { sample_every: SECOND, ..drawn });
        assert_eq!(run(read).trace, before.trace, "seed {seed}");
    }
}

/// Taking one event away leaves all others as they were.
#[test]
fn events_do_not_shift_each_other() {
    let mut scenario = Scenario::swarm(5);
    let with = scenario.clone().expand().timeline;
    assert!(!scenario.faults.kinds.is_empty());
    scenario.load.rate = 0;
    let faults_only = scenario.expand().timeline;
    assert!(faults_only.iter().all(|timed| with.contains(timed)), "users do not shift faults");
    scenario = Scenario::swarm(5);
    scenario.faults.kinds.clear();
    let users_only = scenario.expand().timeline;
    assert!(users_only.iter().all(|timed| with.contains(timed)), "faults do not shift users");
    assert_eq!(faults_only.len() + users_only.len(), with.len());
}

/// A mistake is told with file, line, column, what is accepted, and the way out.
#[test]
fn mistakes_have_a_place_and_a_way_out() {
    let cases = [
        (
            "[peers]\ncount = 3\n[links]\nlos = 0.1\n",
            "office.toml:4:1: the key \"los\" is not known in links; accepted are: bandwidth, between_zones, discovery, ",
        ),
        (
            "[peers]\ncount = 0\n",
            "office.toml:2:9: peers.count is 0; write a whole number from 1 to 2000",
        ),
        (
            "[peers]\ncount = 3\n[links]\nloss = 1.5\n",
            "office.toml:4:8: links.loss is 1.5; write a number from 0 to 1.0 with at most 6 digits",
        ),
        (
            "duration = 60\n[peers]\ncount = 3\n",
            "office.toml:1:12: duration is 60; write a duration from 1s to 366d as a number and a unit",
        ),
        (
            "[peers]\ncount = 3\n[links]\npreset = \"lna\"\n",
            "office.toml:4:10: links.preset is \"lna\"; write one of: lan, wifi, ",
        ),
        (
            "[peers]\ncount = 3\n[[timeline]]\nat = \"1s\"\nfault = \"kill\"\npeer = 3\n",
            "office.toml:6:8: timeline.0.peer is 3; write a whole number from 0 to 2",
        ),
        (
            "[peers]\ncount = 3\n[[timeline]]\nat = \"1s\"\nfault = \"kill\"\npeer = 1\nshare = 0.1\n",
            "office.toml:7:1: the key \"share\" is not known in timeline.0; accepted are: at, fault, for, peer",
        ),
        (
            "[peers]\ncount = 3\n[[timeline]]\nat = \"30s\"\nfault = \"kill\"\npeer = 1\n",
            "office.toml:4:6: timeline.0.at is 30s, not before the end of the run at 10s; make it earlier, or duration longer",
        ),
        (
            "[peers]\ncount = 3\n[[definitions]]\nname = \"a\"\nmatcher = \"**\"\nreplication = { min = 3, max = 2 }\n",
            "raise max or lower min",
        ),
        (
            "[peers]\ncount = 3\n[workload]\nopens = 1\n",
            "write workload.databases and workload.path in place of paths",
        ),
        ("[links]\n", "peers is missing"),
        ("peers = \n", "office.toml:1:"),
        (
            "seeds = \"9..3\"\n[peers]\ncount = 3\n",
            "office.toml:1:9: seeds is \"9..3\"; write one seed, or the first and the last as \"1..200\"",
        ),
    ];
    for (text, wanted) in cases {
        let said = mistake(text);
        assert!(said.contains(wanted), "{text}\nsaid:   {said}\nwanted: {wanted}");
    }
    for (set, wanted) in [
        ("links.loss=2", "--set links.loss=2: links.loss is 2; write a number from 0 to 1.0"),
        ("links.los=0", "--set links.los=0: the key \"los\" is not known in links"),
        ("peers.0.count=4", "the key \"0\" is not known in peers"),
        ("rate", "--set rate: this is no KEY=VALUE"),
    ] {
        let said = mistake_of_set(set);
        assert!(said.starts_with(wanted) || said.contains(wanted), "{set}: {said}");
    }
}

/// Lists sweep: every combination is a point, and an override beats the file's own sweep.
#[test]
fn lists_sweep() {
    let text =
        format!("{PLAIN}\n[sweep]\n\"links.loss\" = [0, 0.1]\n\"peers.count\" = [2, 3, 4]\n");
    let read = |set: &[String]| Campaign::read(&[("a".into(), text.clone())], set, None).unwrap();
    assert_eq!(read(&[]).points.len(), 6);
    let campaign = read(&["links.loss=[0.2]".into(), "workload.rate=[1,2]".into()]);
    let labels: Vec<String> =
        campaign.points.iter().map(tidings_sim::campaign::Point::label).collect();
    assert_eq!(labels.len(), 6, "{labels:?}");
    assert!(
        labels.contains(&"scenario peers.count=4 links.loss=0.2 workload.rate=2".into()),
        "{labels:?}"
    );
    let kinds = read(&["faults.kinds=[\"kill\",\"wipe\"]".into()]);
    assert_eq!(kinds.points.len(), 6, "a key that takes a list is not swept by one");
}

/// Every file in `simulations` keeps the invariants, with at most a dozen peers and fifty databases.
#[test]
fn the_library_runs_at_small_size() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../simulations");
    let mut seen = 0;
    let listed = |folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let large = folder.join("full-size");
    for path in listed(folder).chain(listed(large.clone())) {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let campaign =
            Campaign::read(&[(name.clone(), text)], &[], None).unwrap_or_else(|e| panic!("{e}"));
        let Source::Scenario(scenario) = &campaign.points[0].source else { unreachable!() };
        let mut scenario = Scenario { seed: 1, ..(**scenario).clone() };
        assert_eq!(scenario.name, name, "a scenario is named as its file");
        assert!(!scenario.description.is_empty(), "{name} has no description");
        // Those have no small size.
        if path.starts_with(&large) {
            continue;
        }
        for class in &mut scenario.peers {
            class.count = class.count.min(12);
        }
        if let Databases::Counted(count, _) = &mut scenario.load.databases {
            *count = (*count).min(50);
        }
        let report = run(scenario);
        assert_eq!(report.verdict(), Verdict::Ok, "{name}: {report}");
        seen += 1;
    }
    assert!(seen >= 15, "only {seen} files were found");
}
