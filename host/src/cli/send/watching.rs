//! `waft send --watch`: sends again whenever the files change, until Ctrl-C.
//!
//! A transfer that fails does not end the command: the next change begins another one.

use crate::cli::send::Delivery;
use crate::cli::send::operator::Manner;
use crate::cli::{report_skipped, shown_paths};
use crate::error::{Class, Error};
use crate::folder::Watch;

/// Sends the folder now, and after every change.
pub(super) async fn run(delivery: &Delivery<'_>) -> Result<(), Error> {
    let (ui, interrupt) = (delivery.ui, delivery.interrupt);
    // The watch begins before the first walk, so that no change is missed.
    let mut watch = Watch::start(&delivery.paths)?;
    ui.say(format!("Watching {}. Ctrl-C ends that.", shown_paths(&delivery.paths)));
    let (mut sent, mut is_announced) = (None, false);
    loop {
        match interrupt.or(delivery.walk()).await {
            Ok(folder) if sent == Some(folder.info.manifest_digest) => {}
            Ok(folder) => {
                let digest = folder.info.manifest_digest;
                if !std::mem::replace(&mut is_announced, true) {
                    report_skipped(&folder, ui);
                }
                match delivery.deliver(folder, Manner::Brief).await {
                    Ok(()) => sent = Some(digest),
                    Err(error) => report(error, delivery)?,
                }
            }
            Err(error) => report(error, delivery)?,
        }
        let changed = async {
            watch.changed().await;
            Ok(())
        };
        interrupt.or(changed).await?;
    }
}

/// Reports an error after which the command goes on. Returns one after which no change would help.
fn report(error: Error, delivery: &Delivery<'_>) -> Result<(), Error> {
    match error.class() {
        Class::Interrupted | Class::Usage | Class::Identity => Err(error),
        _ => {
            delivery.ui.error_and_go_on(&error);
            Ok(())
        }
    }
}
