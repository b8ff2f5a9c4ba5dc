//! The first files of every corpus, from what the repository has: golden messages and rows, recorded
//! talks of two nodes, requests of Redis clients, definitions and scenarios.
//!
//! ```sh
//! TIDINGS_SEEDS=DIR cargo test --test corpora -- --ignored seeds    # DIR/peer, DIR/redis, …
//! ```

use std::fs;
use std::path::Path;

use super::harness::{self, Harness, OTHERS, OWN, definitions, messages};
use super::peer::{step, take_step};
use tidings_core::node::Input;
use tidings_core::store::MemoryStore;
use tidings_core::wire;

/// Two nodes that talk, and what the one under test is fed on the way.
struct Talk {
    script: Vec<u8>,
    own: Harness,
    other: Harness,
}

impl Talk {
    fn begin() -> Self {
        let mut other = Harness::start(MemoryStore::new(), OTHERS[0]).expect("an empty store");
        other.node.apply(&definitions(), other.now).expect("definitions");
        let mut talk = Self { script: vec![1], own: Harness::prepared(), other };
        talk.connect();
        talk
    }

    fn connect(&mut self) {
        self.own_step(&[step::CONNECT]);
        self.other.feed(Input::Connected(OWN));
        self.settle();
    }

    fn part(&mut self) {
        self.own_step(&[step::DISCONNECT]);
        self.other.feed(Input::Disconnected(OWN));
        self.settle();
    }

    /// A step of the node under test.
    fn own_step(&mut self, bytes: &[u8]) {
        self.script.extend_from_slice(bytes);
        take_step(&mut self.own, &mut &*bytes).expect("a whole step");
    }

    /// What both say to each other, until nothing is left to say.
    fn settle(&mut self) {
        loop {
            let said = std::mem::take(&mut self.own.sent);
            for input in said {
                match input {
                    Input::Frames(to, frames) if to == OTHERS[0] => {
                        self.other.feed(Input::Frames(OWN, frames));
                    }
                    Input::Probe(to, packet) if to == OTHERS[0] => {
                        self.other.feed(Input::Probe(OWN, packet));
                    }
                    _ => {}
                }
            }
            self.other.feed(Input::Synced(self.other.ticket));
            self.own_step(&[step::SYNCED]);
            let said = std::mem::take(&mut self.other.sent);
            if said.is_empty() && self.own.sent.is_empty() {
                return;
            }
            for input in said {
                match input {
                    Input::Frames(_, frames) => frames.iter().for_each(|frame| self.say(frame)),
                    Input::Probe(_, packet) => {
                        let mut bytes = vec![step::PROBE];
                        wire::append(&mut bytes, &(packet.len() as u16));
                        bytes.extend_from_slice(&packet);
                        self.own_step(&bytes);
                    }
                    _ => {}
                }
            }
        }
    }

    fn say(&mut self, frame: &[u8]) {
        for several in messages(frame).chunks(7) {
            let mut bytes = match several {
                [_] => vec![step::MESSAGE],
                several => vec![step::MESSAGES, several.len() as u8],
            };
            for message in several {
                wire::append(&mut bytes, message);
            }
            self.own_step(&bytes);
        }
    }

    fn pass(&mut self, times: usize) {
        for _ in 0..times {
            self.own_step(&[step::TIME, 40]);
            self.other.pass(640, 60);
            self.settle();
        }
    }
}

/// Talks: about two peers that meet, write, part, drop, drain and start again.
fn talks() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut tell = |what: &dyn Fn(&mut Talk)| {
        let mut talk = Talk::begin();
        what(&mut talk);
        all.push(talk.script);
    };
    let write = |talk: &mut Talk, path: &str, byte: u8| {
        let payload = tidings_core::record::Payload::Value(vec![byte; 3], None);
        talk.other.write(path, vec![harness::write(b"k", payload)]);
        talk.settle();
    };
    tell(&|talk| talk.pass(2));
    tell(&|talk| {
        talk.pass(4);
        write(talk, "notes/ann", 1);
        talk.own_step(&[step::WRITE, 0x24]);
        talk.settle();
        talk.pass(1);
    });
    tell(&|talk| {
        write(talk, "notes/bob", 2);
        talk.pass(6);
        talk.own_step(&[step::CALL, 1 | 2 << 2]);
        talk.own_step(&[step::WRITE, 1]);
        talk.settle();
        talk.pass(4);
    });
    tell(&|talk| {
        talk.pass(4);
        talk.part();
        write(talk, "notes/ann", 3);
        talk.own_step(&[step::WRITE, 0x30]);
        talk.connect();
        talk.pass(4);
    });
    tell(&|talk| {
        talk.pass(4);
        talk.own_step(&[step::CALL, 3 << 2]);
        talk.settle();
        talk.pass(2);
        talk.own_step(&[step::WRITE, 0x30]);
        talk.settle();
        talk.pass(2);
    });
    tell(&|talk| {
        talk.pass(4);
        talk.own_step(&[step::CALL, 7 << 2 | 1]);
        talk.pass(4);
    });
    tell(&|talk| {
        write(talk, "log/1", 4);
        for call in [5, 4, 2] {
            talk.own_step(&[step::CALL, 2 | call << 2]);
            talk.settle();
        }
        write(talk, "log/1", 5);
        talk.pass(2);
        talk.own_step(&[step::RESTART]);
        talk.other.feed(Input::Disconnected(OWN));
        talk.connect();
        talk.pass(3);
    });
    all
}

fn golden(root: &Path) -> Vec<(String, Vec<u8>)> {
    let text = fs::read_to_string(root.join("crates/core/tests/golden.txt")).expect("golden");
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len()).step_by(2).map(digits).collect()
    };
    let parts = text.lines().map(|line| line.rsplit_once(": ").expect("a name and bytes"));
    parts.map(|(name, hex)| (name.to_owned(), bytes(hex))).collect()
}

fn peer(root: &Path) -> Vec<Vec<u8>> {
    let mut seeds = talks();
    let hello = [&[1, step::CONNECT, step::CONNECT | step::OTHER][..]].concat();
    for (name, bytes) in golden(root) {
        if name.starts_with("message") {
            seeds.push([&hello, &[step::MESSAGE][..], &bytes[1..]].concat());
            let mut framed = vec![wire::FORMAT_VERSION];
            framed.extend_from_slice(&(bytes.len() as u32 - 1).to_le_bytes());
            framed.extend_from_slice(&bytes[1..]);
            let length = (framed.len() as u32).to_le_bytes();
            seeds.push([&[60][..], &length, &framed].concat());
        } else if name.starts_with("probe") {
            let mut script = hello.clone();
            script.push(step::PROBE);
            wire::append(&mut script, &(bytes.len() as u16));
            seeds.push([&script[..], &bytes].concat());
            let length = (bytes.len() as u32).to_le_bytes();
            seeds.push([&[8][..], &length, &bytes, &[254, 255, 255, 255]].concat());
        }
    }
    seeds
}

fn stored(root: &Path) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (name, bytes) in golden(root) {
        seeds.push([&[0][..], &bytes].concat());
        let Some(rest) = name.strip_prefix("stored ") else { continue };
        let (space, hex) = rest.split_once(' ').expect("a space and a key");
        let key: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let number = ["data", "log", "meta"].iter().position(|own| *own == space).expect("a space");
        let mut row = vec![1, 9, number as u8];
        for part in [&key, &bytes] {
            wire::append(&mut row, &(part.len() as u16));
            row.extend_from_slice(part);
        }
        seeds.push(row);
        // The same value in the place of what a peer has.
        let kind = match key[0] {
            b's' => 0,
            b'b' => 1,
            b'p' => 3,
            b'd' => 4,
            _ => 5,
        };
        for number in [0_u8, 16, 17, 66] {
            let mut row = vec![1, kind, number];
            wire::append(&mut row, &(bytes.len() as u16));
            row.extend_from_slice(&bytes);
            seeds.push(row);
        }
    }
    seeds
}

/// Requests as clients send them.
fn redis() -> Vec<Vec<u8>> {
    let lines = [
        "PING|ECHO hi|SET k v|GET k|STRLEN k|APPEND k w|GETRANGE k 0 -1|SETRANGE k 3 xyz|GETDEL k",
        "HELLO 3 SETNAME me|CLIENT INFO|CLIENT LIST|CLIENT SETINFO lib-name x|CLIENT ID|RESET",
        "SET k v EX 100 NX GET|TTL k|PTTL k|EXPIRETIME k|PERSIST k|EXPIRE k 10 GT|GETEX k PX 5",
        "MSET a 1 b 2 c 3|MGET a b x|MSETNX a 1 d 2|EXISTS a a x|DEL a b|UNLINK c|DBSIZE|TYPE a",
        "MULTI|SET a 1|SELECT 1|SET b 2|GET b|EXEC|MULTI|DISCARD|WATCH a|UNWATCH|EXEC",
        "SET user:1 a|SET user:2 b|KEYS user:*|SCAN 0 MATCH u[a-z]* COUNT 1 TYPE string|RANDOMKEY",
        "SUBSCRIBE __keyspace@0__:k a|PSUBSCRIBE __keyevent@0__:*|PING|UNSUBSCRIBE|PUNSUBSCRIBE",
        "HELLO 3|SUBSCRIBE __keyevent@0__:set|SET k v|GET k|UNSUBSCRIBE __keyevent@0__:set",
        "COMMAND COUNT|COMMAND DOCS get|COMMAND INFO set|COMMAND LIST|CONFIG GET maxmemory|INFO",
        "SELECT redis/2|SETEX k 5 v|PSETEX k 5000 v|SETNX k v|GETSET k w|FLUSHDB ASYNC|WAIT 0 1",
        "INCR k|INCRBY k 2|DECR k|DECRBY k 1|AUTH x|AUTH u x|ZADD k 1 a|GET|'quoted \\x41' \"b\\n\"",
        "EXPIREAT k 4102444800 XX|PEXPIREAT k 4102444800000|PEXPIRE k 1 LT|SET k v KEEPTTL|QUIT",
    ];
    let mut seeds = Vec::new();
    for line in lines {
        let requests: Vec<&str> = line.split('|').collect();
        seeds.push([&[255][..], (requests.join("\r\n") + "\r\n").as_bytes()].concat());
        let mut bytes = vec![30];
        for request in requests {
            let words: Vec<&str> = request.split(' ').collect();
            bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
        }
        seeds.push(bytes);
    }
    seeds
}

fn matchers() -> Vec<Vec<u8>> {
    [
        "profile/*\nprofile/a",
        "log-*\nlog-7",
        "profile/**\nprofile/*/x\nprofile/a/b\nprofile/q/x",
        "a/**/z\n**/z\na/b/z\naz",
        "a/[0-9]+\na/*\na/12\na/",
        "glob:a[*]\nexact:a[b]\na[b]\nab",
        "regex:(a|b){2,9}/\\w+\\b\nregex:^a.*$\nab/x\naa/y",
        "plant/[0-9]+/sensor/[a-z]+\nplant/**\nplant/1/sensor/t\nx",
        "(?i)é\\p{L}+\n**é\néa\nÉb",
        "a.*b.*c\n.*d.*\naxbc\nd",
        "regex:[^/]+(/[^/]+)*\n*\na/b\nc",
        "exact:_tidings/x\nglob:\n_tidings/x\n",
        "(((((a*)*)*)*)*)*b\n(x+x+)+y\naaaaaaaaaaaaaaaaaaaaaa\nxxxxxxxxxxxxxxxxxx",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn config(root: &Path) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut add = |kind: u8, text: &str| seeds.push([&[kind][..], text.as_bytes()].concat());
    let yaml = fs::read_to_string(root.join("examples/definitions.yaml")).expect("definitions");
    add(b'y', &yaml);
    let plain: Vec<&str> = yaml.lines().filter(|line| !line.trim().starts_with('#')).collect();
    add(b'y', &plain.join("\n"));
    add(b'y', "[{name: a, matcher: 'b*', replication: {min: 1, max: 2}, ttl: 1d, size: 5MiB}]");
    add(
        b'y',
        "name: &n a\nmatcher: >-\n  a\n  b\nreplication:\n  ? min\n  : 0x2\n  max: *n\n---\n",
    );
    for folder in ["simulations", "crates/sim/tests/found"] {
        for entry in fs::read_dir(root.join(folder)).expect("a folder of scenarios") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = fs::read_to_string(path).expect("a scenario");
                let lines = text.lines().filter(|line| !line.starts_with('#'));
                let text = lines.collect::<Vec<_>>().join("\n");
                add(b's', &text);
                add(b'c', &text);
            }
        }
    }
    let swarm = |seed| tidings_sim::scenario::Scenario::swarm(seed).expand().to_toml();
    (1..6).map(swarm).filter(|text| text.len() < 8_000).for_each(|text| add(b's', &text));
    add(b'c', "peers = 3\nseeds = \"1..20\"\n[sweep]\n'links.loss' = [0, 0.02]\nseed = [1, 2]\n");
    add(
        b't',
        "data = '/d'\nname = 'n'\nlisten = ['/ip4/0.0.0.0/tcp/1']\npeer = []\nno-mdns = true\n\
         secret-file = 's'\nhttp = ':1'\nredis = ':2'\nredis-database = 'r/0'\nweight = 2.5\n\
         zone = \"z\"\ntombstone-grace = '3d'\nholder-ttl = '7d'\nrebalance-delay = '0s'\ncache-size = '32MiB'\n",
    );
    for text in
        ["250ms", "1.5s", "7d", "64KiB", "2026-11-21T16:00:00.000Z", "9999-12-31t23:59:59+23:59"]
    {
        add(b'd', text);
    }
    seeds
}

/// Writes them into a folder for each target; `root` is that of the repository.
///
/// # Panics
/// When a file cannot be read or written.
pub fn write_all(root: &Path, folder: &Path) {
    let all = [
        ("config", config(root)),
        ("matchers", matchers()),
        ("peer", peer(root)),
        ("redis", redis()),
        ("stored", stored(root)),
    ];
    for (name, seeds) in all {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed).expect("a file");
        }
    }
}
