//! `tidings`: one program that is a peer, the commands that talk to one, and the demonstration.
//!
//! `serve` runs a peer with its HTTP door. The client verbs speak to that door and to nothing else, so
//! whatever they can do, any HTTP client can. `demo` and `bench` start several peers as processes of
//! their own and measure them from outside. Each command is a file under `commands`.
#![expect(clippy::print_stderr, reason = "printing is what a command line program is for")]

mod cluster;
mod commands;
mod exit;
mod output;
mod signals;

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::{Command, Context};
use crate::exit::Failure;
use crate::output::{Format, Unread};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An eventually consistent key-value store for peers that find each other.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, after_long_help = exit::HELP, after_help = exit::HELP)]
struct Arguments {
    /// The peer's HTTP door: where client verbs find it, and where `serve` listens.
    ///
    /// The default is 127.0.0.1:7380. Port 0 makes `serve` pick a free one.
    #[arg(
        long,
        global = true,
        env = "TIDINGS_HTTP",
        value_name = "URL",
        help_heading = "Global options"
    )]
    http: Option<String>,

    /// How to print results; the default depends on the command.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        env = "TIDINGS_OUTPUT",
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    output: Option<Format>,

    /// The token that the peer asks for; also `TIDINGS_TOKEN`. Others on this machine can read a command
    /// line, so --token-file is the better place.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        conflicts_with = "token_file",
        help_heading = "Global options"
    )]
    token: Option<String>,

    /// A file with the token that the peer asks for, which only its owner can read; also
    /// `TIDINGS_TOKEN_FILE`.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    token_file: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    // Help and mistakes of usage end in here, the latter with code 2.
    let arguments = Arguments::parse();
    let context = Context {
        http: arguments.http,
        token: arguments.token,
        token_file: arguments.token_file,
        output: arguments.output,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::internal(format!("no threads to run on: {error}")).report(),
    };
    let run = || runtime.block_on(arguments.command.run(&context));
    let result = match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(unwound) if unwound.is::<Unread>() => Ok(()),
        Err(unwound) => panic::resume_unwind(unwound),
    };
    // A blocked read of standard input must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_address_may_stand_before_or_after_the_verb() {
        for line in [["tidings", "--http", "h:1", "peers"], ["tidings", "peers", "--http", "h:1"]] {
            assert_eq!(Arguments::parse_from(line).http.as_deref(), Some("h:1"));
        }
    }
}
