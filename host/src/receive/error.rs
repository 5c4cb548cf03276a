//! The errors of a session with a sender that ended without a committed folder.
//!
//! In these cases the target holds what it held before, unless [`FileError::is_unfinished`] is true: then a part of the new
//! folder was already moved into it.

use waft_core::session::SessionError;
use waft_core::wire::message::{Cancel, Kibibytes, Limit, Refusal};

use crate::error::Class::{Broken, Code, Key, Protocol, Refused, Storage};
use crate::error::{Cause, Error, FileError, SAME_RELEASE, more_space};
use crate::session::{Phase, cancelled, malformed, misbehaved, pause};
use crate::store;

const KEPT: &str = "Whatever was received is kept: when the folder is sent again, it continues from there.";
const NOTHING: &str = "Nothing was received in this try. The folder can be sent again.";

/// The error for `cause`. `peer` is the sender's name, `file` the path and the problem if the store failed.
pub(crate) fn session_error(peer: &str, cause: SessionError, file: Option<&FileError>, phase: Phase) -> Error {
    let named = file.and_then(|file| in_inbox(peer, file));
    // The user knows which target it is, but not which folder of an inbox.
    let is_known = cause == SessionError::Refused(Refusal::NotEmpty) && named.is_none();
    let error = named.unwrap_or_else(|| ended(peer, cause, phase));
    match file.filter(|_| !is_known) {
        Some(file) => store::error::specific(file).unwrap_or_else(|| error.detailed(file)),
        None => error,
    }
}

/// The error for a problem that only an inbox has.
fn in_inbox(peer: &str, file: &FileError) -> Option<Error> {
    match file.cause {
        Cause::NotTheirs => Some(Error::new(
            Refused,
            format!("{peer} sends a folder of a name that is taken here."),
            "Have it sent under another name with `waft send --as NAME`, or move away what is here; or receive with --merge \
             to put the new files among what is here.",
        )),
        Cause::SenderName => Some(Error::new(
            Storage,
            format!("The folders of {peer} cannot be stored in this inbox."),
            "Trust this sender under another name: `waft trust remove` it, then `waft trust add NAME CERT.pem`.",
        )),
        _ => None,
    }
}

fn ended(peer: &str, cause: SessionError, phase: Phase) -> Error {
    let kept = if phase.is_content() { KEPT } else { NOTHING };
    match cause {
        SessionError::Refused(Refusal::KeyWrong) if phase == Phase::SealedKey => sealed_key(peer),
        SessionError::Refused(refusal) => refused(peer, refusal),
        SessionError::PeerCancelled(cancel) => cancelled_there(peer, cancel, kept, phase),
        SessionError::Cancelled(Cancel::BaseLost) => Error::new(
            Broken,
            format!("A file that {peer} did not have to send again was removed or changed here meanwhile."),
            "Nothing has to be done: the sender connects again, and sends everything.",
        ),
        SessionError::Cancelled(_) => Error::interrupted(),
        SessionError::Disconnected => Error::new(
            Broken,
            format!(
                "The connection from {peer} broke {}.",
                if phase.is_content() { "in the middle" } else { "before the transfer began" }
            ),
            kept,
        ),
        SessionError::TimedOut => {
            Error::new(Broken, format!("{peer} has sent nothing for too long."), phase.after_silence(kept))
        }
        cause => misbehaved(peer, cause),
    }
}

fn sealed_key(peer: &str) -> Error {
    Error::new(
        Key,
        format!("The key that {peer} sealed to this machine is not the one of its folder."),
        "Install the same release of waft on both sides, and have it sent again. If it stays: `waft id --renew` here, and \
         have the new certificate trusted there.",
    )
}

fn refused(peer: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Locked { seconds } => Error::new(
            Code,
            format!("{peer} gave too many wrong codes, and has to wait {}.", pause(seconds)),
            "If you know the user there, tell them the new code. If not: `waft trust remove` it.",
        ),
        Refusal::CodeTimeout => Error::new(
            Code,
            format!("{peer} gave no code in time."),
            "Tell the user there the code that is shown here.",
        ),
        Refusal::KeyWrong | Refusal::KeyTimeout | Refusal::KeyMode => key(peer, refusal),
        Refusal::Version => {
            Error::new(Protocol, format!("{peer} speaks another version of the protocol."), SAME_RELEASE)
        }
        Refusal::Protocol => Error::new(Protocol, format!("{peer} violates the protocol."), SAME_RELEASE),
        Refusal::Archive | Refusal::Chunk => Error::new(
            Protocol,
            format!("What {peer} sent is malformed: {}. Nothing of it was kept.", malformed(refusal)),
            "Install the same release of waft on both sides. If it stays, do not trust that sender.",
        ),
        Refusal::NoSpace { .. } | Refusal::NotWritable | Refusal::Storage | Refusal::Verify => storage(peer, refusal),
        refusal => policy(peer, refusal),
    }
}

fn key(peer: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::KeyWrong => Error::new(
            Key,
            format!("The key was wrong, three times; the folder of {peer} was refused."),
            "Have it sent again: the new run has a new key. Let it be read out in its groups of four.",
        ),
        Refusal::KeyTimeout => Error::new(
            Key,
            "Nobody typed the key in time.",
            "Have the folder sent again, and type the key that the sender shows; or receive with --sealed-key.",
        ),
        _ => Error::new(Key, format!("{peer} does not give the key in the way that is asked for."), SAME_RELEASE),
    }
}

fn policy(peer: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NotEmpty => Error::new(
            Refused,
            "The target folder is not empty.",
            "Receive with --merge to put the folder among what it holds, replacing files of the same name; or with --into another folder.",
        ),
        Refusal::FolderName => Error::new(
            Refused,
            format!("The folder of {peer} has a name under which it cannot be stored here."),
            "Have it sent under another name: `waft send --as NAME`.",
        ),
        Refusal::Edited => Error::new(
            Refused,
            format!("The folder of {peer} that this one would replace was changed here since it was received."),
            "Move it away, and have the new one sent again; or receive with --merge to put the new files among what it holds.",
        ),
        Refusal::Name { .. } => Error::new(
            Refused,
            format!("The folder of {peer} has a name that cannot be held safely here."),
            "The sender shows which; have it renamed there.",
        ),
        Refusal::Collision { .. } => Error::new(
            Refused,
            format!("The folder of {peer} has two names that mean the same file here."),
            "The sender shows which; have one of them renamed there.",
        ),
        Refusal::Limit { limit } => Error::new(
            Refused,
            format!("The folder of {peer} goes past a limit: {}.", limit_name(limit)),
            match limit {
                Limit::Chunk | Limit::Iterations => SAME_RELEASE,
                Limit::Path => "Have the paths shortened there.",
                _ => "Have less sent at once.",
            },
        ),
        Refusal::Older => Error::new(
            Refused,
            format!("The folder of {peer} is older than the one that it sent last."),
            "Correct the sender's clock.",
        ),
        _ => Error::new(Refused, format!("The folder of {peer} was refused."), "Have it sent again later."),
    }
}

fn storage(peer: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoSpace { missing } => no_space(peer, missing),
        Refusal::NotWritable => Error::new(
            Storage,
            "The target folder cannot be written.",
            "Look at its permissions and its owner, or receive with --into another folder.",
        ),
        Refusal::Verify => Error::new(
            Storage,
            "What was stored does not read back.",
            "The old folder is still in place. Check the disk.",
        ),
        _ => Error::new(
            Storage,
            format!("Reading or writing failed while receiving from {peer}."),
            "Look at the disk and its free space. What was received is kept for the next try.",
        ),
    }
}

fn no_space(peer: &str, missing: Kibibytes) -> Error {
    Error::new(
        Storage,
        format!("The disk is too full for the folder of {peer}{}.", more_space(missing)),
        "Make room, or receive with --into a folder on another disk.",
    )
}

fn cancelled_there(peer: &str, cancel: Cancel, kept: &str, phase: Phase) -> Error {
    match cancel {
        Cancel::SourceChanged => Error::new(Broken, format!("The folder changed at {peer} while it was sent."), kept),
        Cancel::SourceUnreadable => {
            Error::new(Broken, format!("{peer} could not read a file of the folder any more."), kept)
        }
        cancel => cancelled(peer, cancel, kept, phase),
    }
}

fn limit_name(limit: Limit) -> &'static str {
    match limit {
        Limit::Total => "its size",
        Limit::Entries => "the number of its files and folders",
        Limit::Manifest => "the length of all its names",
        Limit::Path => "the length of a path",
        Limit::Chunk => "the size of its chunks",
        Limit::Iterations => "the iterations of its key",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_trust_can_change_gets_that_advice() {
        let file = FileError::new("inbox/aux", Cause::SenderName);
        let cause = SessionError::Refused(Refusal::NotWritable);
        let error = session_error("aux", cause, Some(&file), Phase::Key);
        assert!(error.to_string().contains("inbox/aux"), "{error}");
        assert!(error.advice().contains("trust") && !error.advice().contains("--as"), "{error}");
    }
}
