//! The senders that a board will trust: their certificates and their names on the board.

use std::path::{Path, PathBuf};

use waft_receiver::identity::SENDERS_MAX;

use crate::certificate::Certificate;
use crate::cli::trust::certificate;
use crate::error::{Error, shown};
use crate::home::Home;
use crate::identity;
use crate::name::Name;
use crate::provision::Sender;
use crate::trust::Trust;

/// The name of this machine on a board, if its user has not set one.
const UNNAMED: &str = "laptop";

/// The senders with these certificates; if none are given, this machine.
pub(super) fn read(paths: &[PathBuf], home: &Home, own: &Certificate) -> Result<Vec<Sender>, Error> {
    if paths.is_empty() {
        return Ok(vec![self::own(home, own)?]);
    }
    if paths.len() > SENDERS_MAX {
        return Err(Error::usage(format!(
            "a board trusts at most {SENDERS_MAX} senders, but {} are given",
            paths.len()
        )));
    }
    let trust = Trust::load(home)?;
    let mut senders = Vec::with_capacity(paths.len());
    for path in paths {
        let sender = one(path, home, own, &trust)?;
        check_distinct(&sender, &senders, path)?;
        senders.push(sender);
    }
    Ok(senders)
}

/// This machine as a sender.
pub(in crate::cli) fn own(home: &Home, own: &Certificate) -> Result<Sender, Error> {
    let name = identity::name(home)?;
    let name = name.unwrap_or_else(|| Name::new(UNNAMED).expect("letters are a valid name"));
    Ok(Sender { name, certificate: own.clone() })
}

/// The sender with the certificate in a file. Its name is the one under which this machine trusts it, else the name
/// of the file.
fn one(path: &Path, home: &Home, own: &Certificate, trust: &Trust) -> Result<Sender, Error> {
    let certificate = certificate(path)?;
    match trust.by_hash(certificate.hash()) {
        _ if certificate == *own => self::own(home, own),
        Some(known) => Ok(Sender { name: known.name.clone(), certificate }),
        None => Ok(Sender { name: named_after(path)?, certificate }),
    }
}

fn named_after(path: &Path) -> Result<Name, Error> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Name::new(&stem).map_err(|problem| {
        Error::usage(format!("the sender of {} cannot be named after the file: {problem}; rename it", shown(path)))
    })
}

fn check_distinct(sender: &Sender, others: &[Sender], path: &Path) -> Result<(), Error> {
    match others.iter().find(|other| other.certificate == sender.certificate || other.name == sender.name) {
        None => Ok(()),
        Some(other) if other.certificate == sender.certificate => {
            Err(Error::usage(format!("the certificate in {} is given twice", shown(path))))
        }
        Some(other) => Err(Error::usage(format!(
            "the certificate in {} is another sender's, but both would be named {}; rename the file",
            shown(path),
            other.name
        ))),
    }
}
