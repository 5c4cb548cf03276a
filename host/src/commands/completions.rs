//! `waft completions` and `waft man`: made from the definition of the command line, so they are never stale.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::ui::Ui;

/// Prints the completion script for `shell`.
pub(super) fn completions(shell: Shell, ui: &Ui) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waft", &mut script);
    ui.write(&script);
}

/// Prints the manual page.
pub(super) fn man(ui: &Ui) {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).expect("memory takes everything");
    ui.write(&page);
}
