//! The errors of a session with a receiver that ended without a receipt.

use waft_core::session::SessionError;
use waft_core::session::sender::SendError;
use waft_core::wire::message::{Kibibytes, Limit, Refusal};

use crate::error::Class::{Broken, Code, Identity, Key, Protocol, Refused, Storage, Unknown};
use crate::error::{Error, REPORT, SAME_RELEASE, both_bytes, more_space};
use crate::session::{Phase, cancelled, malformed, misbehaved, pause};

/// The error for `cause`. `peer` is the receiver's name, `entry` is the path to which a refusal refers, escaped for display.
pub(crate) fn session_error(peer: &str, cause: SendError, entry: Option<&str>, phase: Phase) -> Error {
    match cause {
        SendError::Session(cause) => ended(peer, cause, entry, phase),
        SendError::OverLimit { limit, has, most } => over_limit(peer, limit, Some((has, most))),
        SendError::OutcomeUnknown { interrupted } => Error::new(
            Unknown,
            match interrupted {
                false => format!("Everything was sent, but the connection to {peer} ended before its receipt came."),
                true => format!("Everything was sent, but you stopped waiting before the receipt of {peer} came."),
            },
            phase.after_silence(
                "Check there whether the new folder is in place, or send again: what has arrived is not sent twice.",
            ),
        ),
        SendError::WrongReceipt => Error::new(
            Protocol,
            format!("{peer} gave a receipt for another folder than the one that was sent."),
            "Do not rely on what is there. Install the same release of waft on both sides, then send again.",
        ),
        cause => never_agreed(peer, cause),
    }
}

/// The error for a session that ended with `broken` and whose receiver could then not be reached because of `last`.
pub(crate) fn lost(broken: &Error, last: Error) -> Error {
    Error::new(broken.class(), format!("{broken} Since then: {last}"), broken.advice()).caused_by(last)
}

fn ended(peer: &str, cause: SessionError, entry: Option<&str>, phase: Phase) -> Error {
    match cause {
        SessionError::Refused(Refusal::KeyWrong) if phase == Phase::SealedKey => sealed_key(peer),
        SessionError::Refused(refusal) => refused(peer, refusal, entry),
        SessionError::PeerCancelled(cancel) => {
            cancelled(peer, cancel, "Ask the user there. Sending again continues where it stopped.", phase)
        }
        // Changed and unreadable files are reported separately, before this function is called.
        SessionError::Cancelled(_) => Error::interrupted(),
        SessionError::Disconnected => Error::new(
            Broken,
            format!("The connection to {peer} broke {}.", phase.when()),
            match phase {
                phase if phase.is_content() => {
                    "Send again: it continues where it stopped. If it breaks each time, look at the network, and at what the \
                     receiver says."
                }
                _ => "See whether `waft receive` still runs there, then send again.",
            },
        ),
        SessionError::TimedOut => Error::new(
            Broken,
            format!("{peer} has not answered for too long."),
            phase.after_silence(
                "See whether it still runs and is reachable, then send again: it continues where it stopped.",
            ),
        ),
        SessionError::Buffers => Error::new(
            Protocol,
            format!("{peer} asked for chunks that this machine cannot make."),
            "Report this as a bug in waft.",
        ),
        cause => misbehaved(peer, cause),
    }
}

fn sealed_key(peer: &str) -> Error {
    Error::new(
        Key,
        format!("The key that was sealed to {peer} could not be opened there."),
        "Install the same release of waft on both sides, then send again. If it stays: `waft id --renew` there, and trust \
         the new certificate here.",
    )
}

fn never_agreed(peer: &str, cause: SendError) -> Error {
    match cause {
        SendError::NoSpace { missing } => no_space(peer, missing),
        SendError::KeyNotTyped => Error::new(
            Key,
            format!("{peer} takes only keys that are sealed to it, and --typed-key was given."),
            "Have its policy changed, so that the key is typed there; or send without --typed-key, if whoever has access \
             to it may read the folder.",
        ),
        SendError::KeyNotSealed => Error::new(
            Key,
            format!("{peer} takes only keys that are typed there, and --sealed was given."),
            "Have it take sealed keys as well (`waft receive --either-key`); or send without --sealed, and have the key \
             typed there.",
        ),
        SendError::NoHpkeKey => Error::new(
            Identity,
            format!("{peer} takes only keys that are sealed to it, but its certificate holds nothing to seal to."),
            "Have it make a new identity (`waft id --renew` there), and trust the new certificate here.",
        ),
        SendError::NothingInCommon => Error::new(
            Protocol,
            format!("{peer} and this machine have no version, cipher or key mode in common."),
            SAME_RELEASE,
        ),
        other => Error::new(Protocol, format!("Sending to {peer} ended: {other}."), REPORT),
    }
}

fn refused(peer: &str, refusal: Refusal, entry: Option<&str>) -> Error {
    match refusal {
        Refusal::Version => {
            Error::new(Protocol, format!("{peer} speaks another version of the protocol."), SAME_RELEASE)
        }
        Refusal::Locked { .. } | Refusal::CodeTimeout => code(peer, refusal),
        Refusal::KeyWrong | Refusal::KeyTimeout | Refusal::KeyMode => key(peer, refusal),
        Refusal::Limit { limit } => over_limit(peer, limit, None),
        Refusal::Name { .. } | Refusal::Collision { .. } => name(peer, refusal, entry),
        Refusal::NoSpace { missing } => no_space(peer, missing),
        Refusal::NotWritable | Refusal::Storage | Refusal::Verify => storage(peer, refusal),
        Refusal::Archive | Refusal::Chunk | Refusal::Protocol => {
            Error::new(Protocol, format!("{peer} rejects what was sent as malformed: {}.", malformed(refusal)), REPORT)
        }
        refusal => policy(peer, refusal),
    }
}

fn code(peer: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Locked { seconds } => Error::new(
            Code,
            format!("{peer} accepts no code from this machine for {}, after too many wrong ones.", pause(seconds)),
            "Wait that long, then send again with the new code that it shows.",
        ),
        _ => Error::new(
            Code,
            format!("{peer} got no code in time."),
            "Send again, and type the four digits that it shows as soon as they are asked for.",
        ),
    }
}

fn key(peer: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::KeyWrong => Error::new(
            Key,
            format!("The key that {peer} got was wrong, three times."),
            "Send again: the run has a new key. Read it out in its groups of four.",
        ),
        Refusal::KeyTimeout => Error::new(
            Key,
            format!("Nobody typed the key at {peer}."),
            "Send again when a user is there to type it; or have the receiver started with --sealed-key, or with WAFT_KEY.",
        ),
        _ => Error::new(Key, format!("{peer} does not take the key in this way."), SAME_RELEASE),
    }
}

fn policy(peer: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NotEmpty => Error::new(
            Refused,
            format!("The target folder of {peer} is not empty."),
            "Have it started with --merge, or with --into another folder. If it has an inbox, sending under another name \
             (--as NAME) helps as well.",
        ),
        Refusal::FolderName => Error::new(
            Refused,
            format!("{peer} cannot store a folder of this name."),
            "Send it under another name with --as NAME. The receiver's error says what is wrong with this one.",
        ),
        Refusal::Edited => Error::new(
            Refused,
            format!("The folder that this one would replace was changed at {peer} since it was received."),
            "Have it moved away there, or send yours under another name with --as NAME.",
        ),
        Refusal::InUse => Error::new(
            Refused,
            format!("{peer} still reads the folder whose place the new one needs, or receives another one there."),
            "Send again when that is over; `release` at a board's console ends a `hold`.",
        ),
        Refusal::Older => Error::new(
            Refused,
            format!("{peer} has a newer folder from this machine already."),
            "Correct this machine's clock; or type `reset-guard` at the board's console.",
        ),
        Refusal::Rejected { code: 0 } => Error::new(
            Refused,
            format!("The application on {peer} did not decide about the folder in time."),
            "Its old folder is still in place. Send again, or have the application looked at.",
        ),
        Refusal::Rejected { code } => Error::new(
            Refused,
            format!("The application on {peer} rejected the folder. Its reason has the number {code}."),
            "Its old folder is still in place. The documentation of the application explains the number.",
        ),
        _ => Error::new(Refused, format!("{peer} declined the folder."), "Ask the user there, then send again."),
    }
}

fn name(peer: &str, refusal: Refusal, entry: Option<&str>) -> Error {
    match (refusal, entry) {
        (Refusal::Collision { .. }, entry) => Error::new(
            Refused,
            format!("At {peer}, {} means the same file as another name in the folder.", entry.unwrap_or("a name")),
            "Rename one of the two (mind upper and lower case, and accents), then send again.",
        ),
        (_, entry) => Error::new(
            Refused,
            match entry {
                Some(entry) => format!("{peer} cannot hold the name {entry} safely."),
                None => format!("{peer} cannot hold one of the folder's names safely."),
            },
            "Rename it, then send again. Windows cannot hold \\ : * ? \" < > |, names such as aux, or a dot at the end.",
        ),
    }
}

fn storage(peer: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NotWritable => Error::new(
            Storage,
            format!("{peer} cannot write to its target folder."),
            "Its own messages say more: permissions, or something that is in the way there. Or have it started with \
             --into another folder.",
        ),
        Refusal::Verify => Error::new(
            Storage,
            format!("What {peer} stored does not read back."),
            "Its old folder is still in place. Check its disk or flash, then send again.",
        ),
        _ => Error::new(
            Storage,
            format!("{peer} failed to read or write its storage."),
            "Its own messages say more. Send again when that is fixed: it continues where it stopped.",
        ),
    }
}

fn no_space(peer: &str, missing: Kibibytes) -> Error {
    Error::new(
        Storage,
        format!("{peer} has no room for the folder{}.", more_space(missing)),
        "Make room there, or send less.",
    )
}

/// `numbers` are the folder's value and the receiver's limit, if the receiver announced its limit beforehand.
fn over_limit(peer: &str, limit: Limit, numbers: Option<(u64, u64)>) -> Error {
    let numbers = numbers.map_or(String::new(), |(has, most)| {
        let [has, most] = match limit {
            Limit::Entries | Limit::Iterations => [has, most].map(|count| count.to_string()),
            Limit::Total | Limit::Manifest | Limit::Path | Limit::Chunk => both_bytes(has, most),
        };
        format!(": {has}, and at most {most} are taken there")
    });
    let what = match limit {
        Limit::Total => format!("The folder is larger than {peer} takes{numbers}."),
        Limit::Entries => format!("The folder has more files and folders than {peer} takes{numbers}."),
        Limit::Manifest => format!("The folder has more names than {peer} takes{numbers}."),
        Limit::Path => format!("The folder has a longer path than {peer} takes{numbers}."),
        Limit::Chunk => format!("The folder comes in larger chunks than {peer} takes{numbers}."),
        Limit::Iterations => format!("The folder has a slower key than {peer} takes{numbers}."),
    };
    let next = match limit {
        Limit::Total | Limit::Entries | Limit::Manifest => "Send less at once.",
        Limit::Path => "Shorten the paths.",
        Limit::Chunk | Limit::Iterations => {
            "That is not the folder's fault: bring waft to the same release on both sides."
        }
    };
    Error::new(Refused, what, next)
}
