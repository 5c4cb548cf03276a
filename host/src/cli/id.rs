//! `waft id`: creates, shows and renews this machine's identity.

use std::path::Path;

use super::wait_for;
use crate::certificate::FILE_MAX;
use crate::cli::arguments::{Id, IdAction};
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{AskError, Event, Question, Ui, yes_or_no};
use crate::error::{Class, Error, shown};
use crate::files::{NewFile, folder_of};
use crate::home::{Home, read_at_most};
use crate::identity::{self, Identity};
use crate::name::Name;
use crate::trust::Trust;

/// Runs the command.
pub(super) fn run(args: Id, ui: &Ui) -> Result<(), Error> {
    let name = args.name.as_deref().map(Name::new).transpose().map_err(Error::usage)?;
    let home = super::home()?;
    let opened = match args.renew {
        true => (renew(&home, args.yes, ui)?, true),
        false => Identity::open(&home)?,
    };
    if let Some(name) = &name {
        identity::set_name(&home, name)?;
    }
    match args.action {
        Some(IdAction::Cert { output }) => {
            let identity = super::report_new(opened, &home, ui);
            match output.filter(|path| path.as_os_str() != "-") {
                Some(path) => write_certificate(&identity, &path, ui)?,
                None => print_certificate(&identity, ui),
            }
        }
        None => show(opened, &home, ui)?,
    }
    if args.renew {
        ui.warn(COST);
    }
    Ok(())
}

const COST: &str = "every machine that trusts this one has to be given the new certificate, and every board that lets this \
                    machine send has to be provisioned and flashed anew";

/// Replaces the identity with a new one and keeps a copy of the old one. Unless the command line confirms it, the user
/// at the terminal is asked. Without a terminal, nothing is renewed: a line of the input may be meant for another
/// command.
fn renew(home: &Home, is_confirmed: bool, ui: &Ui) -> Result<Identity, Error> {
    if !is_confirmed {
        if !ui.is_at_terminal() {
            return Err(AskError::NoAnswer(Question::Renewal).into());
        }
        ui.must(format!("After that, {COST}."));
        if let Ok(trust) = Trust::load(home)
            && !trust.peers().is_empty()
        {
            let names: Vec<_> = trust.peers().iter().map(|peer| peer.name.as_str()).collect();
            ui.must(format!("Known here: {}.", names.join(", ")));
        }
        let question = async { Ok(ui.ask(Question::Renewal, "Make a new identity (yes or no)?", yes_or_no).await?) };
        let wanted = wait_for(Interrupt::listen().or(question))?;
        if !wanted {
            return Err(Error::new(Class::Interrupted, "The identity was not renewed.", "It is as it was."));
        }
    }
    let (identity, backup) = Identity::renew(home)?;
    if let Some(backup) = backup {
        ui.say(format!("The old identity is kept: its keys are in {}.", shown(&backup)));
    }
    Ok(identity)
}

fn print_certificate(identity: &Identity, ui: &Ui) {
    let pem = identity.certificate().to_pem();
    ui.event(&Event::Certificate { pem: &pem });
    ui.print(pem.trim_end());
}

/// Writes the certificate to a new file. A file that already has the same content is left unchanged.
fn write_certificate(identity: &Identity, path: &Path, ui: &Ui) -> Result<(), Error> {
    let pem = identity.certificate().to_pem();
    match path.symlink_metadata() {
        Ok(_) => match read_at_most(path, FILE_MAX) {
            Ok(present) if present == pem.as_bytes() => {}
            _ => return Err(Error::exists(path)),
        },
        Err(_) => {
            let written = NewFile::write_public(folder_of(path), pem.as_bytes()).and_then(|new| new.publish(path));
            written.map_err(|cause| Error::file(path, cause))?.keep();
        }
    }
    ui.event(&Event::Certificate { pem: &pem });
    ui.done(format!("The certificate is in {}.", shown(path)));
    Ok(())
}

fn show((identity, new): (Identity, bool), home: &Home, ui: &Ui) -> Result<(), Error> {
    let name = identity::name(home)?;
    let fingerprint = identity.certificate().fingerprint().to_string();
    let called = name.as_ref().map_or("(no name)", Name::as_str);
    if new {
        super::say_new_identity(home, ui);
    }
    ui.print(format!("{called}  {fingerprint}"));
    ui.event(&Event::Identity { name: name.as_ref().map(Name::as_str), fingerprint, new });
    if new {
        ui.say("To let another machine trust this one, copy its certificate there:");
        ui.say("  waft id cert -o this.pem          here");
        ui.say("  waft trust add NAME this.pem      there");
    }
    Ok(())
}
