//! What `waft provision` creates: images of the identity and the seed, or with `--firmware` one file that holds them and the
//! program.

use std::path::{Path, PathBuf};

use crate::board::{Board, quoted};
use crate::certificate::Certificate;
use crate::cli::firmware::{format_of, print_how};
use crate::cli::ui::Ui;
use crate::error::{Error, shown};
use crate::home::Home;
use crate::image::Image;
use crate::provision::{Combined, Images, Plan};
use crate::trust::Peer;

/// The files to create for a board.
pub(super) enum Output<'a> {
    /// Each image in a file of its own.
    Separate(Images),
    /// One file with everything.
    Combined(Combined<'a>),
}

impl<'a> Output<'a> {
    /// Chooses the files. With a program in an ELF file everything goes into the file `path`.
    pub(super) fn new(path: PathBuf, firmware: Option<&Path>, board: &'a Board) -> Result<Self, Error> {
        let Some(firmware) = firmware else {
            return Ok(Self::Separate(Images { seed: board.seed_image(&path), identity: path }));
        };
        let format = format_of(board, &board.image_commands)?;
        Ok(Self::Combined(Combined { path, program: Image::read(firmware, board)?, board, format }))
    }

    /// Checks that neither the name nor a file is already taken.
    pub(super) fn check(&self, plan: &Plan, home: &Home) -> Result<(), Error> {
        match self {
            Self::Separate(images) => plan.check(home, images),
            Self::Combined(combined) => plan.check_combined(home, combined),
        }
    }

    /// Creates the files, and trusts the board.
    pub(super) fn create(&self, plan: Plan, home: &Home, own: &Certificate) -> Result<Peer, Error> {
        match self {
            Self::Separate(images) => plan.carry_out(home, own, images),
            Self::Combined(combined) => plan.carry_out_combined(home, own, combined),
        }
    }

    /// The file with the identity.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Separate(images) => &images.identity,
            Self::Combined(combined) => &combined.path,
        }
    }

    /// The file with the first record of the seed, if it is one of its own.
    pub(super) fn seed(&self) -> Option<&Path> {
        match self {
            Self::Separate(images) => images.seed.as_deref(),
            Self::Combined(_) => None,
        }
    }

    /// Whether one file holds everything.
    pub(super) fn is_combined(&self) -> bool {
        matches!(self, Self::Combined(_))
    }

    /// The commands that flash the board, and before that build what they need.
    pub(super) fn commands(&self, board: &Board) -> Vec<String> {
        match self {
            Self::Separate(images) => board.all_commands(&images.identity),
            Self::Combined(combined) => {
                board.flash_image(&combined.path).into_iter().map(|command| command.line).collect()
            }
        }
    }

    /// Prints how the board is flashed.
    pub(super) fn print_commands(&self, board: &Board, ui: &Ui) {
        let commands = self.commands(board);
        if let Self::Combined(combined) = self {
            return print_how(&combined.path, combined.format, &commands, ui);
        }
        let from = match &board.folder {
            Some(folder) => quoted(&folder.to_string_lossy()),
            None => "the top of waft's source".into(),
        };
        ui.print(format!("\nTo build and flash, from {from}:"));
        commands.iter().for_each(|command| ui.print_command(command));
        ui.print("");
    }

    /// Says what the files hold, and that they are flashed once.
    pub(super) fn warn(&self, ui: &Ui) {
        let path = shown(self.path());
        match self {
            Self::Separate(Images { seed, .. }) => {
                ui.must(format!("{path} holds the only copy of its private key: delete the file once it is flashed."));
                if let Some(seed) = seed {
                    ui.must(format!(
                        "{} begins its random numbers: flash it once, and delete the file. Flashed again, it may repeat them.",
                        shown(seed)
                    ));
                }
            }
            Self::Combined(_) => ui.must(format!(
                "{path} holds the only copy of its private key: flash it once, and delete the file. Flashed again, it resets the \
                 board to the state of today. For new versions of the program, use `waft firmware`."
            )),
        }
    }
}
