//! The `cordctl` binary: arguments in, data on stdout, everything else on stderr, one exit code. Decides nothing.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cordctl::run(cordctl::args::Args::parse())
}
