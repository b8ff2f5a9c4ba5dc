//! What tests with nodes of their own begin with.

use tidings_core::ident::PeerId;
use tidings_core::node::Config;

/// The settings of a peer that expects no others, with usual times.
pub(crate) fn config(peer: PeerId) -> Config {
    Config {
        peer,
        name: "ann".into(),
        zone: String::new(),
        weight: 100,
        cluster_key: [9; 32],
        expects_peers: false,
        max_clock_skew: 10_000,
        replacement_delay: 30_000,
        stability_window: 60_000,
        rebalance_delay: 600_000,
        trash: 60_000,
        tombstone_grace: 60_000,
        holder_ttl: 600_000,
        sweep_interval: 600_000,
    }
}
