//! The config file of `serve`, read on its own: the fuzz targets read it here, too.

use std::path::PathBuf;

use serde::Deserialize;

/// The config file: the same names, nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ConfigFile {
    pub(super) data: Option<PathBuf>,
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) listen: Vec<String>,
    #[serde(default)]
    pub(super) peer: Vec<String>,
    pub(super) no_mdns: Option<bool>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) definitions: Option<PathBuf>,
    pub(super) http: Option<String>,
    pub(super) redis: Option<String>,
    pub(super) redis_database: Option<String>,
    pub(super) tokens: Option<PathBuf>,
    pub(super) weight: Option<f64>,
    pub(super) zone: Option<String>,
    pub(super) tombstone_grace: Option<String>,
    pub(super) holder_ttl: Option<String>,
    pub(super) rebalance_delay: Option<String>,
    pub(super) cache_size: Option<String>,
    pub(super) ready_file: Option<PathBuf>,
}

/// Reads it; a mistake is told with its place.
pub(super) fn parse(text: &str) -> Result<ConfigFile, String> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map_or_else(String::new, |span| {
            let before = text.get(..span.start).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("line {line}, column {column}: ")
        });
        format!("{place}{}", error.message())
    })
}
