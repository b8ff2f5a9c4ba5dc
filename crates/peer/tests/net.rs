//! The network between real sockets on loopback: peers meet, talk, part and meet again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod net_support;

use std::time::Duration;

use libp2p::{Multiaddr, identity::Keypair};
use net_support::{DEADLINE, Memory, Peer, QUIC, TCP};
use tidings::net::{
    FRAME_QUEUE_BYTES, MAX_FRAME_BYTES, MAX_PROBE_BYTES, Network, NetworkConfig, NetworkError,
    NetworkEvent, SILENCE_LIMIT,
};

/// Two peers meet over one transport and exchange frames of all sizes in order, both ways.
async fn meet_and_talk(listen: &str) {
    let a = Peer::start(&[listen], &[]).await;
    let b = Peer::start(&[listen], &a.network.listen_addresses()).await;
    a.until_connected(&b).await;
    b.until_connected(&a).await;

    let frames: Vec<Vec<u8>> = (0_u32..2000)
        .map(|n| {
            let size = match n % 500 {
                0 => MAX_FRAME_BYTES,
                1 => 100_000,
                2 => 0,
                other => other as usize,
            };
            vec![n as u8; size]
        })
        .collect();
    for frame in &frames {
        assert!(a.network.send(&b.id, frame.clone()));
        assert!(b.network.send(&a.id, frame.clone()));
    }
    assert!(a.network.send_probe(&b.id, vec![1; MAX_PROBE_BYTES]));
    assert!(b.network.send_probe(&a.id, b"probe".to_vec()));
    for (from, to) in [(&a, &b), (&b, &a)] {
        to.told
            .until("all frames", |told| {
                told.frames.get(&from.id).is_some_and(|got| got.len() == frames.len())
                    && told.probes.contains_key(&from.id)
            })
            .await;
        let told = to.told.state.lock().unwrap();
        assert!(told.frames[&from.id] == frames, "frames out of order");
        assert_eq!(told.connections, 1);
    }
    let counters = a.network.counters();
    assert_eq!(counters.frames_sent.frames, 2000);
    assert_eq!(counters.frames_received.frames, 2000);
    assert_eq!(counters.frames_received.bytes, counters.frames_sent.bytes);
    assert_eq!((counters.probes_sent.frames, counters.probes_received.frames), (1, 1));
    assert_eq!((counters.connected_peers, counters.dropped_sends), (1, 0));

    a.told
        .until("who the other is", |told| {
            told.events.iter().any(|event| {
                matches!(event, NetworkEvent::Identified { agent, addresses, .. }
                    if agent.starts_with("tidings/") && *addresses == b.network.listen_addresses())
            })
        })
        .await;
    // Each learned where the other listens.
    assert_eq!(b.told.state.lock().unwrap().connected[&a.id], a.network.listen_addresses());
    assert_eq!(a.told.state.lock().unwrap().connected[&b.id], b.network.listen_addresses());

    b.network.shutdown().await;
    assert!(b.told.state.lock().unwrap().connected.is_empty(), "shutdown ends the period");
    a.until_disconnected(&b).await;
    assert!(!a.network.send(&b.id, vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_talk_over_tcp() {
    meet_and_talk(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_talk_over_quic() {
    meet_and_talk(QUIC).await;
}

/// Frames accepted before a shutdown arrive: the queue gets a moment to empty.
#[tokio::test(flavor = "multi_thread")]
async fn last_words_arrive() {
    for listen in [TCP, QUIC] {
        let a = Peer::start(&[listen], &[]).await;
        let b = Peer::start(&[], &a.network.listen_addresses()).await;
        b.until_connected(&a).await;
        for n in 0..200_u8 {
            assert!(b.network.send(&a.id, vec![n; 1000]));
        }
        b.network.shutdown().await;
        a.told
            .until("the last words", |told| {
                told.connected.is_empty() && told.frames.get(&b.id).is_some_and(|f| f.len() == 200)
            })
            .await;
    }
}

/// Peers with different secrets exchange nothing, both count it, and neither stops trying for
/// others: a third peer with the right secret gets through.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_exchanges_nothing() {
    for listen in [TCP, QUIC] {
        let a = Peer::start(&[listen], &[]).await;
        let addresses = a.network.listen_addresses();
        let stranger =
            Peer::with(Keypair::generate_ed25519(), [8; 32], &[listen], &addresses).await;
        for peer in [&a, &stranger] {
            peer.told
                .until("the failure", |told| {
                    told.events
                        .iter()
                        .any(|event| matches!(event, NetworkEvent::AuthenticationFailed { .. }))
                })
                .await;
            assert!(peer.network.counters().authentication_failures >= 1);
        }
        let b = Peer::start(&[listen], &addresses).await;
        b.until_connected(&a).await;
        a.until_connected(&b).await;
        a.exchange(&b, b"friend").await;
        assert_eq!(stranger.told.state.lock().unwrap().connections, 0);
        assert_eq!(a.told.state.lock().unwrap().connections, 1);
        for peer in [&a, &stranger] {
            let told = peer.told.state.lock().unwrap();
            assert!(!told.events.iter().any(|event| {
                matches!(event, NetworkEvent::Identified { peer, .. } if *peer == stranger.id || *peer == a.id)
            }));
        }
    }
}

/// A node of another libp2p network, dialing or dialed, does not even learn who we are: it never
/// gets an answer to identify, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_of_another_network_learns_nothing() {
    use futures::StreamExt;
    use libp2p::{identify, noise, swarm::SwarmEvent, tcp, yamux};

    for we_dial in [false, true] {
        let mut stranger = libp2p::SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|key| {
                identify::Behaviour::new(identify::Config::new("other".into(), key.public()))
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(DEADLINE))
            .build();
        stranger.listen_on(TCP.parse().unwrap()).unwrap();
        let there = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = stranger.select_next_some().await {
                break address;
            }
        };
        let bootstrap = if we_dial { vec![there] } else { vec![] };
        let a = Peer::start(&[TCP], &bootstrap).await;
        if !we_dial {
            stranger.dial(a.network.listen_addresses()[0].clone()).unwrap();
        }
        let until_closed = async {
            loop {
                match stranger.select_next_some().await {
                    SwarmEvent::ConnectionClosed { .. } => return,
                    SwarmEvent::Behaviour(
                        identify::Event::Received { .. } | identify::Event::Sent { .. },
                    ) => panic!("identified"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, until_closed).await.unwrap();
        a.told
            .until("counted", |told| {
                told.events.iter().any(|event| {
                    matches!(event, NetworkEvent::AuthenticationFailed { peer, dialed, .. }
                    if peer == stranger.local_peer_id() && *dialed == we_dial)
                })
            })
            .await;
        assert_eq!(a.told.state.lock().unwrap().connections, 0);
    }
}

/// Bytes that make no sense, and five hundred idle connections, leave talking peers talking and
/// later peers able to come in.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_floods_harm_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let a = Peer::start(&[TCP, QUIC], &[]).await;
    let b = Peer::start(&[TCP], &a.network.listen_addresses()).await;
    a.until_connected(&b).await;
    b.until_connected(&a).await;

    let port = tcp_port(&a.network.listen_addresses());
    let mut garbage = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // The other end may hang up in the middle.
    let _ = garbage.write_all(&vec![0xFF; 100_000]).await;
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(DEADLINE, garbage.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "garbage is hung up on");

    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 0..200_u8 {
        let _ =
            udp.send_to(&[n; 1200], ("127.0.0.1", udp_port(&a.network.listen_addresses()))).await;
    }

    let mut flood = Vec::new();
    for _ in 0..500 {
        flood.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    a.exchange(&b, b"in the flood").await;
    a.told
        .until("refused", |told| {
            told.events.iter().any(|e| matches!(e, NetworkEvent::ConnectionRefused { .. }))
        })
        .await;
    assert!(a.network.counters().refused_connections >= 1);

    // The flood still stands, and a newcomer gets in when its idle connections time out.
    let c = Peer::start(&[], &a.network.listen_addresses()).await;
    c.until_connected(&a).await;
    a.exchange(&b, b"after the flood").await;
    assert_eq!(b.told.state.lock().unwrap().connections, 1);
    drop(flood);
}

/// A peer that restarts under its old identity and address is found again, by both sides' doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_peer_is_found_again() {
    for (listen, kind) in [(TCP, "tcp"), (QUIC, "udp")] {
        let a = Peer::start(&[listen], &[]).await;
        let addresses = a.network.listen_addresses();
        let keypair = Keypair::generate_ed25519();
        let b = Peer::with(keypair.clone(), [7; 32], &[listen], &[]).await;
        let there = b.network.listen_addresses();
        // Only the side that stays knows an address.
        a.network.dial(b.id, there.clone());
        a.until_connected(&b).await;
        b.network.shutdown().await;
        a.until_disconnected(&b).await;
        drop(b);

        let fixed = there[0].to_string();
        assert!(fixed.contains(kind));
        let b = Peer::with(keypair.clone(), [7; 32], &[&fixed], &[]).await;
        a.until_connected(&b).await;
        b.until_connected(&a).await;
        a.exchange(&b, b"again").await;
        assert_eq!(a.told.state.lock().unwrap().connections, 2);

        // A peer that nobody dials comes back through its own bootstrap addresses.
        a.network.forget(&b.id);
        b.network.shutdown().await;
        a.until_disconnected(&b).await;
        let b = Peer::with(keypair, [7; 32], &[], &addresses).await;
        a.until_connected(&b).await;
        b.until_connected(&a).await;
        a.exchange(&b, b"and again").await;
    }
}

/// A peer that crashes without a word, and comes back under its identity at another port, is
/// connected again long before the silence of the old connection is noticed: the side that is
/// challenged gives way. Both for a survivor with the higher and with the lower `PeerId`.
#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_peer_is_replaced_quickly() {
    for (listen, lower_survives) in [(TCP, true), (TCP, false), (QUIC, true), (QUIC, false)] {
        let a = Peer::start(&[listen], &[]).await;
        let addresses = a.network.listen_addresses();
        let keypair = std::iter::repeat_with(Keypair::generate_ed25519)
            .find(|keypair| (a.id < keypair.public().to_peer_id()) == lower_survives)
            .unwrap();
        let elsewhere = tokio::runtime::Runtime::new().unwrap();
        let first = elsewhere.spawn({
            let (keypair, addresses) = (keypair.clone(), addresses.clone());
            async move { Peer::with(keypair, [7; 32], &[], &addresses).await }
        });
        let first = first.await.unwrap();
        a.until_connected(&first).await;
        first.until_connected(&a).await;
        // Its tasks are dropped where they are; nothing is closed in order.
        elsewhere.shutdown_background();

        let begin = std::time::Instant::now();
        let second = Peer::with(keypair, [7; 32], &[], &addresses).await;
        second.until_connected(&a).await;
        a.exchange(&second, b"the second").await;
        assert!(begin.elapsed() < SILENCE_LIMIT / 2, "{listen} took {:?}", begin.elapsed());
        let told = a.told.state.lock().unwrap();
        assert_eq!((told.connections, told.disconnections), (2, 1));
    }
}

/// A bootstrap address may be a name.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_looked_up() {
    let a = Peer::start(&[TCP], &[]).await;
    let port = tcp_port(&a.network.listen_addresses());
    let name = format!("/dns4/localhost/tcp/{port}").parse().unwrap();
    let b = Peer::start(&[], &[name]).await;
    b.exchange(&a, b"by name").await;
}

/// Two peers that dial each other at the same time, on both transports, have one connected period
/// each, which holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_simultaneous_dial_connects_once() {
    for round in 0..10 {
        let a = Peer::start(&[TCP, QUIC], &[]).await;
        let b = Peer::start(&[TCP, QUIC], &[]).await;
        a.network.dial(b.id, b.network.listen_addresses());
        b.network.dial(a.id, a.network.listen_addresses());
        a.until_connected(&b).await;
        b.until_connected(&a).await;
        for n in 0..20_u8 {
            a.exchange(&b, &[n; 10]).await;
        }
        for peer in [&a, &b] {
            let told = peer.told.state.lock().unwrap();
            assert_eq!((told.connections, told.disconnections), (1, 0), "round {round}");
        }
        a.network.shutdown().await;
        b.until_disconnected(&a).await;
    }
}

/// Ten peers that all dial each other at once, over both transports, end as a full mesh in which
/// nobody was disconnected on the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_settles_without_a_flap() {
    let mut peers = Vec::new();
    for _ in 0..10 {
        peers.push(Peer::start(&[TCP, QUIC], &[]).await);
    }
    for a in &peers {
        for b in &peers {
            a.network.dial(b.id, b.network.listen_addresses());
        }
    }
    for a in &peers {
        a.told.until("the mesh", |told| told.connected.len() == 9).await;
    }
    for a in &peers {
        for b in &peers {
            if a.id < b.id {
                a.exchange(b, b.id.to_bytes().as_slice()).await;
            }
        }
    }
    for a in &peers {
        let told = a.told.state.lock().unwrap();
        assert_eq!((told.connections, told.disconnections), (9, 0));
    }
}

/// A peer that is told to dial itself, by its own address, drops the address.
#[tokio::test(flavor = "multi_thread")]
async fn dialing_oneself_is_ignored() {
    let a = Peer::start(&[TCP, QUIC], &[]).await;
    let b = Peer::start(&[TCP], &[]).await;
    // The own address under somebody else's name, beside the right one.
    let mut addresses = a.network.listen_addresses();
    addresses.extend(b.network.listen_addresses());
    a.network.dial(b.id, addresses);
    a.network.dial(a.id, a.network.listen_addresses());
    a.until_connected(&b).await;
    a.exchange(&b, b"not me").await;
    assert!(!a.told.state.lock().unwrap().connected.contains_key(&a.id));
    assert_eq!(a.network.counters().authentication_failures, 0);
}

/// A peer that does not read makes `send` return false once the queue is full, and loses nothing
/// of what was accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_queue_refuses() {
    use std::sync::{Arc, mpsc};
    use tidings::net::Sink;

    /// Holds the first delivery until it is released.
    struct Slow(Memory, std::sync::Mutex<mpsc::Receiver<()>>);
    impl Sink for Slow {
        fn connected(&self, peer: libp2p::PeerId, addresses: Vec<Multiaddr>) {
            self.0.connected(peer, addresses);
        }
        fn disconnected(&self, peer: libp2p::PeerId) {
            self.0.disconnected(peer);
        }
        fn frames(&self, peer: libp2p::PeerId, frames: Vec<Vec<u8>>) {
            let _ = self.1.lock().unwrap().recv();
            self.0.frames(peer, frames);
        }
        fn probe(&self, peer: libp2p::PeerId, packet: Vec<u8>) {
            self.0.probe(peer, packet);
        }
        fn event(&self, event: NetworkEvent) {
            self.0.event(event);
        }
    }

    let a = Peer::start(&[TCP], &[]).await;
    let (release, held) = mpsc::channel();
    let slow = Arc::new(Slow(Memory::default(), std::sync::Mutex::new(held)));
    let keypair = Keypair::generate_ed25519();
    let slow_id = keypair.public().to_peer_id();
    let config = NetworkConfig {
        keypair,
        cluster_key: [7; 32],
        listen: vec![],
        bootstrap: a.network.listen_addresses(),
        mdns: false,
    };
    let network = Network::start(config, slow.clone()).await.unwrap();
    a.told.until("connected", |told| told.connected.contains_key(&slow_id)).await;

    assert!(!a.network.send(&slow_id, vec![0; MAX_FRAME_BYTES + 1]), "too large");
    let mut accepted = 0;
    // What the streams and sockets between hold is bounded too.
    while a.network.send(&slow_id, vec![accepted as u8; 256 * 1024]) {
        accepted += 1;
        assert!(accepted < 1000, "the queue has no end");
        tokio::task::yield_now().await;
    }
    assert!(accepted * 256 * 1024 >= FRAME_QUEUE_BYTES / 2);
    assert_eq!(a.network.counters().dropped_sends, 2);
    // Probes pass a peer whose data does not move.
    assert!(a.network.send_probe(&slow_id, b"alive?".to_vec()));
    slow.0.until("the probe", |told| told.probes.contains_key(&a.id)).await;

    drop(release);
    slow.0
        .until("everything accepted", |told| {
            told.frames.get(&a.id).is_some_and(|frames| frames.len() == accepted)
        })
        .await;
    let told = slow.0.state.lock().unwrap();
    assert!(told.frames[&a.id].iter().enumerate().all(|(n, frame)| frame[0] == n as u8));
    drop(network);
}

/// Starting on a port that is taken names the address and says what to do, on TCP and QUIC.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_a_clear_error() {
    let a = Peer::start(&[TCP, QUIC], &[]).await;
    for address in a.network.listen_addresses() {
        let config = NetworkConfig {
            keypair: Keypair::generate_ed25519(),
            cluster_key: [7; 32],
            listen: vec![address.clone()],
            bootstrap: vec![],
            mdns: false,
        };
        let error =
            Network::start(config, std::sync::Arc::new(Memory::default())).await.err().unwrap();
        assert!(matches!(error, NetworkError::AddressInUse { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()));
    }
}

/// Dropping the last handle is as good as a shutdown: the other side hears of it at once.
#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_handle_shuts_down() {
    let a = Peer::start(&[TCP], &[]).await;
    let b = Peer::start(&[], &a.network.listen_addresses()).await;
    a.until_connected(&b).await;
    let Peer { id, network, told } = b;
    drop(network);
    let quickly = a.told.until("gone", |told| !told.connected.contains_key(&id));
    tokio::time::timeout(Duration::from_secs(5), quickly).await.unwrap();
    told.until("ended", |told| told.connected.is_empty()).await;
}

fn tcp_port(addresses: &[Multiaddr]) -> u16 {
    port(addresses, |p| match p {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    })
}

fn udp_port(addresses: &[Multiaddr]) -> u16 {
    port(addresses, |p| match p {
        libp2p::multiaddr::Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

fn port(
    addresses: &[Multiaddr],
    of: impl Fn(libp2p::multiaddr::Protocol<'_>) -> Option<u16> + Copy,
) -> u16 {
    addresses.iter().find_map(|address| address.iter().find_map(of)).unwrap()
}
