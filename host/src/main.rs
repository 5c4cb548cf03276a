//! The `waft` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    waft::run(waft::cli::typed())
}
