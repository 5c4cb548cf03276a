//! `waft completions` and `waft man`: made from the definition of the command line, so they are never stale.

use std::io::{Write, stdout};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::Error;

/// Prints the completion script for `shell`.
pub(super) fn completions(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waft", &mut script);
    print(&script)
}

/// Prints the manual page.
pub(super) fn man() -> Result<(), Error> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
    print(&page)
}

fn print(text: &[u8]) -> Result<(), Error> {
    stdout().write_all(text).and_then(|()| stdout().flush()).map_err(failed)
}

fn failed(error: std::io::Error) -> Error {
    Error::File("standard output".into(), error)
}
