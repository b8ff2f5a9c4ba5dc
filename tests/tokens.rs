//! Tokens, as users meet them: the command line makes them, a peer asks for them, clients send them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use support::{Peer, assert_fails, code, said, tidings, wait_for};

/// Runs `tidings token …` on a token file, and gives what it printed.
fn token(file: &Path, arguments: &[&str]) -> String {
    let output = tidings(&["token"]).args(arguments).arg("--tokens").arg(file).output().unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A peer that asks for tokens, the file of them, and one that may do everything.
fn guarded() -> (Peer, std::path::PathBuf, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let admin = token(&file, &["new", "--name", "root", "--scope", "admin"]);
    let peer = Peer::bare(directory, &["--tokens", file.to_str().unwrap()]);
    let definitions = support::file(
        peer.directory.path(),
        "definitions.yaml",
        "definitions:\n  - {name: any, matcher: 'data/*', replication: {min: 1, max: 3}}\n",
    );
    peer.printed(&["apply", "-f", &definitions, "--token", &admin]);
    (peer, file, admin)
}

/// Every way to hand a token to a client verb, and what comes of none, of a wrong one and of one that
/// may do less.
#[test]
fn client_verbs_send_a_token() {
    let (peer, file, admin) = guarded();
    let write = token(&file, &["new", "--name", "app", "--scope", "write", "--path", "data/*"]);
    let read = token(&file, &["new", "--name", "eye", "--scope", "read"]);
    // The peer reads the file again by itself.
    wait_for("the new tokens", || {
        let put = peer.run(&["put", "data/a", "k", "v", "--token", &write]);
        (code(&put) == 0).then_some(())
    });
    assert_eq!(peer.printed(&["get", "data/a", "k", "--token", &read]), b"v");
    assert_fails(&peer.run(&["get", "data/a", "k"]), 4, "--token-file FILE");
    assert_fails(&peer.run(&["peers", "--token", "tidings_x"]), 4, "revoked or mistyped");
    assert_fails(&peer.run(&["peers", "--token", "a\nb"]), 2, "characters that no token has");
    let put = peer.run(&["put", "data/a", "k", "w", "--token", &read]);
    assert_fails(&put, 4, "the token \"eye\" has the scope read, and this needs the scope write");
    let drop = ["drop", "data/a", "--yes", "--token", &write];
    assert_fails(&peer.run(&drop), 4, "needs the scope admin");
    assert_fails(&peer.run(&["peers", "--token", &write]), 4, "without paths");
    assert_fails(&peer.run(&["put", "other", "k", "v", "--token", &write]), 4, "not for \"other\"");

    let private = support::file(peer.directory.path(), "token", format!("{read}\n"));
    let with_file = ["get", "data/a", "k", "--token-file", &private];
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&private, permissions)
        };
        mode(0o644).unwrap();
        assert_fails(&peer.run(&with_file), 4, "chmod 600");
        mode(0o600).unwrap();
    }
    assert_eq!(peer.printed(&with_file), b"v");
    let both = peer.run(&["peers", "--token", &admin, "--token-file", &private]);
    assert_fails(&both, 2, "cannot be used with");
    for (name, value, expected) in [
        ("TIDINGS_TOKEN", admin.as_str(), 0),
        ("TIDINGS_TOKEN", "tidings_x", 4),
        ("TIDINGS_TOKEN", "", 4),
        ("TIDINGS_TOKEN_FILE", private.as_str(), 0),
    ] {
        let mut command = tidings(&["--http", &peer.http, "peers"]);
        let output = command.env(name, value).output().unwrap();
        assert_eq!(code(&output), expected, "{name}={value}: {}", said(&output));
    }
    let mut command = tidings(&["--http", &peer.http, "peers", "--token", &admin]);
    let output = command.env("TIDINGS_TOKEN", "tidings_x").output().unwrap();
    assert_eq!(code(&output), 0, "a flag wins over the environment: {}", said(&output));
    assert!(!peer.log().contains(&admin), "a token is never logged");
}

/// A token that is revoked is refused by the running peer, and its name and the others stay.
#[test]
fn a_revoked_token_is_refused_by_a_peer_that_runs() {
    let (peer, file, admin) = guarded();
    let read = token(&file, &["new", "--name", "eye", "--scope", "read"]);
    assert_eq!(token(&file, &["list"]).lines().count(), 3, "a heading and two tokens");
    let works = |token: &str| code(&peer.run(&["peers", "--token", token])) == 0;
    wait_for("the new token", || works(&read).then_some(()));
    token(&file, &["revoke", "eye"]);
    wait_for("its end", || (!works(&read)).then_some(()));
    assert!(works(&admin));
    let list = token(&file, &["list", "-o", "jsonl"]);
    assert_eq!(list, r#"{"name":"root","paths":[],"scope":"admin"}"#);
    let revoke = |name: &str, file: &Path| {
        tidings(&["token", "revoke", name, "--tokens"]).arg(file).output().unwrap()
    };
    assert_fails(&revoke("eye", &file), 1, "no token named \"eye\"");
    let none = peer.directory.path().join("none");
    assert_fails(&revoke("eye", &none), 2, "tidings token new");
    assert!(!none.exists());
}

/// What is refused before anything serves, with what to do about it.
#[test]
fn a_peer_without_tokens_stays_on_this_machine() {
    let directory = tempfile::tempdir().unwrap();
    let serve = |arguments: &[&str]| {
        let data = directory.path().join("data");
        tidings(&["serve", "--no-mdns", "--data"]).arg(data).args(arguments).output().unwrap()
    };
    let open = serve(&["--http", "0.0.0.0:0"]);
    assert_fails(&open, 6, "does not listen on 0.0.0.0:0 without tokens");
    assert!(said(&open).contains("--tokens FILE"), "{}", said(&open));
    let missing = directory.path().join("tokens");
    let missing = missing.to_str().unwrap();
    assert_fails(&serve(&["--tokens", missing]), 2, "tidings token new --tokens");
    let new = |arguments: &[&str]| {
        let command = ["token", "new", "--tokens", missing, "--name"];
        tidings(&command).args(arguments).output().unwrap()
    };
    assert_fails(&new(&["a", "--scope", "root"]), 2, "read, write or admin");
    assert_fails(&new(&["a b", "--scope", "read"]), 2, "without spaces");
    assert_fails(&new(&["a", "--scope", "read", "--path", "["]), 2, "the matcher \"[\"");
    assert!(!Path::new(missing).exists() && !directory.path().join("data").exists());
    let unnamed = tidings(&["token", "list"]).output().unwrap();
    assert_fails(&unnamed, 2, "--tokens FILE");
}
