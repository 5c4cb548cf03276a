//! Error texts about folders on this machine: one that is sent, received or unpacked.

use std::io::ErrorKind;

use waft_core::session::StoreError;
use waft_core::session::sender::SourceError;

use super::Class::{Refused, Storage};
use super::{Told, both_bytes, sentence, told};
use crate::folder::{Few, FolderError, Unsendable};
use crate::trouble::{Cause, Trouble};

/// How many names of a list are shown.
const SHOWN: usize = 10;

/// The text for a folder that cannot be sent.
pub(super) fn folder(error: &FolderError) -> Told {
    let next = match error {
        FolderError::Missing(_) => "Compare the name; `waft send FOLDER TO` sends another one.",
        FolderError::NotAFolder(_) => "Put the file into a folder, and send that.",
        FolderError::Empty(_) => "Put into it what is to be sent; links and devices are never sent.",
        FolderError::Unreadable(trouble) => unreadable(trouble),
        FolderError::Unsendable(few) => return unsendable(few),
        FolderError::PastLimit(_) => "Send it in parts.",
        FolderError::Spool(_) => "Make room in the temporary folder, or name another one in TMPDIR.",
    };
    let what = match error {
        // These texts begin with the name of the folder, whose case must not change.
        FolderError::Missing(_) | FolderError::NotAFolder(_) | FolderError::Empty(_) => format!("{error}."),
        error => sentence(error),
    };
    told(Storage, what, next)
}

/// The advice for an entry that cannot be read.
fn unreadable(trouble: &Trouble) -> &'static str {
    match trouble.io_kind() {
        Some(ErrorKind::PermissionDenied) => "Look at its owner and permissions: this user may not read it.",
        Some(ErrorKind::NotFound) => "Something has just removed it. Let that come to an end, then begin again.",
        _ => "Look at the disk or the network that it is on.",
    }
}

fn unsendable(few: &Few<Unsendable>) -> Told {
    let any = |is: fn(&Unsendable) -> bool| few.first.iter().any(is);
    let unreadable = any(|item| item.why.is_unreadable());
    let long = any(|item| item.why.is_too_long());
    let named = any(|item| !item.why.is_unreadable() && !item.why.is_too_long());
    let (one, many) = match (unreadable, named, long) {
        (true, false, false) => ("1 file or folder cannot be read", "files or folders cannot be read"),
        (false, true, false) => ("1 name cannot be sent", "names cannot be sent"),
        (false, false, true) => ("1 path cannot be sent", "paths cannot be sent"),
        (false, ..) => ("1 name or path cannot be sent", "names or paths cannot be sent"),
        _ => ("1 file or folder cannot be sent", "files or folders cannot be sent"),
    };
    let mut text = if few.count == 1 { format!("{one}:") } else { format!("{} {many}:", few.count) };
    for Unsendable { path, why } in few.first.iter().take(SHOWN) {
        text.push_str(&format!("\n  {path}: {why}"));
    }
    if few.count > SHOWN as u64 {
        text.push_str(&format!("\n  and {} more", few.count - SHOWN as u64));
    }
    let cures = [
        (unreadable, "Look at the owner and permissions of what cannot be read."),
        (named, "Rename what has a wrong name."),
        (long, "Shorten what is too long, or send what is further down by itself."),
    ];
    let mut next: Vec<_> = cures.iter().filter(|(applies, _)| *applies).map(|(_, cure)| *cure).collect();
    next.push("Or leave them behind with --skip-unsendable.");
    told(Storage, text, next.join(" "))
}

/// The text for a folder that changed after the transfer had begun.
pub(super) fn source(error: SourceError, trouble: Option<&Trouble>) -> Told {
    let cure = trouble.map_or("See whether it is still there and may be read.", unreadable);
    let trouble = trouble.map_or(String::new(), |trouble| format!(" {trouble}."));
    match error {
        SourceError::Changed => told(
            Storage,
            format!("The folder changed while it was read.{trouble}"),
            "Let the changes come to an end, then begin again. Nothing appeared at the other end.",
        ),
        _ => told(
            Storage,
            format!("A file of the folder cannot be read any more.{trouble}"),
            format!("{cure} Nothing appeared at the other end."),
        ),
    }
}

/// The text for an entry in the target that the folder cannot replace.
fn in_the_way(trouble: &Trouble) -> Told {
    told(
        Storage,
        format!("The folder does not fit among what the target holds: {trouble}."),
        "Move that away, or take another target. Nothing in the target was changed.",
    )
}

/// The text for a folder of which only a part was moved into the target and the rest cannot be moved.
fn unfinished(trouble: &Trouble) -> Told {
    told(
        Storage,
        format!("A part of the new folder is in the target, and the rest cannot be moved there: {trouble}."),
        "Look at the owner and permissions of what is named, and start the same command again: it moves the rest. Or \
         give the rest up with --abandon: then the target stays as it is now, with some files old and some new.",
    )
}

/// The text for a target that rejects the folder.
pub(super) fn store(error: StoreError, trouble: Option<&Trouble>) -> Told {
    if let Some(told) = trouble.and_then(about) {
        return told;
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
        StoreError::InUse => told(
            Refused,
            format!("The target is in use.{trouble}"),
            "Start the same command again when that is over, or give another target.",
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

/// The text for a problem that explains more than the error of the session does.
pub(super) fn about(trouble: &Trouble) -> Option<Told> {
    if trouble.is_in_the_way() {
        Some(in_the_way(trouble))
    } else if trouble.is_unfinished() {
        Some(unfinished(trouble))
    } else {
        None
    }
}

/// The text for a folder that cannot be used as a target.
pub(super) fn place(trouble: &Trouble) -> Told {
    if trouble.is_unfinished() {
        return unfinished(trouble);
    }
    if trouble.io_kind() == Some(ErrorKind::DirectoryNotEmpty) {
        return store(StoreError::NotEmpty, None);
    }
    if matches!(trouble.cause, Cause::InUse) {
        return store(StoreError::InUse, Some(trouble));
    }
    told(
        Storage,
        format!("The target cannot be used: {trouble}."),
        "Look at its name and permissions, or give another target.",
    )
}
