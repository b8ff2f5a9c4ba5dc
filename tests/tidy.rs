//! The house rules that no compiler checks, read from the sources themselves: where a crate may be
//! named, that every file tells its story, that tests wait instead of sleeping, that links lead
//! somewhere. It runs no program and needs no network.
//!
//! A rule that has to be broken is broken in a list here, with the reason; an entry that is no
//! longer needed fails too.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the check")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file that needs no reason.
const LINES_MAX: usize = 500;

/// Longer files, and why they are not split.
const LONG: &[(&str, &str)] = &[
    ("crates/core/src/node.rs", "the state and the one match over inputs stand together"),
    ("crates/core/src/node/placement.rs", "the steward's rules refer to each other"),
    ("crates/core/src/node/pull.rs", "both ends of one exchange"),
    ("crates/core/src/node/push.rs", "both ends of one exchange"),
    ("crates/peer/src/database.rs", "one public type with the documentation of each call"),
    ("crates/peer/tests/net.rs", "one mesh, seen from many sides"),
];

/// Files of tests that may sleep.
const SLEEPING: &[(&str, &str)] = &[
    ("tests/timed/mod.rs", "users who write by the clock"),
    ("tests/eight/user.rs", "users who write by the clock"),
    ("tests/support/mod.rs", "the pause between two looks of `wait_for`, which has a deadline"),
    ("crates/peer/tests/support/mod.rs", "the pause between two looks of a wait with a deadline"),
    ("crates/peer/tests/net_speed.rs", "measures for a fixed time; run by hand"),
    ("crates/peer/benches/database.rs", "the pause between two looks of a wait with a deadline"),
];

/// Files outside of tests that hold `allow` attributes.
const ALLOWING: &[(&str, &str)] =
    &[("crates/core/src/store/contract.rs", "a test suite, though other crates call it")];

/// What the core must not reach, whatever the way: executors, sockets, disks, ambient randomness.
const FOREIGN_TO_CORE: &[&str] =
    &["tokio", "mio", "socket2", "async-std", "libp2p", "libp2p-core", "fjall", "lsm-tree"];

/// A file of this repository.
struct Source {
    /// Its path from the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == extension)
    }

    /// Whether all of it is tests, benchmarks, or what they share.
    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "benches" | "tests.rs"))
    }

    /// Lines with their numbers, in `rs` files those that are not comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let comments = self.is("rs");
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(move |(_, line)| !(comments && line.trim_start().starts_with("//")))
    }

    /// The number of the first line of tests.
    fn first_test_line(&self) -> usize {
        if self.is_test() {
            return 1;
        }
        let found = self.text.lines().position(|line| line.trim() == "#[cfg(test)]");
        found.map_or(usize::MAX, |at| at + 1)
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text that belongs to the repository: not what is built, not what is hidden, but for the
/// scripts.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".ci" && name != ".github";
            if hidden || path.is_symlink() || (path.is_dir() && is_build_output(&path, &name)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "only {} files were found", found.len());
    found
}

fn is_build_output(path: &Path, name: &str) -> bool {
    name == "target" || path.join("CACHEDIR.TAG").exists()
}

fn rust() -> Vec<Source> {
    sources().into_iter().filter(|source| source.is("rs")).collect()
}

/// Fails with all findings at once.
#[track_caller]
fn none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

/// Fails when an exception is listed that nothing needs.
#[track_caller]
fn all_needed(list: &[(&str, &str)], needed: &BTreeSet<String>) {
    let stale: Vec<_> = list.iter().filter(|(path, _)| !needed.contains(*path)).collect();
    assert!(stale.is_empty(), "these exceptions are not needed any more: {stale:?}");
}

fn listed(list: &[(&str, &str)], path: &str) -> bool {
    list.iter().any(|(own, _)| *own == path)
}

/// The stored and sent form is one module's business: only the wire module names bincode.
#[test]
fn bincode_is_named_in_one_module() {
    let word = ["bin", "code"].concat();
    let findings: Vec<_> = rust()
        .iter()
        .filter(|source| !source.path.starts_with("crates/core/src/wire"))
        .filter(|source| source.path != "tests/tidy.rs")
        .flat_map(|source| {
            let named = source.code().filter(|(_, line)| line.contains(&word));
            named.map(|(at, _)| format!("{}:{at}", source.path)).collect::<Vec<_>>()
        })
        .collect();
    none("only the wire module of the core may name the codec", &findings);
}

/// Every Rust file begins by saying what it is for.
#[test]
fn every_file_tells_its_story() {
    let findings: Vec<_> = rust()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    none("a Rust file begins with a `//!` story", &findings);
}

/// Files fit a reader's head.
#[test]
fn files_are_short() {
    let (mut findings, mut needed) = (Vec::new(), BTreeSet::new());
    for source in rust() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            needed.insert(source.path.clone());
            if !listed(LONG, &source.path) {
                findings.push(format!("{} has {lines} lines", source.path));
            }
        }
    }
    none("a file of more than 500 lines is split, or listed with a reason", &findings);
    all_needed(LONG, &needed);
}

/// What is left to do is not kept in the sources.
#[test]
fn nothing_is_left_to_do() {
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let mut findings = Vec::new();
    for source in sources() {
        for (at, line) in source.text.lines().enumerate() {
            let mut parts = line.split(|c: char| !c.is_ascii_alphanumeric());
            if parts.any(|part| words.iter().any(|word| word == part)) {
                findings.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    none("finish it, or write it down where work is planned", &findings);
}

/// A lint is switched off by `expect` with a reason, so that it comes back when it is not needed.
/// Whole files of tests may `allow`, because not all of them need it; with a reason, too.
#[test]
fn lints_are_expected_with_a_reason() {
    let (mut findings, mut needed) = (Vec::new(), BTreeSet::new());
    for source in rust().iter().filter(|source| source.path != "tests/tidy.rs") {
        let lines: Vec<_> = source.text.lines().collect();
        for (at, line) in source.code() {
            let attribute = line.trim_start();
            let allows = attribute.starts_with("#[allow(") || attribute.starts_with("#![allow(");
            let expects = attribute.starts_with("#[expect(") || attribute.starts_with("#![expect(");
            if !allows && !expects {
                continue;
            }
            let end = lines[at - 1..].iter().position(|line| line.trim_end().ends_with(")]"));
            let whole = lines[at - 1..at + end.unwrap_or(0)].join(" ");
            if !whole.contains("reason = \"") {
                findings.push(format!("{}:{at}: no reason", source.path));
            }
            if allows && !source.is_test() {
                needed.insert(source.path.clone());
                if !listed(ALLOWING, &source.path) {
                    findings.push(format!("{}:{at}: `expect` it instead", source.path));
                }
            }
        }
    }
    none("lints are expected, each with a reason", &findings);
    all_needed(ALLOWING, &needed);
}

/// Nothing names a place that only one machine has.
#[test]
fn no_machine_is_named() {
    let places = ["home", "root", "work", "Users"].map(|name| format!("/{name}/"));
    let mut findings = Vec::new();
    for source in sources() {
        for (at, line) in source.text.lines().enumerate() {
            for place in places.iter().filter(|place| line.contains(place.as_str())) {
                // In the middle of a longer path, such as an address, it is no absolute path.
                let start = line.find(place.as_str()).unwrap_or(0);
                let before = line[..start].chars().next_back();
                if !before
                    .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '}' | '-' | '_'))
                {
                    findings.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
                }
            }
        }
    }
    none("absolute paths of one machine", &findings);
}

/// Tests wait for what they expect, with a deadline; they do not sleep and hope.
#[test]
fn tests_do_not_sleep() {
    let (mut findings, mut needed) = (Vec::new(), BTreeSet::new());
    for source in rust().iter().filter(|source| source.path != "tests/tidy.rs") {
        let first = source.first_test_line();
        for (at, line) in source.code().filter(|(at, _)| *at >= first) {
            if line.contains("sleep(") {
                needed.insert(source.path.clone());
                if !listed(SLEEPING, &source.path) {
                    findings.push(format!("{}:{at}: {}", source.path, line.trim()));
                }
            }
        }
    }
    none("wait for the thing, with a deadline", &findings);
    all_needed(SLEEPING, &needed);
}

/// Links in the documents lead to files that exist, and to headings that exist in them.
#[test]
fn links_lead_somewhere() {
    let documents: BTreeMap<_, _> = sources()
        .into_iter()
        .filter(|source| source.is("md"))
        .map(|source| (root().join(&source.path), source))
        .collect();
    let mut findings = Vec::new();
    for (file, source) in &documents {
        for target in links(&source.text) {
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let to = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let Ok(to) = to.canonicalize() else {
                findings.push(format!("{}: {target}: no such file", source.path));
                continue;
            };
            let there =
                documents.iter().find(|(other, _)| other.canonicalize().ok() == Some(to.clone()));
            if let Some((_, other)) = there.filter(|_| !heading.is_empty())
                && !headings(&other.text).contains(heading)
            {
                findings.push(format!("{}: {target}: no such heading", source.path));
            }
        }
    }
    none("dead links", &findings);
}

/// The targets of links inside the repository, but for those in blocks of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in outside_code(text) {
        for part in line.split("](").skip(1) {
            let target = part.split([')', ' ']).next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !target.is_empty() {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The anchors of the headings: lower case, hyphens for spaces, no punctuation.
fn headings(text: &str) -> BTreeSet<String> {
    outside_code(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            title.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
        })
        .collect()
}

fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// Version, edition, licence and lints are written once, in the workspace.
#[test]
fn manifests_inherit() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.path.ends_with("Cargo.toml")) {
        for line in
            ["version.workspace = true", "edition.workspace = true", "license.workspace = true"]
        {
            if !source.text.lines().any(|own| own == line) {
                findings.push(format!("{} has no line `{line}`", source.path));
            }
        }
        if !source.text.contains("[lints]\nworkspace = true") {
            findings.push(format!("{} does not inherit the lints", source.path));
        }
    }
    none("every crate inherits from the workspace", &findings);
}

/// The core cannot name the world: it is `no_std`, and says `std` only in its tests.
#[test]
fn the_core_knows_no_std() {
    let sources = rust();
    let core = || sources.iter().filter(|source| source.path.starts_with("crates/core/src/"));
    let lib = core().find(|source| source.path.ends_with("/lib.rs")).unwrap();
    assert!(lib.text.lines().any(|line| line == "#![no_std]"), "the core is no_std");
    let mut findings = Vec::new();
    for source in core().filter(|source| !source.path.starts_with("crates/core/src/store/contract"))
    {
        let first = source.first_test_line();
        for (at, line) in source.code().filter(|(at, _)| *at < first) {
            if line.contains("std::") || line.contains("extern crate std") {
                findings.push(format!("{}:{at}: {}", source.path, line.trim()));
            }
        }
    }
    none("use `core::` and `alloc::`", &findings);
}

/// The core reaches no executor, socket or disk through any of its dependencies. Read from the lock
/// file, which lists more than is built, never less.
#[test]
fn the_core_reaches_no_world() {
    let manifest = fs::read_to_string(root().join("crates/core/Cargo.toml")).unwrap();
    let own = manifest.split("\n[").find(|part| part.starts_with("dependencies]")).unwrap();
    let direct = own.lines().skip(1).filter_map(|line| line.split(['.', ' ', '=']).next());
    let mut queue: Vec<String> =
        direct.filter(|name| !name.is_empty() && !name.starts_with('#')).map(Into::into).collect();
    assert!(queue.len() > 5, "the core's dependencies were not found: {queue:?}");
    let graph = locked();
    let mut seen: BTreeMap<String, String> =
        queue.iter().map(|name| (name.clone(), "tidings-core".into())).collect();
    while let Some(name) = queue.pop() {
        for next in graph.get(&name).into_iter().flatten() {
            if !seen.contains_key(next) {
                seen.insert(next.clone(), name.clone());
                queue.push(next.clone());
            }
        }
    }
    let findings: Vec<_> = FOREIGN_TO_CORE
        .iter()
        .filter_map(|name| seen.get(*name).map(|via| format!("{name}, through {via}")))
        .collect();
    none("the core depends on the world", &findings);
}

/// Package → packages it names, all versions of a name as one, from the lock file.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let name = package.lines().find_map(|line| line.strip_prefix("name = ")).unwrap();
        let dependencies = package.lines().filter_map(|line| line.strip_prefix(" \""));
        graph.entry(name.trim_matches('"').into()).or_default().extend(
            dependencies.filter_map(|line| Some(line.split([' ', '"']).next()?.to_owned())),
        );
    }
    graph
}
