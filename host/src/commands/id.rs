//! `waft id`: makes, shows and renews this machine's identity.

use crate::cli::{Id, IdAction};
use crate::error::Error;
use crate::home::Home;
use crate::identity::{self, Identity};
use crate::name::Name;
use crate::ui::{Event, Ui};

/// Does what was typed.
pub(super) fn run(args: Id, ui: &Ui) -> Result<(), Error> {
    let name = args.name.as_deref().map(Name::new).transpose().map_err(Error::usage)?;
    let home = Home::open()?;
    let (identity, new) = match args.renew {
        true => (Identity::renew(&home)?, true),
        false => Identity::open(&home)?,
    };
    if let Some(name) = &name {
        identity::set_name(&home, name)?;
    }
    match args.action {
        Some(IdAction::Cert) => print_certificate(&identity, ui),
        None => show(&identity, &home, new, ui)?,
    }
    if args.renew {
        ui.warn("whoever trusts this machine has to be given the new certificate");
    }
    Ok(())
}

fn print_certificate(identity: &Identity, ui: &Ui) {
    let pem = identity.certificate().to_pem();
    ui.event(&Event::Certificate { pem: &pem });
    ui.print(pem.trim_end());
}

fn show(identity: &Identity, home: &Home, new: bool, ui: &Ui) -> Result<(), Error> {
    let name = identity::name(home)?;
    let fingerprint = identity.certificate().fingerprint().to_string();
    let called = name.as_ref().map_or("(no name)", Name::as_str);
    if new {
        super::tell_new_identity(home, ui);
    }
    ui.print(format!("{called}  {fingerprint}"));
    ui.event(&Event::Identity { name: name.as_ref().map(Name::as_str), fingerprint, new });
    if new {
        ui.say(
            "To be trusted elsewhere: waft id cert > this.pem, carry it there, and there: waft trust add NAME this.pem",
        );
    }
    Ok(())
}
