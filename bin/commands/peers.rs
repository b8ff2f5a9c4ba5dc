//! `tidings peers`

use clap::Args;

use super::Context;
use crate::exit::Failure;
use crate::output::{self, Format, Table};

/// Lists the other peers as this one sees them.
#[derive(Args, Debug)]
pub(crate) struct Peers {}

impl Peers {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let list = context.client()?.peers().await?;
        if format != Format::Table {
            output::documents(format, &list.peers)?;
            return Ok(());
        }
        let heading =
            ["peer", "name", "state", "connected", "round trip", "clock", "zone", "address"];
        let mut table = Table::new(&heading);
        for peer in list.peers {
            let unknown = || "-".to_owned();
            table.row([
                peer.peer,
                output::shown(peer.name.as_bytes()),
                peer.state,
                if peer.connected { "yes" } else { "no" }.into(),
                peer.round_trip_us.map_or_else(unknown, |us| format!("{us} µs")),
                peer.clock_offset_ms.map_or_else(unknown, |ms| format!("{ms:+} ms")),
                peer.zone.unwrap_or_else(unknown),
                peer.addresses.into_iter().next().unwrap_or_else(unknown),
            ]);
        }
        table.print()?;
        Ok(())
    }
}
