//! What a connection agrees on, and what it may ask about the server.

use crate::support::Door;

/// Everything that is about the connection itself.
#[tokio::test]
async fn a_connection_tells_about_itself() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("PING", "+PONG\r\n"),
            ("ping hello", "$5\r\nhello\r\n"),
            ("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
            ("ECHO hi", "$2\r\nhi\r\n"),
            ("ECHO", "-ERR wrong number of arguments for 'echo' command\r\n"),
            ("CLIENT ID", ":1\r\n"),
            ("CLIENT GETNAME", "$-1\r\n"),
            ("CLIENT SETNAME me", "+OK\r\n"),
            ("CLIENT GETNAME", "$2\r\nme\r\n"),
            (
                "CLIENT SETNAME \"a b\"",
                "-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
            ),
            ("CLIENT SETINFO LIB-NAME test", "+OK\r\n"),
            ("CLIENT SETINFO lib-ver 1.0", "+OK\r\n"),
            ("CLIENT SETINFO foo x", "-ERR Unrecognized option 'foo'\r\n"),
            (
                "CLIENT SETINFO lib-ver \"1 0\"",
                "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n",
            ),
            ("CLIENT NO-EVICT ON", "+OK\r\n"),
            ("CLIENT NO-TOUCH off", "+OK\r\n"),
            ("CLIENT NO-EVICT x", "-ERR syntax error\r\n"),
            ("CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command\r\n"),
            ("CLIENT KILL x", "-ERR unknown subcommand 'KILL'. Try CLIENT HELP.\r\n"),
        ])
        .await;
    client.send(b"SELECT data/a\r\nMULTI\r\nDISCARD\r\nCLIENT LIST\r\n").await;
    let text = String::from_utf8(client.read_past(b"path=data/a\n\r\n").await).unwrap();
    for part in
        ["id=1 ", " name=me ", " db=-1 ", " resp=2 ", " lib-name=test lib-ver=1.0 keyspace= "]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    client
        .all(&[
            ("CLIENT LIST TYPE replica", "$0\r\n\r\n"),
            ("CLIENT LIST TYPE pubsub", "$0\r\n\r\n"),
            ("CLIENT LIST TYPE x", "-ERR Unknown client type 'x'\r\n"),
            ("CLIENT LIST ID 7 8", "$0\r\n\r\n"),
            ("CLIENT LIST ID 0", "-ERR Invalid client ID\r\n"),
            ("CLIENT LIST ID", "-ERR syntax error\r\n"),
            (
                "CONFIG HELP",
                "*3\r\n+CONFIG <subcommand> [<arg> ...]. Subcommands are:\r\n+GET\r\n+HELP\r\n",
            ),
            ("SELECT data/a KEYSPACE \"a b=%\"", "+OK\r\n"),
        ])
        .await;
    // Clients take the line apart at blanks and equals signs.
    for asked in ["CLIENT LIST TYPE normal\r\n", "CLIENT LIST ID 7 1\r\n", "CLIENT INFO\r\n"] {
        client.send(asked.as_bytes()).await;
        let text = String::from_utf8(client.read_past(b"path=data/a\n\r\n").await).unwrap();
        let (_, line) = text.split_once("\r\n").unwrap();
        let fields: Vec<_> = line.split_whitespace().map(|field| field.split('=')).collect();
        assert!(fields.iter().all(|parts| parts.clone().count() == 2), "{line}");
        let named: Vec<_> = fields.into_iter().filter_map(|mut parts| parts.next()).collect();
        for name in "argv-mem oll obl qbuf-free omem tot-mem events redir keyspace".split(' ') {
            assert!(named.contains(&name), "{name} is not in {line}");
        }
        assert!(line.contains(" keyspace=a%20b%3D%25 "), "{line}");
    }
    client.all(&[("RESET", "+RESET\r\n"), ("CLIENT GETNAME", "$-1\r\n")]).await;
    client.send(b"QUIT\r\nPING\r\n").await;
    assert_eq!(client.closed().await, b"+OK\r\n");
    door.stop().await;
}

/// `HELLO` agrees on the version, and `AUTH` answers as where no password is set.
#[tokio::test]
async fn hello_agrees_on_the_version() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let about = "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:PROTO\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    let (two, three) = (about.replace("PROTO", "2"), about.replace("PROTO", "3"));
    let (two, three) = (format!("*14\r\n{two}"), format!("%7\r\n{three}"));
    let no_password = "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n";
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    client
        .all(&[
            ("HELLO", &two),
            ("HELLO 3", &three),
            ("HELLO", &three),
            ("GET none", "_\r\n"),
            ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
            ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
            ("HELLO 2 foo", "-ERR Syntax error in HELLO option 'foo'\r\n"),
            ("HELLO 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n"),
            ("HELLO 2 AUTH someone x", wrong),
            ("GET none", "_\r\n"),
            ("HELLO 2 AUTH default x SETNAME me", &two),
            ("GET none", "$-1\r\n"),
            ("CLIENT GETNAME", "$2\r\nme\r\n"),
            ("AUTH x", no_password),
            ("AUTH default x", "+OK\r\n"),
            ("AUTH someone x", wrong),
            ("AUTH a b c", "-ERR syntax error\r\n"),
        ])
        .await;
    door.stop().await;
}

/// What clients and benchmarks ask of a server before they begin.
#[tokio::test]
async fn a_server_tells_about_itself() {
    let door = Door::start().await;
    let (mut client, mut client3) = (door.client().await, door.client3().await);
    client
        .all(&[
            ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
            ("CONFIG GET nothing", "*0\r\n"),
            (
                "CONFIG GET DATA* save",
                "*4\r\n$9\r\ndatabases\r\n$2\r\n16\r\n$4\r\nsave\r\n$0\r\n\r\n",
            ),
            ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"),
            ("CONFIG SET save x", "-ERR unknown subcommand 'SET'. Try CONFIG HELP.\r\n"),
            ("INFO nothing", "$0\r\n\r\n"),
            ("SET k v", "+OK\r\n"),
            ("INFO keyspace", "$24\r\n# Keyspace\r\ndb0:keys=1\r\n\r\n"),
        ])
        .await;
    client3
        .all(&[
            ("CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"),
            ("INFO keyspace", "=28\r\ntxt:# Keyspace\r\ndb0:keys=1\r\n\r\n"),
        ])
        .await;
    client.send(b"INFO\r\n").await;
    let text = String::from_utf8(client.read_past(b"db0:keys=1\r\n\r\n").await).unwrap();
    for part in ["redis_version:7.0.15", "server_name:tidings", "loading:0", "role:master"] {
        assert!(text.contains(&format!("\r\n{part}\r\n")), "{part} is not in {text}");
    }
    assert!(text.contains("connected_clients:2"), "{text}");
    door.stop().await;
}

/// The description of the commands.
#[tokio::test]
async fn commands_are_described() {
    let door = Door::start().await;
    let (mut client, mut client3) = (door.client().await, door.client3().await);
    let get = "$3\r\nget\r\n:2\r\nS2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\nS3\r\n+@string\r\n+@read\r\n+@fast\r\nS0\r\nS0\r\nS0\r\n";
    let docs = "$3\r\nget\r\nM$7\r\nsummary\r\n$14\r\nTells a value.\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nstring\r\n";
    client
        .all(&[
            ("COMMAND INFO get none", &format!("*2\r\n*10\r\n{}$-1\r\n", get.replace('S', "*"))),
            ("COMMAND DOCS get none", &format!("*2\r\n{}", docs.replace('M', "*6\r\n"))),
            ("COMMAND LIST FILTERBY PATTERN get?x", "*1\r\n$5\r\ngetex\r\n"),
            ("COMMAND LIST foo", "-ERR syntax error\r\n"),
            ("COMMAND FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.\r\n"),
            ("COMMAND COUNT x", "-ERR wrong number of arguments for 'command|count' command\r\n"),
        ])
        .await;
    client3
        .all(&[
            ("COMMAND INFO get none", &format!("*2\r\n*10\r\n{}_\r\n", get.replace('S', "~"))),
            ("COMMAND DOCS get none", &format!("%1\r\n{}", docs.replace('M', "%3\r\n"))),
        ])
        .await;
    client.send(b"COMMAND COUNT\r\n").await;
    let count = String::from_utf8(client.read_past(b"\r\n").await).unwrap();
    client.send(b"COMMAND\r\n").await;
    client.answers(count.replace(':', "*")).await;
    door.stop().await;
}
