//! The admin CLI of Cordboard: a client of gRPC only. Knows no node from the inside and keeps nothing.
//!
//! One command is one file in `commands`; `cluster` finds a node that answers; `output` is the only place that renders;
//! `failure` is the only place that knows exit codes.

pub mod args;
pub mod cluster;
mod commands;
pub mod counts;
pub mod failure;
pub mod output;
mod records;
pub mod times;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use args::Args;
use failure::Failure;

/// Runs one command to its exit code.
pub fn run(args: Args) -> ExitCode {
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Local(format!("cannot start: {error}")))
        .and_then(|runtime| runtime.block_on(Box::pin(commands::dispatch(args))));
    let result = result.and_then(|text| write(&text));
    let Err(failure) = result else { return ExitCode::SUCCESS };
    if let Failure::Invalid { data, .. } = &failure {
        // The answer of the server is data, even when it is a refusal.
        let _ = write(data);
    }
    eprintln!("{failure}");
    ExitCode::from(failure.exit_code())
}

/// A reader that has gone away (`cordctl call list | head`) is no failure.
fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Local(format!("cannot write to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
