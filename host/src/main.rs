//! The `waft` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    waft::cli::run(&std::env::args_os().collect::<Vec<_>>())
}
