//! The commands, one module each: arguments in, effects and told results out.

mod completions;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::error::Error;
use crate::ui::Ui;

/// Does what was typed.
pub fn run(cli: Cli) -> ExitCode {
    let ui = Ui::new(cli.voice);
    match execute(cli.command, &ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.class().exit())
        }
    }
}

fn execute(command: Command, _ui: &Ui) -> Result<(), Error> {
    match command {
        Command::Completions { shell } => completions::completions(shell),
        Command::Man => completions::man(),
        _ => Ok(()),
    }
}
