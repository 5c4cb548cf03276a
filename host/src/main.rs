//! The `waft` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    waft::run(&std::env::args_os().collect::<Vec<_>>())
}
