//! Error texts about this machine's identity, its configuration folder, and its trusted peers.

use super::Class::{Identity, Storage, Usage};
use super::{Told, sentence, shown, told};
use crate::certificate::CertificateError;
use crate::home::HomeError;
use crate::identity::IdentityError;
use crate::trust::TrustError;

const RENEW: &str = "If you have a copy, put it back. Else make a new identity with `waft id --renew`, and give everyone \
                     who trusts this machine its new certificate.";

/// The text for an identity that cannot be used.
pub(super) fn identity(error: &IdentityError) -> Told {
    let what = match error {
        IdentityError::Home(error) => return home(error),
        error => format!("This machine's identity cannot be used: {error}."),
    };
    let next = match error {
        IdentityError::TooOpen(_) => {
            "Close it, and think whether others may have read it; then rather `waft id --renew`."
        }
        IdentityError::Name { .. } => "Give the machine its name anew: waft id --name NAME",
        _ => RENEW,
    };
    told(Identity, what, next)
}

/// The text for a configuration folder that cannot be used.
pub(super) fn home(error: &HomeError) -> Told {
    if error.is_disk_full() {
        return told(
            Storage,
            format!("Identity and trust cannot be kept: {error}."),
            "Make room on that disk, or name a folder on another one in WAFT_HOME. What was there before is as it was.",
        );
    }
    if let HomeError::NotPrivate { .. } = error {
        return told(
            Identity,
            format!("Identity and trust cannot be kept: {error}."),
            "Name a folder on another file system in WAFT_HOME. Nothing was written.",
        );
    }
    told(
        Identity,
        format!("Identity and trust cannot be reached: {error}."),
        "Look at the folder's owner and permissions, or name another one in WAFT_HOME.",
    )
}

/// The text for a trust file that cannot be read or changed.
pub(super) fn trust(error: &TrustError) -> Told {
    let (class, next) = match error {
        TrustError::Home(error) => return home(error),
        TrustError::Damaged { .. } => {
            (Identity, "Mend the file, or remove it and add everyone again with `waft trust add`.")
        }
        TrustError::Own => (Usage, "The other machine prints its own with `waft id cert`."),
        TrustError::NameTaken { .. } | TrustError::KnownAs { .. } => (Usage, "`waft trust list` shows everyone."),
        TrustError::Unknown { .. } => (Usage, "`waft trust list` shows everyone; `waft trust add` adds one."),
        TrustError::NoReceiver => (
            Identity,
            "Carry the receiver's certificate here (`waft id cert` there), then: waft trust add NAME CERT.pem",
        ),
        TrustError::SeveralReceivers => (Usage, "Give its name: waft send FOLDER NAME, or NAME@HOST."),
    };
    told(class, sentence(error), next)
}

/// The text for a file that is not a usable certificate.
pub(super) fn certificate(path: &std::path::Path, error: CertificateError) -> Told {
    told(
        Identity,
        format!("{} cannot be trusted: {error}.", shown(path)),
        "Let the other machine print its certificate again (`waft id cert`), and carry that file here.",
    )
}

/// The text for a receiver without a known address.
pub(super) fn no_address(name: &str) -> Told {
    told(
        Usage,
        format!("Where {name} listens is not known."),
        format!("Give an address that it shows: waft send FOLDER {name}@ADDRESS. It is remembered from then on."),
    )
}

/// The text for a trusted peer that may not receive from this machine.
pub(super) fn not_a_receiver(name: &str) -> Told {
    told(
        Identity,
        format!("{name} is trusted here, but not to receive from this machine."),
        format!("To allow it: waft trust remove {name}, then add it again without --sends."),
    )
}
