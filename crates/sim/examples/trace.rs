//! Prints the trace hashes of some runs: `.ci/simulations` compares those of a debug and a release
//! build, which must be the same.

#![expect(clippy::print_stdout, reason = "it is a program")]

use tidings_sim::run::run;
use tidings_sim::scenario::Scenario;

fn main() {
    for seed in [1, 2, 3, 5, 8, 13] {
        println!("{seed} {:016x}", run(Scenario::swarm(seed)).trace);
    }
}
