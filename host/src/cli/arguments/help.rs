//! The texts below the options in the help of the commands; and the manual and the completion scripts, which are made from the
//! definition of the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

/// For `waft provision`: the boards that can be provisioned.
pub(super) fn provision_help() -> String {
    format!(
        "Boards:\n{}\n\nThe image goes into the board's flash, beside the firmware; the commands that do so are printed. \
         It holds the only copy of the board's private key. For some boards, FILE.seed is created as well: the start of \
         their random numbers, which is flashed once.\n\nWith --firmware, the program, the identity and that start go into one file: \
         UF2 where the board's boot loader is a drive to copy it onto, else Intel HEX. It can be read by its owner only, like the \
         image. Such a drive keeps no files: let FILE be elsewhere, and copy it onto the drive.\n\nThe command \
         asks for the passphrase of the Wi-Fi network, or takes it from WAFT_WIFI_PASSPHRASE, or from a line of standard input.",
        crate::board::listed()
    )
}

/// Exit codes and environment variables, for `waft`.
pub(super) const AFTER_HELP: &str = "\
Exit codes:
    0  done
    2  wrong usage
   10  the receiver cannot be reached, or the port cannot be listened on
   11  identity, trust or TLS
   12  the code
   13  the key
   14  storage or file system, here or there
   15  refused by the receiver's policy or limits
   16  broken off; sending again resumes the transfer
   17  the other side violates the protocol
   18  everything was sent, but whether it arrived is unknown
   19  some of several receivers do not have the folder
  130  interrupted by Ctrl-C; by other signals 129 (SIGHUP), 131 (SIGQUIT), 143 (SIGTERM)
other  of `waft flash`: the exit status of the tool that failed

Environment:
  WAFT_HOME             folder with identity and trust
  WAFT_AUTH_CODE        the code, for send
  WAFT_PAIRING_CODE     the code, for pair
  WAFT_KEY              the key, for receive and open
  WAFT_WIFI_PASSPHRASE  the passphrase, for provision
  NO_COLOR              no colours

Where standard input is not a terminal, each question is answered by a line of it; but `waft id --renew` and `waft flash` need --yes there.";

/// For `waft pair`.
pub(super) const PAIR_HELP: &str = "\
One machine shows a code, for 5 minutes; the user of the other types it there, once:

  waft pair bert            on anna: shows the code, and trusts the other machine as bert
  waft pair anna@ADDRESS    on bert: asks for the code, and trusts the other machine as anna

A board shows a code when `pair` is typed at its console. At a terminal, `waft pair` without an address first looks for \
machines on this network that show a code, and offers them.

A wrong code is noticed on both sides, and a new one is shown. Without --receive-only and --send-only, each may send to the \
other; each machine decides for itself. The code comes from a prompt, from WAFT_PAIRING_CODE or from a line of standard input.";

/// For `waft receive`.
pub(super) const RECEIVE_HELP: &str = "\
With --once the command ends with 0 after one folder, or with the error's exit code when one was refused for good. It does \
not end for strangers, for wrong codes, or when a connection breaks: then the sender has ten minutes to connect again.

With --inbox a folder that is sent again replaces its predecessor, unless that was changed here since it was received: then \
the new one is refused, or with --merge put among what is there. What file managers put into a folder that is only looked \
at, such as .DS_Store, is no change.

When a sender has given the code, the command asks for the key, or takes it from WAFT_KEY or a line of standard input.";

/// For `waft flash`.
pub(super) const FLASH_HELP: &str = "\
Runs the commands that `waft provision` printed for this board, by probe-rs, espflash or picotool. It shows them first, and \
asks: the board that is connected, whichever it is, loses everything on it, which is identity, settings, trusted senders and \
folder. It ends at the first command that fails, with its exit status.

A file with everything is flashed only as `waft provision` made it on this machine.";

/// For `waft firmware`.
pub(super) const FIRMWARE_HELP: &str = "\
The file is UF2 where the board's boot loader is a drive to copy it onto, else Intel HEX for its flashing tool; the command \
that flashes it is printed. Such a drive keeps no files: let FILE be elsewhere, and copy it onto the drive.

The file holds no secret, and fits every board of this kind. Identity, settings, trusted senders and the received folder stay \
on the board.";

/// For `waft simulate`.
pub(super) const SIMULATE_HELP: &str = "\
The board's console is this terminal; its `help` lists what can be typed. Ctrl-C switches it off. What it has received stays, \
and the next run continues from there, with or without --qemu.

A board without an identity is given one, and is trusted here to receive. Its only trusted sender is this machine.";

/// For `waft send`.
pub(super) const SEND_HELP: &str = "\
Examples:
  waft send photos kitchen                 what is in the folder photos
  waft send notes.txt photos kitchen       a folder with notes.txt and photos in it
  waft send photos                         to the only trusted receiver
  waft send photos --to kitchen --to hall  to several receivers at once
  waft send . kitchen --as photos          this folder, which is called photos there

Of two and more arguments the last one is the receiver, whatever exists on the disk.

The command asks for the code that the receiver shows, or takes it from WAFT_AUTH_CODE or a line of standard input. The key \
is new for every run, and is shown.

Sending again continues where a broken transfer ended, and sends nothing that is there already.";

/// For `waft find`.
pub(super) const FIND_HELP: &str = "\
Each line has the name that this machine gave the receiver, or the id that it announces; an address; what it may do here; and \
whether it waits for a pairing.

Anybody on the network can announce anything. Which receiver it really is, is checked when it is connected to.";

/// For `waft open`.
pub(super) const OPEN_HELP: &str =
    "The command asks for the key, or takes it from WAFT_KEY or a line of standard input.";

/// The completion script for `shell`.
pub(in crate::cli) fn completion_script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waft", &mut script);
    script
}

/// The manual: the page of `waft`, followed by the pages of all its commands.
pub(in crate::cli) fn manual() -> Vec<u8> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut manual = Vec::new();
    add_pages(&command, &mut manual);
    manual
}

fn add_pages(command: &clap::Command, manual: &mut Vec<u8>) {
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
