//! Text that people write: definitions in YAML, the config file of `serve`, scenarios with their
//! timelines and campaigns, durations and moments. The first byte says which.
//!
//! What is read is written and read again where there is a writer, and says the same.

#[path = "../../bin/commands/serve/file.rs"]
#[expect(dead_code, reason = "the settings are told as text here, and not used")]
mod file;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tidings_gateway::{duration, moment, yaml};
use tidings_sim::campaign::Campaign;
use tidings_sim::scenario::{Scenario, units};

/// Takes any bytes.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match kind {
        b'y' => definitions(text),
        b't' => serve(text),
        b's' => scenario(text),
        b'c' => campaign(text),
        b'd' => durations(text),
        _ => {}
    }
}

/// Definitions: what is read keeps every rule, and no two have one name.
fn definitions(text: &str) {
    match yaml::parse(text) {
        Ok(definitions) => {
            let names: BTreeSet<&str> = definitions.iter().map(|own| own.name.as_str()).collect();
            assert_eq!(names.len(), definitions.len());
            assert!(definitions.iter().all(|definition| definition.validate().is_ok()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn serve(text: &str) {
    match file::parse(text) {
        Ok(settings) => {
            let mut told = String::new();
            assert!(write!(told, "{settings:?}").is_ok());
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

fn scenario(text: &str) {
    match Scenario::from_toml("text", text) {
        Ok(scenario) => {
            let written = scenario.to_toml();
            let again = Scenario::from_toml("written", &written);
            assert_eq!(again.as_ref(), Ok(&scenario), "written as:\n{written}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn campaign(text: &str) {
    match Campaign::read(&[("text".into(), text.into())], &[], None) {
        Ok(campaign) => assert!(!campaign.is_empty(), "a scenario is one run at least"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn durations(text: &str) {
    if let Ok(read) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::format(read)), Ok(read));
    }
    if let Ok(read) = moment::parse(text) {
        assert_eq!(moment::parse(&moment::format(read)), Ok(read));
    }
    if let Some(read) = units::duration(text) {
        assert_eq!(units::duration(&units::show_duration(read)), Some(read));
    }
    let _ = units::size(text);
}
