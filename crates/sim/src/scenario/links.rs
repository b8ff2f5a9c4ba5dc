//! Links: what a frame meets on its way while nothing is wrong, and presets for common networks.

use super::{MILLISECOND, WHOLE};

/// How the part of the latency that varies is distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Evenly between none and the jitter.
    Uniform,
    /// Exponentially, with the jitter as its mean.
    Exponential,
}

/// One kind of link; times in microseconds, shares in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The least time a frame takes.
    pub latency: u64,
    /// Added at random.
    pub jitter: u64,
    /// How the jitter is distributed.
    pub distribution: Distribution,
    /// Share of frames that take longer by the tail factor, as those do that are sent again.
    pub tail: u64,
    /// How many times as long they take.
    pub tail_factor: u64,
    /// Share of frames that are lost. Real connections repeat what is lost, and lose frames whole
    /// only where a queue is full: this is harder than what real peers meet.
    pub loss: u64,
    /// Share of frames that arrive twice.
    pub duplication: u64,
    /// Share of frames that are overtaken.
    pub reordering: u64,
    /// Bytes in a second of one direction of one connection.
    pub bandwidth: u64,
    /// Bytes that may wait in one direction; a frame beyond is dropped whole.
    pub queue: u64,
}

impl Link {
    /// A wired local network.
    pub const LAN: Self = Self {
        latency: 200,
        jitter: 100,
        distribution: Distribution::Uniform,
        tail: 1_000,
        tail_factor: 20,
        loss: 0,
        duplication: 0,
        reordering: 0,
        bandwidth: 100_000_000,
        queue: 16 << 20,
    };

    /// A wireless local network: short, uneven, and one frame in fifty is sent again.
    pub const WIFI: Self = Self {
        latency: 1_500,
        jitter: 2_000,
        distribution: Distribution::Exponential,
        tail: 20_000,
        tail_factor: 15,
        bandwidth: 5_000_000,
        ..Self::LAN
    };

    /// Between sites of one continent.
    pub const WAN: Self = Self {
        latency: 25 * MILLISECOND,
        jitter: 3 * MILLISECOND,
        distribution: Distribution::Exponential,
        tail: 5_000,
        tail_factor: 4,
        bandwidth: 2_500_000,
        ..Self::LAN
    };

    /// A phone on the way.
    pub const MOBILE: Self = Self {
        latency: 40 * MILLISECOND,
        jitter: 30 * MILLISECOND,
        distribution: Distribution::Exponential,
        tail: 30_000,
        tail_factor: 8,
        bandwidth: 500_000,
        queue: 4 << 20,
        ..Self::LAN
    };

    /// The tail of a share that is one in a thousand times this.
    pub(crate) const fn per_mille(share: u64) -> u64 {
        share * (WHOLE / 1_000)
    }
}

/// All links of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// Between peers of one zone, and between all where zones are not told apart.
    pub within: Link,
    /// Between peers of different zones.
    pub between_zones: Option<Link>,
    /// Whether peers find each other by themselves, as by mDNS; otherwise all know only the first.
    pub discovery: bool,
}

impl Default for Links {
    fn default() -> Self {
        Self { within: Link::LAN, between_zones: None, discovery: true }
    }
}

/// The names of the presets.
pub const PRESETS: [&str; 6] = ["lan", "wifi", "wan", "mobile", "wan-3-sites", "perfect"];

impl Links {
    /// The links of a preset, by one of the names in [`PRESETS`].
    pub fn preset(name: &str) -> Option<Self> {
        let plain = |within: Link, discovery: bool| Self { within, between_zones: None, discovery };
        Some(match name {
            "lan" => plain(Link::LAN, true),
            "wifi" => plain(Link::WIFI, true),
            "wan" => plain(Link::WAN, false),
            "mobile" => plain(Link::MOBILE, false),
            "wan-3-sites" => {
                Self { within: Link::LAN, between_zones: Some(Link::WAN), discovery: false }
            }
            "perfect" => plain(
                Link { latency: 100, jitter: 0, tail: 0, bandwidth: 1 << 30, ..Link::LAN },
                true,
            ),
            _ => return None,
        })
    }

    /// The link between two zones.
    pub fn between(&self, one: &str, other: &str) -> &Link {
        match &self.between_zones {
            Some(link) if one != other => link,
            _ => &self.within,
        }
    }
}
