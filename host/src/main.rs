//! The `waft` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    waft::run(waft::cli::Cli::parse())
}
