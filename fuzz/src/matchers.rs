//! Matchers: lines of text, the first half of them matchers, the others paths. Each is parsed, put into
//! a registry, asked for every path, and compared with each other one.
//!
//! What must be true: an accepted path begins with the literal prefix; the registry finds a definition
//! exactly where a matcher accepts; two matchers that accept one path are said to overlap; and a path
//! that an overlap is proven by is accepted by both.

use tidings_core::definition::Definition;
use tidings_core::limits::{MATCHER_MAX, PATH_MAX};
use tidings_core::matcher::Matcher;
use tidings_core::name::Path;
use tidings_core::registry::Registry;

/// Most lines that are looked at: the bounds are those of one matcher, and of a pair.
const LINES_MAX: usize = 8;

/// Takes any bytes.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines: Vec<&str> = text.split('\n').take(LINES_MAX).collect();
    let (matchers, paths) = lines.split_at(lines.len().div_ceil(2));
    let mut paths: Vec<Path> = paths.iter().filter_map(|text| Path::new(text).ok()).collect();
    let mut registry = Registry::new();
    let mut definitions = Vec::new();
    for (number, text) in matchers.iter().enumerate() {
        let parsed = Matcher::parse(text);
        let mut definition = Definition::new(&format!("d{number}"), text, 1, 1);
        definition.priority = i32::from(text.len() % 3 == 0);
        match parsed {
            Ok(matcher) => {
                assert!(text.len() <= MATCHER_MAX && matcher.as_str() == *text);
                registry.insert(definition.clone()).expect("what is parsed is taken");
                definitions.push((definition, matcher));
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(registry.insert(definition).is_err(), "{text:?} is no matcher");
            }
        }
    }
    // What a matcher is of itself is a path, too, and one that the others may know.
    paths.extend(definitions.iter().filter_map(|(_, own)| Path::new(own.literal_prefix()).ok()));
    for path in &paths {
        check_path(&registry, &definitions, path);
    }
    for (definition, own) in &definitions {
        let told = registry.overlaps(definition);
        for (other, theirs) in &definitions {
            if other.name != definition.name {
                check_pair((definition, own), (other, theirs), &told, &paths);
            }
        }
    }
}

fn check_path(registry: &Registry, definitions: &[(Definition, Matcher)], path: &Path) {
    assert!(path.as_str().len() <= PATH_MAX);
    let accepting: Vec<&Definition> = definitions
        .iter()
        .filter(|(_, matcher)| matcher.matches(path))
        .map(|(definition, matcher)| {
            assert!(path.as_str().starts_with(matcher.literal_prefix()), "{matcher:?} {path}");
            definition
        })
        .collect();
    let found = registry.resolve(path);
    assert_eq!(found.is_some(), !accepting.is_empty(), "{path}");
    if let Some(found) = found {
        assert!(accepting.iter().any(|definition| **definition == **found));
        assert!(accepting.iter().all(|other| other.priority <= found.priority), "{path}");
    }
    assert!(registry.nearest(path, 3).len() <= 3);
}

fn check_pair(
    (definition, own): (&Definition, &Matcher),
    (other, theirs): (&Definition, &Matcher),
    told: &[String],
    paths: &[Path],
) {
    let both = format!("and {:?} (", other.name);
    let sentence = told.iter().find(|sentence| sentence.contains(&both));
    let shared = paths.iter().find(|path| own.matches(path) && theirs.matches(path));
    assert!(
        shared.is_none() || sentence.is_some(),
        "{own:?} and {theirs:?} both accept {shared:?}, and are not said to overlap: {told:?}"
    );
    // The sentence quotes both matchers, so that its proof is found from its end.
    let Some(sentence) = sentence else { return };
    let Some((_, rest)) = sentence.rsplit_once(") can both accept the path ") else { return };
    let Some((path, _)) = rest.rsplit_once("; where they do, ") else { return };
    let proof = Path::new(path).expect("a proof is a path");
    assert!(
        own.matches(&proof) && theirs.matches(&proof),
        "{path:?} is no proof for {:?} and {:?}",
        definition.matcher,
        other.matcher
    );
}
