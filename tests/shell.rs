//! The shell: one command after another, from a file and from a terminal.
//!
//! The terminal is one of `script`, of util-linux; where that is missing, its test says loudly that it is
//! skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use support::{DEADLINE, Peer, assert_fails, code, found_within, said, tell, tidings, wait_for};

/// Lines of standard input run up to the first that fails, and its exit code is that of the shell.
#[test]
fn lines_run_up_to_the_first_that_fails() {
    let peer = Peer::start();
    let lines = "put data/a 'a key' \"a value\" -ojson\n\n  \nuse data/a\nget 'a key' -o table\n\
                 use\nget data/a 'a key' -o table\nincr data/b n 7\nexit\nget data/a missing\n";
    let output = peer.piped(&["shell"], lines.as_bytes());
    assert_eq!(code(&output), 0, "{}", said(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed[printed.len() - 3..], ["a value", "a value", "7"], "{printed:?}");

    // Options of the shell are those of its commands, unless they have their own.
    let output = peer.piped(&["shell", "data/b", "-ojsonl"], b"get n\nget n -oraw\n");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with('{') && printed.ends_with("}\n7"), "{printed}");

    let fails = |lines: &str, expected, why| {
        let output = peer.piped(&["shell"], lines.as_bytes());
        assert_fails(&output, expected, why);
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    fails("# why\nno such\nput data/a k never", 2, "stopped at line 2");
    fails("\nget data/a missing\nget data/a 'a key'\n", 1, "line 2: the key \"missing\"");
    fails("use nowhere\n", 6, "line 1: no definition matches");
    fails("get 'data/a\n", 2, "line 1: \"get 'data/a\" ends within quotes");
    fails("serve\n", 2, "run `tidings serve` outside");
    fails("help get extra words\n", 2, "stopped at line 1");
    assert_fails(&peer.run(&["shell", "nowhere"]), 6, "no definition matches");
}

/// At a terminal: a prompt with the database in use, an error that ends nothing, an interrupted watch,
/// completion, and lines that are there the next time.
#[test]
fn a_terminal_has_a_prompt_and_a_history() {
    if Command::new("script").arg("--version").output().is_err() {
        tell("SKIPPED: a_terminal_has_a_prompt_and_a_history needs `script`");
        return;
    }
    let peer = Peer::start();
    let state = tempfile::tempdir().unwrap();
    // In place of the shell of `script`, which would end by the interrupt that is meant for the watch.
    let line = format!("exec {} --http {} shell", env!("CARGO_BIN_EXE_tidings"), peer.http);
    let converse = |typed: &[(&str, &str)]| {
        let log = state.path().join("screen");
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new("script");
        command.args(["-qefc", &line]).arg(&log);
        for (unset, _) in tidings::<&str>(&[]).get_envs() {
            command.env_remove(unset);
        }
        command.env("XDG_STATE_HOME", state.path()).env("TERM", "xterm");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.as_mut().unwrap();
        let screen =
            || String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
        let mut seen = 0;
        for (expected, next) in typed {
            let what = format!("{expected:?}, to be followed by {next:?},");
            seen = wait_for(&what, || {
                let screen = screen();
                screen.get(seen..)?.find(expected).map(|at| seen + at + expected.len())
            });
            child.stdin.as_mut().unwrap().write_all(next.as_bytes()).unwrap();
        }
        let status = found_within(DEADLINE, || child.try_wait().unwrap());
        assert!(status.is_some_and(|status| status.success()), "{status:?}: {}", screen());
    };
    converse(&[
        ("tidings> ", "use data/a\r"),
        ("data/a> ", "put k first\r"),
        ("data/a> ", "get missing\r"),
        ("is not in the database", "watch\r"),
        ("watching data/a", "\u{3}"),
        ("stopped by an interrupt signal", "pee\t\r"),
        ("round trip", " get k -otable\r"),
        ("first", ""),
        ("data/a> ", "\u{4}"),
    ]);
    let history = state.path().join("tidings/history");
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("put k first\n") && !kept.contains("-otable"), "{kept}");
    // The fourth line from the end, again.
    let up = "\u{1b}[A";
    let again = format!("{up}{up}{up}{up}\r");
    converse(&[("tidings> ", "use data/a\r"), ("data/a> ", &again), ("is not in", "exit\r")]);
}
