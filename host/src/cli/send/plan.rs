//! `waft send --dry-run`: lists what would be sent and what not, and sends nothing.

use std::path::PathBuf;

use waft_core::path::escape;

use crate::cli::arguments::Send;
use crate::cli::send::{Arguments, FOLDER, known_destinations};
use crate::cli::ui::{Event, Ui};
use crate::cli::{number_of_files, open_home, skipped_kind, walk_options};
use crate::error::{Error, bytes};
use crate::folder::{Folder, Options};
use crate::worker::in_background;

/// Lists the content of these paths. A receiver is only looked up.
pub(super) async fn run(arguments: &Arguments<'_>, args: &Send, ui: &Ui) -> Result<(), Error> {
    if !arguments.to.is_empty() {
        let (_, trust) = in_background(open_home).await?;
        known_destinations(&arguments.to, &trust, ui)?;
    }
    let default = [PathBuf::from(FOLDER)];
    let paths = if arguments.paths.is_empty() { &default } else { arguments.paths };
    let folder = Folder::gather(paths, &Options { list_all: true, ..walk_options(&args.content) }).await?;
    folder.list(|path, size| print_listed(path, size, ui))?;
    for path in &folder.left_out.first {
        print_left_out(path, "excluded", ui);
    }
    for skipped in &folder.skipped.first {
        print_left_out(&skipped.path, skipped_kind(skipped.why), ui);
    }
    for unsendable in &folder.unsendable.first {
        print_left_out(&unsendable.path, &unsendable.why.to_string(), ui);
    }
    let shape = folder.info.shape;
    let left_out = folder.left_out.count + folder.skipped.count + folder.unsendable.count;
    ui.say(format!(
        "It would send {}, {}, as {}, and leave out {left_out}. Nothing was sent.",
        number_of_files(shape.files),
        bytes(shape.total),
        escape(args.name.as_deref().unwrap_or(folder.name().as_str()))
    ));
    Ok(())
}

fn print_listed(path: &str, size: Option<u64>, ui: &Ui) {
    ui.event(&Event::Listed { path: &waft_core::path::escape(path).to_string(), bytes: size });
    match size {
        Some(size) => ui.print(format!("{path}  {}", bytes(size))),
        None => ui.print(format!("{path}/")),
    }
}

fn print_left_out(path: &str, why: &str, ui: &Ui) {
    ui.event(&Event::LeftOut { path, why });
    ui.print(format!("not sent: {path}: {why}"));
}
