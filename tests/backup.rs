//! `tidings backup` and `tidings restore`: a running peer is copied, and the copy is a peer of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{Peer, assert_fails, code, file, said, tidings, wait_for};

const PATH: &str = "data/backup";

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Restores a backup into `data` of a new home, and starts a peer on it.
fn restored(backup: &str, arguments: &[&str]) -> Peer {
    let home = tempfile::tempdir().unwrap();
    let data = text(&home.path().join("data"));
    let mut line = vec!["restore", backup, "--data", &data, "-o", "json"];
    line.extend(arguments);
    let output = tidings(&line).output().unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["databases"], 1);
    Peer::bare(home, &[])
}

#[test]
fn a_peer_is_backed_up_and_restored() {
    let peer = Peer::start();
    for n in 0..50 {
        peer.printed(&["put", PATH, &format!("key {n:02}"), "then"]);
    }
    peer.printed(&["put", PATH, "k", "in a keyspace", "--keyspace", "other"]);
    let exported = peer.printed(&["export", PATH]);

    let backup = text(&peer.directory.path().join("backup"));
    let told = peer.printed(&["backup", &backup, "-o", "json"]);
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["peer"], peer.ready["peer"]);
    assert_eq!(told["bytes"], fs::metadata(&backup).unwrap().len());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_fails(&peer.run(&["backup", &backup]), 2, "or --replace it");
    #[cfg(unix)]
    {
        let link = text(&peer.directory.path().join("link"));
        std::os::unix::fs::symlink(&backup, &link).unwrap();
        peer.printed(&["backup", "--replace", &link]);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let socket = text(&peer.directory.path().join("socket"));
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_fails(&peer.run(&["backup", "--replace", &socket]), 2, "a device or a pipe");
    }
    peer.printed(&["put", PATH, "key 00", "later"]);
    peer.printed(&["delete", PATH, "key 01"]);

    // Beside the peer that goes on, which it knows nothing of.
    let other = restored(&backup, &[]);
    assert_ne!(other.ready["peer"], peer.ready["peer"]);
    assert_eq!(other.printed(&["export", PATH]), exported);
    assert_eq!(other.printed(&["get", PATH, "k", "--keyspace", "other"]), b"in a keyspace");
    other.printed(&["put", PATH, "key 02", "written by the restored one"]);
    // Its own start does not change that.
    let other = Peer::bare(other.stop(), &[]);
    assert_eq!(other.printed(&["get", PATH, "key 02"]), b"written by the restored one");
    let names = peer.printed(&["definitions", "list", "-o", "json"]);
    assert_eq!(other.printed(&["definitions", "list", "-o", "json"]), names);

    // Together again, they agree: what is newer stays.
    let address = peer.ready["listen"][0].as_str().unwrap().to_owned();
    let other = Peer::bare(other.stop(), &["--peer", &address]);
    wait_for("agreement", || {
        let one = peer.run(&["export", PATH]).stdout;
        let two = other.run(&["export", PATH]).stdout;
        let whole = String::from_utf8_lossy(&one).contains("written by the restored one");
        (one == two && whole).then_some(())
    });
    for peer in [&peer, &other] {
        assert_eq!(peer.printed(&["get", PATH, "key 00"]), b"later");
        assert_eq!(code(&peer.run(&["get", PATH, "key 01"])), 1);
    }
}

#[test]
fn a_backup_in_a_directory_has_a_name_of_its_own() {
    let peer = Peer::start();
    peer.printed(&["put", PATH, "k", "v"]);
    let folder = peer.directory.path().join("backups");
    fs::create_dir(&folder).unwrap();
    let told = peer.printed(&["backup", &text(&folder)]);
    let found: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [backup] = found.as_slice() else { panic!("{found:?}") };
    assert!(String::from_utf8(told).unwrap().contains(&text(backup)));
    let check = tidings(&["restore", "--check", &text(backup)]).output().unwrap();
    assert_eq!(code(&check), 0, "{}", said(&check));
    drop(restored(&text(backup), &["--alone"]));
}

#[test]
fn what_cannot_be_restored_is_left_alone() {
    let peer = Peer::start();
    for n in 0..20 {
        peer.printed(&["put", PATH, &format!("{n}"), &"x".repeat(10_000)]);
    }
    let home = peer.directory.path().to_owned();
    let backup = home.join("backup");
    peer.printed(&["backup", &text(&backup)]);
    let restore = |backup: &str, data: &Path| {
        tidings(&["restore", backup, "--data"]).arg(data).output().unwrap()
    };

    assert_fails(&restore(&text(&backup), &peer.data()), 6, "is not empty");
    assert_fails(&restore(&text(&home.join("none")), &home.join("c")), 2, "cannot read");
    let letter = file(&home, "letter", "dear");
    assert_fails(&restore(&letter, &home.join("c")), 2, "it is no backup");
    assert!(!home.join("c").exists());

    let bytes = fs::read(&backup).unwrap();
    let cut = file(&home, "cut", &bytes[..bytes.len() - 20]);
    assert_fails(&restore(&cut, &home.join("c")), 2, "is cut off");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 4;
    let damaged = file(&home, "damaged", damaged);
    let check = tidings(&["restore", "--check", &damaged]).output().unwrap();
    assert_fails(&check, 2, "is damaged between bytes");
    assert_fails(&restore(&damaged, &home.join("c")), 2, "is damaged between bytes");
    // What they left serves nobody, and a whole backup makes it whole.
    let serve = tidings(&["serve", "--http", "127.0.0.1:0", "--data"]).arg(home.join("c")).output();
    assert_fails(&serve.unwrap(), 6, "run `tidings restore` again");
    let output = restore(&text(&backup), &home.join("c"));
    assert_eq!(code(&output), 0, "{}", said(&output));
}

/// A token needs the scope `admin`, and nothing but a peer that answers leaves a file.
#[test]
fn a_backup_that_fails_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let tokens = text(&home.path().join("tokens"));
    let make = |name: &str, scope: &str| {
        let line = ["token", "new", "--tokens", &tokens, "--name", name, "--scope", scope];
        let output = tidings(&line).output().unwrap();
        assert_eq!(code(&output), 0, "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (write, admin) = (make("w", "write"), make("a", "admin"));
    let peer = Peer::bare(tempfile::tempdir().unwrap(), &["--tokens", &tokens]);
    let backup = text(&home.path().join("backup"));
    assert_fails(&peer.run(&["backup", &backup, "--token", &write]), 4, "admin");
    assert_fails(
        &tidings(&["backup", &backup, "--http", "127.0.0.1:1"]).output().unwrap(),
        3,
        "no peer",
    );
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "only the tokens are there");
    let missing = text(&home.path().join("missing/backup"));
    assert_fails(&peer.run(&["backup", &missing, "--token", &admin]), 2, "cannot create");
    let output = peer.run(&["backup", &backup, "--token", &admin]);
    assert_eq!(code(&output), 0, "{}", said(&output));
}

/// A disk that is full leaves no file, neither of a backup nor of one that was there.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_backup() {
    use std::process::Command;

    let peer = Peer::start();
    for n in 0..40 {
        peer.printed(&["put", PATH, &format!("{n}"), &"x".repeat(100_000)]);
    }
    let disk = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tidings-test"])
        .arg(disk.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        support::tell("SKIPPED: a full disk, since nothing can be mounted here");
        return;
    }
    let backup = text(&disk.path().join("backup"));
    fs::write(&backup, "an older one").unwrap();
    let output = peer.run(&["backup", "--replace", &backup]);
    let left: Vec<_> =
        fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let kept = fs::read(&backup).unwrap();
    // A restore that runs out of room is no directory that serves.
    let whole = text(&peer.directory.path().join("whole"));
    peer.printed(&["backup", &whole]);
    let data = text(&disk.path().join("data"));
    let restored = tidings(&["restore", &whole, "--data", &data]).output().unwrap();
    let serve = tidings(&["serve", "--http", "127.0.0.1:0", "--data", &data]).output().unwrap();
    let _ = Command::new("umount").arg("--lazy").arg(disk.path()).output();
    assert_fails(&output, 6, "cannot write");
    assert_eq!((left.len(), kept.as_slice()), (1, &b"an older one"[..]), "{left:?}");
    assert_fails(&restored, 6, "space");
    assert_fails(&serve, 6, "unfinished");
}
