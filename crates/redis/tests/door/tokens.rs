//! Who may speak, where the door asks for tokens.

use tidings_tokens::Scope;

use crate::support::{Client, Door, request};

const NO_AUTH: &str = "-NOAUTH Authentication required.\r\n";
const NO_AUTH_HELLO: &str = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n";
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const OK: &str = "+OK\r\n";

/// The refusal of a command.
fn no_permission(command: &str, why: &str) -> String {
    format!("-NOPERM this user has no permissions to run the '{command}' command: {why}\r\n")
}

/// A client that sent a token, in either version of the protocol.
async fn let_in(door: &Door, resp3: bool, token: &str) -> Client {
    let mut client = door.client().await;
    if resp3 {
        client.send(format!("HELLO 3 AUTH default {token}\r\n").as_bytes()).await;
        client.skip_past(b"modules\r\n*0\r\n").await;
    } else {
        client.each(&[(&format!("AUTH {token}"), OK)]).await;
    }
    client
}

/// Before a token there is only what Redis lets strangers do, and the order of its errors.
#[tokio::test]
async fn strangers_may_do_little() {
    let (door, guard) = Door::guarded().await;
    guard.token("app", Scope::Admin, &[]);
    let mut client = door.client().await;
    for line in [
        "CLIENT LIST",
        "COMMAND COUNT",
        "CONFIG GET save",
        "DBSIZE",
        "DEL k",
        "DISCARD",
        "ECHO hi",
        "EXEC",
        "FLUSHDB",
        "GET k",
        "INFO",
        "KEYS *",
        "MULTI",
        "PING",
        "PSUBSCRIBE __key*",
        "SCAN 0",
        "SELECT 1",
        "SET k v",
        "SUBSCRIBE __keyspace@0__:k",
        "UNSUBSCRIBE",
        "WAIT 0 0",
        "WATCH k",
    ] {
        client.each(&[(line, NO_AUTH)]).await;
    }
    client
        .each(&[
            ("HELLO", NO_AUTH_HELLO),
            ("HELLO 3", NO_AUTH_HELLO),
            ("HELLO 3 SETNAME me", NO_AUTH_HELLO),
            ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
            ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
            ("NOTHING", "-ERR unknown command 'NOTHING', with args beginning with: \r\n"),
            ("RESET", "+RESET\r\n"),
            ("GET k", NO_AUTH),
            ("QUIT", OK),
        ])
        .await;
    assert_eq!(client.closed().await, b"");
    assert!(door.peer.database("redis/0").await.unwrap().get("k").await.unwrap().is_none());
    door.stop().await;
}

/// Every way to send a token, right and wrong.
#[tokio::test]
async fn a_token_lets_in() {
    let (door, guard) = Door::guarded().await;
    let app = guard.token("app", Scope::Write, &[]);
    let eye = guard.token("eye", Scope::Read, &[]);
    for words in [vec![], vec!["default"], vec!["app"]] {
        let mut client = door.client().await;
        let auth = [&["AUTH"][..], &words, &[&app]].concat().join(" ");
        client.each(&[("GET none", NO_AUTH), (&auth, OK)]).await;
        client.all(&[("GET none", "$-1\r\n"), ("SET k v", OK)]).await;
        client.each(&[("RESET", "+RESET\r\n"), ("GET none", NO_AUTH)]).await;
    }
    let long = "x".repeat(600);
    let mut client = door.client().await;
    for wrong in ["x", "eye", &app[1..], &long, &format!("eye {app}"), "app x", "none x"] {
        client.each(&[(&format!("AUTH {wrong}"), WRONG), ("GET none", NO_AUTH)]).await;
    }
    client.send(&request(&[b"AUTH", b"\xff\xfe"])).await;
    client.answers(WRONG).await;
    client.each(&[(&format!("HELLO 3 AUTH eye {app}"), WRONG), ("GET none", NO_AUTH)]).await;

    // A wrong one leaves who the client was, and a right one changes it.
    let mut client = let_in(&door, false, &eye).await;
    client.each(&[("AUTH x", WRONG)]).await;
    client.all(&[("GET none", "$-1\r\n")]).await;
    client.each(&[(&format!("AUTH {app}"), OK), ("SET k w", OK)]).await;
    client.all(&[("AUTH a b c", "-ERR syntax error\r\n")]).await;

    let mut client = door.client().await;
    client.send(format!("HELLO 3 AUTH app {app} SETNAME me\r\n").as_bytes()).await;
    client.answers("%7\r\n").await;
    client.skip_past(b"modules\r\n*0\r\n").await;
    client.all(&[("GET none", "_\r\n"), ("HELLO 3 AUTH default x", WRONG)]).await;
    client.send(b"CLIENT LIST\r\nINFO\r\nECHO end\r\n").await;
    let told = String::from_utf8(client.read_past(b"$3\r\nend\r\n").await).unwrap();
    assert!(told.contains(" name=me ") && told.contains(" user=app "), "{told}");
    assert!(told.contains("db0:keys=1"), "{told}");
    for token in [&app, &eye] {
        assert!(!told.contains(token.as_str()), "{told}");
    }
    // A token in a wrong place is not said again.
    let cut = "-ERR unknown command 'tidings_…', with args beginning with: 'tidings_…' \r\n";
    client.all(&[(&format!("{app} {app}"), cut)]).await;
    client.each(&[("RESET", "+RESET\r\n"), ("HELLO 3", NO_AUTH_HELLO)]).await;
    door.stop().await;
}

/// What each scope may do, and where.
#[tokio::test]
async fn commands_need_a_scope_for_their_database() {
    let (door, guard) = Door::guarded().await;
    let app = guard.token("app", Scope::Write, &["data/*"]);
    let eye = guard.token("eye", Scope::Read, &[]);
    let small = "the token \"eye\" has the scope read, and this needs the scope write";
    let elsewhere = |scope: &str, path: &str| {
        format!(
            "the token \"app\" is for databases at data/*, and not for \"{path}\"; this needs a token with the scope {scope} for that path"
        )
    };
    for resp3 in [false, true] {
        let null = if resp3 { "_\r\n" } else { "$-1\r\n" };
        let mut client = let_in(&door, resp3, &eye).await;
        client.all(&[("GET none", null), ("DBSIZE", ":0\r\n"), ("PING", "+PONG\r\n")]).await;
        for (name, rest) in [
            ("set", " k v"),
            ("del", " k"),
            ("flushdb", ""),
            ("getex", " k"),
            ("expire", " k 1"),
            ("incr", " k"),
            ("mset", " k v"),
        ] {
            client.all(&[(&format!("{name}{rest}"), &no_permission(name, small))]).await;
        }
        client.all(&[("SELECT data/a", OK), ("SET k v", &no_permission("set", small))]).await;

        let mut client = let_in(&door, resp3, &app).await;
        client
            .all(&[
                ("PING", "+PONG\r\n"),
                ("GET k", &no_permission("get", &elsewhere("read", "redis/0"))),
                ("SET k v", &no_permission("set", &elsewhere("write", "redis/0"))),
                ("WAIT 0 0", &no_permission("wait", &elsewhere("read", "redis/0"))),
                ("SELECT data/a", OK),
                ("SET k v", OK),
                ("GET k", "$1\r\nv\r\n"),
                ("SELECT 1", &no_permission("select", &elsewhere("read", "redis/1"))),
                ("SELECT nowhere", &no_permission("select", &elsewhere("read", "nowhere"))),
                ("GET k", "$1\r\nv\r\n"),
                ("FLUSHDB", OK),
                ("GET k", null),
            ])
            .await;
        // The keys of a database are counted for who may read it only.
        let head = if resp3 { "=16\r\ntxt:" } else { "$12\r\n" };
        door.peer.database("redis/0").await.unwrap().put("k", "v").await.unwrap();
        let mut client = let_in(&door, resp3, &app).await;
        client.all(&[("INFO keyspace", &format!("{head}# Keyspace\r\n\r\n"))]).await;
        door.peer.database("redis/0").await.unwrap().delete("k").await.unwrap();
    }
    door.stop().await;
}

/// A transaction is refused when it is queued, as far as that is known then, and else when it runs.
#[tokio::test]
async fn transactions_need_what_their_commands_need() {
    let (door, guard) = Door::guarded().await;
    let app = guard.token("app", Scope::Write, &["data/*"]);
    let eye = guard.token("eye", Scope::Read, &[]);
    let small = "the token \"eye\" has the scope read, and this needs the scope write";
    let refused = no_permission("set", small);
    let queued = "+QUEUED\r\n";
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    let mut client = let_in(&door, false, &eye).await;
    client
        .each(&[("MULTI", OK), ("GET k", queued), ("SET k v", &refused), ("EXEC", aborted)])
        .await;

    let mut client = let_in(&door, false, &app).await;
    client.each(&[("MULTI", OK), ("SELECT data/a", queued), ("SET k v", queued)]).await;
    client.each(&[("SELECT 1", queued), ("GET k", queued)]).await;
    client.each(&[(&format!("AUTH {eye}"), queued), ("SET k w", queued)]).await;
    client.send(b"EXEC\r\n").await;
    let elsewhere = no_permission(
        "select",
        "the token \"app\" is for databases at data/*, and not for \"redis/1\"; this needs a token with the scope read for that path",
    );
    client.answers(format!("*6\r\n{OK}{OK}{elsewhere}$1\r\nv\r\n{OK}{refused}")).await;
    let database = door.peer.database("data/a").await.unwrap();
    assert_eq!(database.get("k").await.unwrap().unwrap(), b"v");
    door.stop().await;
}

/// A token that is revoked is refused from the next command on, in a transaction too; others stay.
#[tokio::test]
async fn a_revoked_token_is_refused() {
    let (door, guard) = Door::guarded().await;
    let app = guard.token("app", Scope::Write, &[]);
    let eye = guard.token("eye", Scope::Read, &[]);
    for resp3 in [false, true] {
        let again = guard.token("brief", Scope::Write, &[]);
        let null = if resp3 { "_\r\n" } else { "$-1\r\n" };
        let mut client = let_in(&door, resp3, &again).await;
        let mut other = let_in(&door, resp3, &eye).await;
        let mut transaction = let_in(&door, resp3, &again).await;
        client.all(&[("GET none", null)]).await;
        transaction.each(&[("MULTI", OK), ("SET k v", "+QUEUED\r\n")]).await;
        guard.revoke("brief");
        client.each(&[("GET none", NO_AUTH), (&format!("AUTH {again}"), WRONG)]).await;
        transaction.each(&[("EXEC", NO_AUTH)]).await;
        other.all(&[("GET none", null)]).await;
        // The same name is not the same token.
        guard.token("brief", Scope::Write, &[]);
        client.each(&[("GET none", NO_AUTH), (&format!("AUTH {app}"), OK)]).await;
        client.all(&[("GET none", null)]).await;
        other.all(&[("GET k", null)]).await;
        guard.revoke("brief");
    }
    door.stop().await;
}

/// Events need `read` for their database, all or none of a command, and end with the token.
#[tokio::test]
async fn subscriptions_need_a_token_as_long_as_they_last() {
    let (door, guard) = Door::guarded().await;
    let root = guard.token("root", Scope::Admin, &[]);
    for resp3 in [false, true] {
        let app = guard.token("app", Scope::Read, &["data/*"]);
        let mut client = let_in(&door, resp3, &app).await;
        let elsewhere = |command: &str, path: &str| {
            no_permission(
                command,
                &format!(
                    "the token \"app\" is for databases at data/*, and not for \"{path}\"; this needs a token with the scope read for that path"
                ),
            )
        };
        client
            .all(&[
                ("SUBSCRIBE __keyspace@0__:k", &elsewhere("subscribe", "redis/0")),
                (
                    "SUBSCRIBE __keyspace@data/a__:k __keyevent@small/a__:set",
                    &elsewhere("subscribe", "small/a"),
                ),
                ("PSUBSCRIBE __keyspace@nowhere__:*", &elsewhere("psubscribe", "nowhere")),
                ("PSUBSCRIBE __key*__:*", &elsewhere("psubscribe", "redis/0")),
            ])
            .await;
        let kind = if resp3 { '>' } else { '*' };
        client.send(b"SUBSCRIBE __keyevent@data/a__:set\r\n").await;
        client.answers(format!("{kind}3\r\n$9\r\nsubscribe\r\n")).await;
        client.skip_past(b":1\r\n").await;
        let mut idle = let_in(&door, resp3, &app).await;
        let mut stays = let_in(&door, resp3, &root).await;
        stays.send(b"SUBSCRIBE __keyevent@data/a__:set\r\n").await;
        stays.skip_past(b":1\r\n").await;
        let database = door.peer.database("data/a").await.unwrap();
        database.put("one", "v").await.unwrap();
        let message = |key: &str| {
            let name = "$23\r\n__keyevent@data/a__:set\r\n";
            format!("{kind}3\r\n$7\r\nmessage\r\n{name}$3\r\n{key}\r\n")
        };
        client.answers(message("one")).await;
        stays.answers(message("one")).await;
        if resp3 {
            let listens =
                "-ERR a connection that listens cannot become another user: unsubscribe first\r\n";
            let (same, other) = (format!("AUTH {app}"), format!("AUTH {root}"));
            client.all(&[(&other, listens), (&same, OK)]).await;
        }
        guard.revoke("app");
        assert_eq!(client.closed().await, b"");
        idle.each(&[("PING", NO_AUTH)]).await;
        database.put("two", "v").await.unwrap();
        stays.answers(message("two")).await;
    }
    door.stop().await;
}

/// So many wrong tokens end a connection, whatever comes between them.
#[tokio::test]
async fn who_guesses_is_let_go() {
    let (door, guard) = Door::guarded().await;
    let app = guard.token("app", Scope::Write, &[]);
    let (right, wrong) = (format!("AUTH {app}"), format!("AUTH {app}x"));
    let mut client = door.client().await;
    for _ in 0..8 {
        client.each(&[(&wrong, WRONG), ("RESET", "+RESET\r\n")]).await;
    }
    client.each(&[(&format!("HELLO 3 AUTH default {app}x"), WRONG), (&right, OK)]).await;
    client.all(&[("SET k v", OK)]).await;
    client.each(&[(&wrong, WRONG)]).await;
    assert_eq!(client.closed().await, b"");
    // The next connection begins anew.
    let mut client = door.client().await;
    client.each(&[(&wrong, WRONG), (&right, OK)]).await;
    door.stop().await;
}

/// A stranger cannot make the door keep long requests; who is let in may send them.
#[tokio::test]
async fn strangers_send_short_requests() {
    let (door, guard) = Door::guarded().await;
    let app = guard.token("app", Scope::Write, &[]);
    let value = vec![b'x'; 40_000];
    let set = request(&[b"SET", b"k", &value]);
    let mut stranger = door.client().await;
    // All but the end: complete, it would be answered.
    stranger.send(&set[..set.len() - 2]).await;
    let told = stranger.closed().await;
    // A reset may take the answer away.
    let error = b"-ERR Protocol error: unauthenticated bulk length\r\n";
    assert!(error.starts_with(&told), "{}", told.escape_ascii());
    let mut client = let_in(&door, false, &app).await;
    client.send(&set).await;
    client.answers(OK).await;
    door.stop().await;
}
