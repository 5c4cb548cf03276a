//! What a person is told about folders here: the one that is sent, and the one that is received or unpacked.

use waft_core::session::StoreError;
use waft_core::session::sender::SourceError;

use super::Class::{Refused, Storage};
use super::{Told, both_bytes, sentence, told};
use crate::folder::{Few, FolderError, Unsendable};
use crate::trouble::Trouble;

/// Names of a list that are shown.
const SHOWN: usize = 10;

/// The text for a folder that cannot be sent.
pub(super) fn folder(error: &FolderError) -> Told {
    let next = match error {
        FolderError::Missing(_) => "Compare the name; `waft send FOLDER TO` sends another one.",
        FolderError::NotAFolder(_) => "Put the file into a folder, and send that.",
        FolderError::Empty(_) => "Put into it what is to be sent; links and devices are never sent.",
        FolderError::Unreadable(_) => "Look at its owner and permissions, and at whether something just removed it.",
        FolderError::Unsendable(few) => return unsendable(few),
        FolderError::PastLimit(_) => "Send it in parts.",
        FolderError::Spool(_) => "Make room in the temporary folder, or name another one in TMPDIR.",
    };
    let what = match error {
        // These begin with the folder's own name.
        FolderError::Missing(_) | FolderError::NotAFolder(_) | FolderError::Empty(_) => format!("{error}."),
        error => sentence(error),
    };
    told(Storage, what, next)
}

fn unsendable(few: &Few<Unsendable>) -> Told {
    let (long, short): (Vec<_>, Vec<_>) = few.first.iter().partition(|unsendable| unsendable.why.is_too_long());
    let (what, next) = match (short.is_empty(), long.is_empty()) {
        (_, true) => ("name", "Rename them; or leave them behind with --skip-unsendable."),
        (true, _) => (
            "path",
            "Shorten them, or send what is further down by itself; or leave them behind with --skip-unsendable.",
        ),
        _ => (
            "name or path",
            "Rename what has a wrong name, and shorten what is too long; or leave them behind with --skip-unsendable.",
        ),
    };
    let mut text = match few.count {
        1 => format!("1 {what} cannot be sent:"),
        count => format!("{count} {} cannot be sent:", what.replace("name", "names").replace("path", "paths")),
    };
    for Unsendable { path, why } in few.first.iter().take(SHOWN) {
        text.push_str(&format!("\n  {path}: {why}"));
    }
    if few.count > SHOWN as u64 {
        text.push_str(&format!("\n  and {} more", few.count - SHOWN as u64));
    }
    told(Storage, text, next)
}

/// The text for a folder that is no more what it was when the transfer began.
pub(super) fn source(error: SourceError, trouble: Option<&str>) -> Told {
    let trouble = trouble.map_or(String::new(), |trouble| format!(" {trouble}."));
    match error {
        SourceError::Changed => told(
            Storage,
            format!("The folder changed while it was read.{trouble}"),
            "Let the changes come to an end, then begin again. Nothing appeared at the other end.",
        ),
        SourceError::Unreadable => told(
            Storage,
            format!("A file of the folder cannot be read any more.{trouble}"),
            "See whether it is still there and may be read, then begin again. Nothing appeared at the other end.",
        ),
    }
}

/// The text for something in the target that the folder cannot replace.
pub(super) fn in_the_way(trouble: &Trouble) -> Told {
    told(
        Storage,
        format!("The folder does not fit among what the target holds: {trouble}."),
        "Move that away, or take another target. Nothing in the target was changed.",
    )
}

/// The text for a target that does not take the folder.
pub(super) fn store(error: StoreError, trouble: Option<&Trouble>) -> Told {
    if let Some(trouble) = trouble.filter(|trouble| trouble.is_in_the_way()) {
        return in_the_way(trouble);
    }
    let trouble = trouble.map_or(String::new(), |trouble| format!(" {trouble}."));
    match error {
        StoreError::NoSpace { needed, free } => {
            let [needed, free] = both_bytes(needed, free);
            told(
                Storage,
                format!("The disk is too full: {needed} are needed, and {free} are free."),
                "Make room, or give a target on another disk.",
            )
        }
        StoreError::NotEmpty => told(
            Refused,
            "The target is not empty.",
            "Put the folder among what it holds with --overwrite, or give another target.",
        ),
        StoreError::NotWritable => told(
            Storage,
            format!("The target cannot be written.{trouble}"),
            "Look at its owner and permissions, or give another target.",
        ),
        StoreError::Name { .. } | StoreError::Collision { .. } => told(
            Refused,
            format!("The folder has a name that cannot be held safely here, or two that mean the same file.{trouble}"),
            "Have it renamed where the folder comes from.",
        ),
        StoreError::Archive(_) | StoreError::Limit(_) => told(
            Refused,
            "What was sealed is no well-formed folder, though its key is right.",
            "Seal it again with the same release of waft. If it stays, do not trust where it comes from.",
        ),
        _ => told(
            Storage,
            format!("Reading or writing the target failed.{trouble}"),
            "Look at the disk. What the target held before is still in place.",
        ),
    }
}

/// The text for a target that cannot be one.
pub(super) fn place(trouble: &Trouble) -> Told {
    told(
        Storage,
        format!("The target cannot be used: {trouble}."),
        "Look at its name and permissions, or give another target.",
    )
}
