//! What a person is told about failures that need no peer: arguments, answers, files.

use super::Class::{Code, Interrupted, Key, Storage, Usage};
use super::{Error, Sealed, Told, sentence, shown, told};
use crate::ui::Asked;

/// The text for an error of this machine's own.
pub(super) fn of(error: &Error) -> Told {
    match error {
        Error::Usage(what) => told(Usage, sentence(what), "`waft --help` shows what can be typed."),
        Error::NoAnswer(asked) => no_answer(*asked),
        Error::KeyMalformed(why) => told(
            Key,
            format!("That is no key: {why}."),
            "Take it as the sender, or `waft seal`, showed it: four groups of four.",
        ),
        Error::CodeMalformed(why) => {
            told(Code, format!("That is no code: {why}."), "A code is the four digits that the receiver shows.")
        }
        Error::CodeWrong => told(
            Code,
            "The code is wrong.",
            "Look at the receiver: it shows the code that holds now. After three wrong ones it makes a new one.",
        ),
        Error::FileKeyWrong => told(
            Key,
            "The key is not the one of this file.",
            "Compare it with what `waft seal` showed, group by group; it has no I, L, O or U. Nothing was written.",
        ),
        Error::Sealed(what, path) => sealed(*what, &shown(path)),
        Error::Exists(path) => told(
            Storage,
            format!("{} exists already.", shown(path)),
            "Remove it, or give another name: an existing file is never overwritten.",
        ),
        Error::File(path, cause) => told(
            Storage,
            format!("{} cannot be used: {cause}.", shown(path)),
            "Look at its name, its permissions and the free space of its disk.",
        ),
        Error::Interrupted => told(Interrupted, "Interrupted.", "Nothing was left half-done."),
        Error::Demo(what) => told(
            Storage,
            format!("The demonstration failed: {what}."),
            "It needs loopback networking and room in the temporary folder.",
        ),
        // The others have their own files.
        other => told(Storage, format!("{other:?}"), ""),
    }
}

fn no_answer(asked: Asked) -> Told {
    let class = match asked {
        Asked::Code => Code,
        Asked::Key => Key,
        Asked::Folder | Asked::Receiver => Usage,
    };
    let next = match asked {
        Asked::Code => "Run it on a terminal, write the code as a line to its standard input, or set WAFT_AUTH_CODE.",
        Asked::Key => "Run it on a terminal, write the key as a line to its standard input, or set WAFT_KEY.",
        Asked::Folder | Asked::Receiver => "Give it as an argument: `waft send FOLDER TO`.",
    };
    told(class, format!("No answer came for the {}.", asked.name()), next)
}

fn sealed(what: Sealed, path: &str) -> Told {
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
