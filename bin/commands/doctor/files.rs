//! The files that a peer is given: the secret, the definitions, the tokens.

use tidings_core::registry::Registry;
use tidings_tokens::{LiveTokens, TokenFile};

use super::super::apply;
use super::super::serve::{Settings, read_secret};
use super::Check;

/// Whether the secret can be read, by its owner only, and is long enough.
pub(super) fn secret(settings: &Settings) -> Check {
    let name = "secret";
    let Some(file) = &settings.secret_file else {
        return Check::warn(
            name,
            "none is named, so that a peer stays on loopback and finds nobody",
            "for peers on a network make one, (umask 077; openssl rand -hex 32 > secret), and name it with --secret-file",
        );
    };
    match read_secret(file) {
        Ok(secret) => Check::ok(
            name,
            format!(
                "{} has {} bytes, and only its owner can read it",
                file.display(),
                secret.len()
            ),
        ),
        Err(failure) => Check::fail(
            name,
            failure.message(),
            "the file has 16 to 4096 bytes, such as openssl rand -hex 32 prints, and mode 600",
        ),
    }
}

/// Whether the definitions can be understood.
pub(super) fn definitions(settings: &Settings) -> Check {
    let name = "definitions";
    let Some(file) = &settings.definitions else {
        return Check::ok(name, "no file is named; the cluster's own count");
    };
    let read = apply::read(file).and_then(|definitions| {
        let mut registry = Registry::new();
        for definition in &definitions {
            registry.insert(definition.clone())?;
        }
        Ok(definitions.len())
    });
    match read {
        Ok(count) => Check::ok(name, format!("{} has {count} of them", file.display())),
        Err(failure) => Check::fail(
            name,
            failure.message(),
            "mend the file; `tidings definitions check FILE` shows what it defines",
        ),
    }
}

/// Whether the tokens can be read, if there are any.
pub(super) fn tokens(settings: &Settings) -> Option<Check> {
    let (name, file) = ("tokens", settings.tokens.as_ref()?);
    Some(match LiveTokens::open(TokenFile::new(file)) {
        Ok(_) => Check::ok(name, format!("{} can be used", file.display())),
        Err(error) => Check::fail(
            name,
            error.to_string(),
            "`tidings token new --tokens FILE` makes one, with mode 600",
        ),
    })
}
