//! What each command needs, and what that is told as.

use super::*;
use crate::command::COMMANDS;
use crate::refusal::shown;

/// Every command that may change a key needs `write`, and every other one that is about keys needs `read`;
/// what strangers may send is what Redis lets them send.
#[test]
fn every_command_needs_what_its_flags_say() {
    for spec in COMMANDS {
        let has = |flag| spec.flags.split_whitespace().any(|own| own == flag);
        let need = need(spec.command);
        match need {
            Need::Selected(Scope::Write) => assert!(has("write"), "{}", spec.name),
            Need::Selected(scope) => {
                assert_eq!(scope, Scope::Read, "{}", spec.name);
                // `WAIT` tells how far a database has come.
                assert!(has("readonly") || spec.name == "wait", "{}", spec.name);
            }
            Need::Nothing | Need::Token | Need::Named => {
                assert!(!has("write") && !has("readonly"), "{}", spec.name);
            }
        }
    }
    let of = |wanted| {
        let all = COMMANDS.iter().filter(|spec| need(spec.command) == wanted);
        all.map(|spec| spec.name).collect::<Vec<_>>()
    };
    assert_eq!(of(Need::Nothing), ["auth", "hello", "quit", "reset"]);
    assert_eq!(of(Need::Named), ["psubscribe", "select", "subscribe"]);
    assert!(of(Need::Token).iter().all(|name| !name.contains("get")));
}

/// The document has each command in the row of what it needs, and in no other one.
#[test]
fn the_document_says_what_is_needed() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, section) = text.split_once("## Who may speak").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    for spec in COMMANDS {
        let row = match need(spec.command) {
            Need::Nothing => "| no token |",
            Need::Token => "| any token |",
            Need::Named => "| `read`, for each database that is named |",
            Need::Selected(Scope::Read) => "| `read` |",
            Need::Selected(_) => "| `write` |",
        };
        let name = format!("`{}`", spec.name.to_uppercase());
        let rows: Vec<&str> =
            section.lines().filter(|line| line.starts_with("| ") && line.contains(&name)).collect();
        assert_eq!(rows.len(), 1, "{name}");
        assert!(rows[0].starts_with(row), "{name}: {}", rows[0]);
    }
}

/// What is echoed to a client has no token in it, wherever the client wrote it.
#[test]
fn errors_show_no_token() {
    let token = Tokens::default().add("a", Scope::Read, &[""; 0]).unwrap();
    assert_eq!(shown(token.as_bytes()), "tidings_…");
    assert_eq!(shown(format!("x={token} y").as_bytes()), "x=tidings_…");
    assert_eq!(shown(b"hello"), "hello");
}
