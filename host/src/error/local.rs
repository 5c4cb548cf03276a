//! Error texts for failures without a peer: arguments, answers, files.

use std::path::Path;

use super::Class::{Code, Interrupted, Key, Storage, Usage};
use super::{Sealed, Told, sentence, shown, told};
use crate::asked::Asked;

/// The text for a command line that cannot be parsed. The first paragraph of clap's message says what happened, the
/// rest says what to do.
pub(super) fn command_line(text: &str) -> Told {
    let text = text.trim().trim_start_matches("error: ");
    let (what, next) = text.split_once("\n\n").unwrap_or((text, ""));
    told(Usage, sentence(what), next)
}

/// The text for invalid arguments.
pub(super) fn usage(what: &str, command: &str) -> Told {
    told(Usage, sentence(what), format!("`{command} --help` shows what can be typed."))
}

/// The text for an answer that is not a key.
pub(super) fn key_malformed(why: &str) -> Told {
    told(
        Key,
        format!("That is no key: {why}."),
        "Take it as the sender, or `waft seal`, showed it: four groups of four.",
    )
}

/// The text for an answer that is not a code.
pub(super) fn code_malformed(why: &str) -> Told {
    told(Code, format!("That is no code: {why}."), "A code is the four digits that the receiver shows.")
}

/// The text for a code that the receiver rejects, if the user cannot be asked for another one.
pub(super) fn code_wrong() -> Told {
    told(
        Code,
        "The code is wrong.",
        "Look at the receiver: it shows the code that holds now. After three wrong ones it makes a new one.",
    )
}

/// The text for a key that does not open a sealed file.
pub(super) fn file_key_wrong() -> Told {
    told(
        Key,
        "The key is not the one of this file.",
        "Compare it with what `waft seal` showed, group by group; it has no I, L, O or U. Nothing was written.",
    )
}

/// The text for an output file that already exists.
pub(super) fn exists(path: &Path) -> Told {
    told(
        Storage,
        format!("{} exists already.", shown(path)),
        "Remove it, or give another name: an existing file is never overwritten.",
    )
}

/// The text for a file that cannot be read or written.
pub(super) fn file(path: &Path, cause: &std::io::Error) -> Told {
    told(
        Storage,
        format!("{} cannot be used: {cause}.", shown(path)),
        "Look at its name, its permissions and the free space of its disk.",
    )
}

/// The text for a demonstration that failed.
pub(super) fn demo(what: &str) -> Told {
    told(
        Storage,
        format!("The demonstration failed: {what}."),
        "It needs loopback networking and room in the temporary folder.",
    )
}

/// The text for an interruption.
pub(super) fn interrupted() -> Told {
    told(Interrupted, "Interrupted.", "Nothing was left half-done.")
}

/// The text for an interruption while a part of a folder is kept for a later attempt.
pub(super) fn interrupted_with_part(path: &Path) -> Told {
    told(
        Interrupted,
        "Interrupted.",
        format!(
            "What was received so far is kept in {}: when the folder is sent again, it goes on from there. It can be removed.",
            shown(path)
        ),
    )
}

/// The text for an interruption after a part of the folder, or all of it, has reached `peer`.
pub(super) fn interrupted_sending(peer: &str) -> Told {
    told(Interrupted, "Interrupted.", format!("What {peer} has by now stays there: sending again goes on from there."))
}

/// The text for a renewal that the user declined.
pub(super) fn not_renewed() -> Told {
    told(Interrupted, "The identity was not renewed.", "It is as it was.")
}

/// The text for a question without an answer.
pub(super) fn no_answer(asked: Asked) -> Told {
    let class = match asked {
        Asked::Code => Code,
        Asked::Key => Key,
        Asked::Folder | Asked::Receiver | Asked::Passphrase | Asked::Renewal => Usage,
    };
    let next = match asked {
        Asked::Code => "Run it on a terminal, write the code as a line to its standard input, or set WAFT_AUTH_CODE.",
        Asked::Key => {
            "Run it on a terminal, write the key as a line to its standard input, or set WAFT_KEY. `waft receive --no-key` \
             asks for none."
        }
        Asked::Passphrase => {
            "Run it on a terminal, write the passphrase as a line to its standard input, or set WAFT_WIFI_PASSPHRASE."
        }
        Asked::Renewal => {
            "The identity is as it was. Run it on a terminal, or renew without a question: `waft id --renew --yes`."
        }
        Asked::Folder | Asked::Receiver => "Give it as an argument: `waft send FOLDER TO`.",
    };
    told(class, format!("No answer came for the {}.", asked.name()), next)
}

/// The text for a sealed file that is damaged, or a file that is not a sealed file.
pub(super) fn sealed(what: Sealed, path: &Path) -> Told {
    let path = shown(path);
    match what {
        Sealed::NotOne => told(Storage, format!("{path} is no sealed file."), "Give a file that `waft seal` made."),
        Sealed::Version => {
            told(Storage, format!("{path} was sealed by a later release of waft."), "Update waft on this machine.")
        }
        Sealed::Truncated => told(
            Storage,
            format!("{path} is cut short."),
            "Copy it again from where it was made, and compare the sizes. The target is as it was.",
        ),
        Sealed::Damaged => told(
            Storage,
            format!("{path} is damaged: a part of it is not what was sealed."),
            "Copy it again from where it was made. The target is as it was.",
        ),
    }
}
