//! `waft send --to ... --to ...`: sends one folder to several receivers at the same time, each with a key of its own.
//!
//! Every receiver has its own session, and prints one line when it ends. Codes are asked for one after another.

use futures_util::future::join_all;

use crate::cli::send::Delivery;
use crate::cli::send::operator::Manner;
use crate::cli::ui::{Event, Failed};
use crate::error::{Class, Error};
use crate::folder::Folder;
use crate::send::Destination;

/// Sends the folder to all of these receivers. Succeeds if all of them have it.
pub(super) async fn send(delivery: &Delivery<'_>, to: &[Destination], folder: &Folder) -> Result<(), Error> {
    let transfers = to.iter().map(|destination| async move {
        let ended = delivery.send(destination, folder.clone(), Manner::Among).await;
        if let Err(error) = &ended {
            delivery.ui.error_of(destination.peer().name.as_str(), error);
        }
        ended.map_err(|error| error.class())
    });
    let ended = join_all(transfers).await;
    let names = to.iter().map(|destination| destination.peer().name.as_str());
    let (mut committed, mut failed) = (Vec::new(), Vec::new());
    for (peer, ended) in names.zip(&ended) {
        match ended {
            Ok(()) => committed.push(peer),
            Err(class) => failed.push(Failed { peer, class: class.name(), exit: crate::cli::exit_code(*class) }),
        }
    }
    delivery.ui.event(&Event::Summary { committed: &committed, failed: &failed });
    if failed.is_empty() {
        delivery.ui.done(format!("All {} receivers have the folder.", committed.len()));
        return Ok(());
    }
    match ended.contains(&Err(Class::Interrupted)) {
        true => Err(Error::interrupted().with_advice(missing(&failed))),
        false => Err(not_all(to.len(), &failed)),
    }
}

/// The error for receivers that do not have the folder.
fn not_all(count: usize, failed: &[Failed<'_>]) -> Error {
    let what = format!("{} of {count} receivers do not have the folder: {}.", failed.len(), list(failed, ", "));
    Error::new(Class::Partial, what, missing(failed))
}

fn missing(failed: &[Failed<'_>]) -> String {
    format!("To send to them alone, give: --to {}", list(failed, " --to "))
}

fn list(failed: &[Failed<'_>], between: &str) -> String {
    failed.iter().map(|failed| failed.peer).collect::<Vec<_>>().join(between)
}
