//! The sender's error texts for a session with `peer` that ended without a receipt.

use waft_core::session::SessionError;
use waft_core::wire::message::{Limit, Refusal};

use super::Class::{Broken, Code, Identity, Key, Protocol, Refused, Storage, Unknown};
use super::moment::{Moment, cancelled, malformed, misbehaved, pause};
use super::{REPORT, SAME_RELEASE, Told, both_bytes, told};

/// The text for `cause`. `entry` is the path to which a refusal refers, escaped for display.
pub(super) fn session(peer: &str, cause: SessionError, entry: Option<&str>, moment: Moment) -> Told {
    match cause {
        SessionError::Refused(Refusal::KeyWrong) if moment == Moment::SealedKey => sealed_key(peer),
        SessionError::Refused(refusal) => refused(peer, refusal, entry),
        SessionError::PeerCancelled(cancel) => {
            cancelled(peer, cancel, "Ask its person. Sending again goes on where it stopped.", moment)
        }
        // Changed and unreadable files are reported separately, before this function is called.
        SessionError::Cancelled(_) => super::local::interrupted(),
        SessionError::Disconnected => told(
            Broken,
            format!("The connection to {peer} broke {}.", moment.when()),
            match moment {
                moment if moment.is_content() => {
                    "Send again: it goes on where it stopped. If it breaks each time, look at the network, and at what the \
                     receiver says."
                }
                _ => "See whether `waft receive` still runs there, then send again.",
            },
        ),
        SessionError::TimedOut => told(
            Broken,
            format!("{peer} has said nothing for too long."),
            moment.after_silence(
                "See whether it still runs and is reachable, then send again: it goes on where it stopped.",
            ),
        ),
        SessionError::OverLimit { limit, has, most } => over_limit(peer, limit, Some((has, most))),
        SessionError::OutcomeUnknown { interrupted } => told(
            Unknown,
            match interrupted {
                false => format!("Everything was sent, but the connection to {peer} ended before its receipt came."),
                true => format!("Everything was sent, but you stopped waiting before the receipt of {peer} came."),
            },
            moment.after_silence(
                "Look there whether the new folder is in place; or send again: what has arrived is not sent twice.",
            ),
        ),
        _ => never_agreed(peer, cause),
    }
}

/// The text for a session that ended with `broken` and whose receiver could then not be reached because of `last`.
pub(super) fn lost(broken: Told, last: Told) -> Told {
    told(broken.class, format!("{} Since then: {}", broken.what, last.what), broken.next)
}

fn sealed_key(peer: &str) -> Told {
    told(
        Key,
        format!("The key that was sealed to {peer} did not open there."),
        "Bring waft to the same release on both sides, then send again. If it stays: `waft id --renew` there, and trust \
         the new certificate here.",
    )
}

fn never_agreed(peer: &str, cause: SessionError) -> Told {
    match cause {
        SessionError::NothingInCommon => told(
            Protocol,
            format!("{peer} and this machine have no version, cipher or key mode in common."),
            SAME_RELEASE,
        ),
        SessionError::NoSpace { needed, free } => no_space(peer, needed, free),
        SessionError::KeyNotTyped => told(
            Key,
            format!("{peer} takes only keys that are sealed to it, and --typed-key was given."),
            "Have its policy changed, so that the key is typed there; or send without --typed-key, if whoever has access \
             to it may read the folder.",
        ),
        SessionError::NoHpkeKey => told(
            Identity,
            format!("{peer} takes only keys that are sealed to it, but its certificate holds nothing to seal to."),
            "Have it make a new identity (`waft id --renew` there), and trust the new certificate here.",
        ),
        SessionError::WrongReceipt => told(
            Protocol,
            format!("{peer} gave a receipt for another folder than the one that was sent."),
            "Do not rely on what is there. Bring waft to the same release on both sides, then send again.",
        ),
        SessionError::Buffers => told(
            Protocol,
            format!("{peer} asked for chunks that this machine cannot make."),
            "Report this as a bug in waft.",
        ),
        cause => misbehaved(peer, cause),
    }
}

fn refused(peer: &str, refusal: Refusal, entry: Option<&str>) -> Told {
    match refusal {
        Refusal::Version => told(Protocol, format!("{peer} speaks another version of the protocol."), SAME_RELEASE),
        Refusal::Locked { .. } | Refusal::CodeTimeout => code(peer, refusal),
        Refusal::KeyWrong | Refusal::KeyTimeout | Refusal::KeyMode => key(peer, refusal),
        Refusal::Limit { limit } => over_limit(peer, limit, None),
        Refusal::Name { .. } | Refusal::Collision { .. } => name(peer, refusal, entry),
        Refusal::NoSpace { needed, free } => no_space(peer, needed, free),
        Refusal::NotWritable | Refusal::Storage | Refusal::Verify => storage(peer, refusal),
        Refusal::Archive | Refusal::Chunk | Refusal::Protocol => {
            told(Protocol, format!("{peer} holds what was sent to be malformed: {}.", malformed(refusal)), REPORT)
        }
        refusal => policy(peer, refusal),
    }
}

fn code(peer: &str, refusal: Refusal) -> Told {
    match refusal {
        Refusal::Locked { seconds } => told(
            Code,
            format!("{peer} takes no code from this machine for {}, after too many wrong ones.", pause(seconds)),
            "Wait so long, then send again with the new code that it shows.",
        ),
        _ => told(
            Code,
            format!("{peer} got no code in time."),
            "Send again, and type the four digits that it shows as soon as they are asked for.",
        ),
    }
}

fn key(peer: &str, refusal: Refusal) -> Told {
    match refusal {
        Refusal::KeyWrong => told(
            Key,
            format!("The key that {peer} got was wrong, three times."),
            "Send again: the run has a new key. Read it out in its groups of four; it has no I, L, O or U.",
        ),
        Refusal::KeyTimeout => told(
            Key,
            format!("Nobody typed the key at {peer}."),
            "Send again when a user is there to type it; or have the receiver started with --no-key, or with WAFT_KEY.",
        ),
        _ => told(Key, format!("{peer} does not take the key in this way."), SAME_RELEASE),
    }
}

fn policy(peer: &str, refusal: Refusal) -> Told {
    match refusal {
        Refusal::NotEmpty => told(
            Refused,
            format!("The target folder of {peer} is not empty."),
            "Have it started with --overwrite, or with --into another folder.",
        ),
        Refusal::InUse => told(
            Refused,
            format!("{peer} still reads the folder whose place the new one needs, or receives another one there."),
            "Send again when that is over; `release` at a board's console ends a `hold`.",
        ),
        Refusal::Older => told(
            Refused,
            format!("{peer} has a newer folder from this machine already."),
            "Set this machine's clock right; or type `reset-guard` at the board's console.",
        ),
        _ => told(Refused, format!("{peer} declined the folder."), "Ask its person, then send again."),
    }
}

fn name(peer: &str, refusal: Refusal, entry: Option<&str>) -> Told {
    match (refusal, entry) {
        (Refusal::Collision { .. }, entry) => told(
            Refused,
            format!("At {peer}, {} means the same file as another name in the folder.", entry.unwrap_or("a name")),
            "Rename one of the two (mind upper and lower case, and accents), then send again.",
        ),
        (_, entry) => told(
            Refused,
            match entry {
                Some(entry) => format!("{peer} cannot hold the name {entry} safely."),
                None => format!("{peer} cannot hold one of the folder's names safely."),
            },
            "Rename it, then send again. Windows cannot hold \\ : * ? \" < > |, names such as aux, or a dot at the end.",
        ),
    }
}

fn storage(peer: &str, refusal: Refusal) -> Told {
    match refusal {
        Refusal::NotWritable => told(
            Storage,
            format!("{peer} cannot write to its target folder."),
            "What it says itself tells more: permissions, or something that is in the way there. Or have it started with \
             --into another folder.",
        ),
        Refusal::Verify => told(
            Storage,
            format!("What {peer} stored does not read back."),
            "Its old folder is still in place. Have its disk or flash looked at, then send again.",
        ),
        _ => told(
            Storage,
            format!("{peer} failed to read or write its storage."),
            "What it says itself tells more. Send again when that is mended: it goes on where it stopped.",
        ),
    }
}

fn no_space(peer: &str, needed: u64, free: u64) -> Told {
    let [needed, free] = both_bytes(needed, free);
    told(
        Storage,
        format!("{peer} has no room for the folder: it needs {needed}, and {free} are free."),
        "Make room there, or send less.",
    )
}

/// `numbers` are the folder's value and the receiver's limit, if the receiver announced its limit beforehand.
fn over_limit(peer: &str, limit: Limit, numbers: Option<(u64, u64)>) -> Told {
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
    told(Refused, what, next)
}
