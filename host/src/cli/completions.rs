//! `waft completions` and `waft man`. Both are generated from the definition of the command line, so they are never
//! out of date.

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::arguments::Cli;
use crate::cli::ui::Ui;

/// Prints the completion script for `shell`.
pub(super) fn completions(shell: Shell, ui: &Ui) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waft", &mut script);
    ui.write(&script);
}

/// Prints the manual: the page of `waft`, followed by the pages of all its commands.
pub(super) fn man(ui: &Ui) {
    ui.write(&manual());
}

fn manual() -> Vec<u8> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut manual = Vec::new();
    add_pages(&command, &mut manual);
    manual
}

fn add_pages(command: &Command, manual: &mut Vec<u8>) {
    Man::new(command.clone()).render(manual).expect("writing to a vector cannot fail");
    command.get_subcommands().for_each(|command| add_pages(command, manual));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_a_page_for_each_command_that_it_names() {
        let manual = String::from_utf8(manual()).expect("it is text");
        let pages: Vec<_> = manual.lines().filter_map(|line| line.strip_prefix(".TH ")?.split(' ').next()).collect();
        let named: Vec<_> = manual.lines().filter_map(|line| line.strip_suffix("(1)")).collect();
        assert!(pages.contains(&"waft-trust-add"), "{pages:?}");
        for name in named {
            assert!(pages.contains(&name.replace('\\', "").as_str()), "{name} is not among {pages:?}");
        }
    }
}
