//! Whether mDNS can work: the group is joined, and a packet that is sent there has to come back.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::super::serve::Settings;
use super::Check;

/// The group and the port of mDNS.
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);
/// A packet that comes back at all does so within milliseconds; the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is sent: one may be lost.
const SENT: u32 = 4;

/// Joins the group, sends a question that nobody answers, and waits for it.
pub(super) async fn check(settings: &Settings) -> Check {
    let name = "mdns";
    if settings.no_mdns {
        let found = "it is off, as asked for";
        return if settings.peer.is_empty() {
            Check::warn(name, found, "name a peer with --peer, or be named at another one")
        } else {
            Check::ok(name, found)
        };
    }
    let mend = "name peers with --peer, or let UDP port 5353 and the group 224.0.0.251 through";
    match tokio::task::spawn_blocking(comes_back).await {
        Ok(Ok(true)) => Check::ok(
            name,
            "the group 224.0.0.251 can be joined, and a packet sent to it came back",
        ),
        Ok(Ok(false)) => Check::warn(
            name,
            format!(
                "no packet sent to 224.0.0.251 came back within {PATIENCE:?}: multicast is filtered"
            ),
            mend,
        ),
        Ok(Err(error)) => {
            Check::warn(name, format!("multicast cannot be used here: {error}"), mend)
        }
        Err(error) => Check::error(name, error),
    }
}

fn comes_back() -> io::Result<bool> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Peers and other programs on this machine have the port as well.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, GROUP.port()).into())?;
    socket.join_multicast_v4(GROUP.ip(), &Ipv4Addr::UNSPECIFIED)?;
    socket.set_multicast_loop_v4(true)?;
    let socket = UdpSocket::from(socket);

    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let question = question(u64::from_be_bytes(random));
    let mut buffer = [0; 2048];
    for _ in 0..SENT {
        socket.send_to(&question, GROUP)?;
        let until = Instant::now() + PATIENCE / SENT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv_from(&mut buffer) {
                Ok((length, _)) if buffer[..length] == question => return Ok(true),
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(false)
}

/// A question of mDNS for a service that nobody has, with a name of its own.
fn question(number: u64) -> Vec<u8> {
    // No id, a standard question, one of them, and no answers.
    let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [format!("_doctor-{number:x}").as_str(), "_udp", "local", ""] {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    // For pointers, of the internet.
    packet.extend([0, 12, 0, 1]);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are those that RFC 1035 asks for, and differ with the number.
    #[test]
    fn the_question_is_well_formed() {
        let packet = question(0xabc);
        assert_eq!(packet[..12], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&packet[12..], b"\x0b_doctor-abc\x04_udp\x05local\0\0\x0c\0\x01");
        assert_ne!(question(1), question(2));
        // The longest label that there can be.
        assert!(question(u64::MAX)[12] < 64);
    }
}
