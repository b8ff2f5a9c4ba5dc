//! The demonstration is a test: it ends with success only if everything that it promises held.

mod support;

use support::{code, said, tidings};

/// Three real peers find each other, converge, lose one to SIGKILL, and lose no acknowledged write.
#[test]
fn the_demonstration_holds() {
    let output = tidings(&["demo"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(code(&output), 0, "{told}\n{}", said(&output));
    assert!(told.contains("killed carol") && !told.contains('✗'), "{told}");
    assert!(!told.contains('\u{1b}'), "no colour off a terminal: {told}");
}
