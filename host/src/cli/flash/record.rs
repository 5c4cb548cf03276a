//! What `waft flash` has to know of a board: its kind, where the file with its identity is, and the digest of a file that has the
//! program, too. `waft provision` stores it as `provisioned.json` in the configuration folder. The private key is only in the
//! user's file.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf, absolute};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::board::Board;
use crate::error::{Class, Error, shown};
use crate::home::Home;
use crate::name::Name;

/// The name of the file in the configuration folder.
const FILE: &str = "provisioned.json";
const TEXT_MAX: u64 = 8 << 20;

/// The boards that were provisioned on this machine.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Record {
    boards: Vec<Provisioned>,
}

/// A board that was provisioned.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Provisioned {
    name: Name,
    /// Its kind, as [`Board::find`] takes it: a name, or the absolute path of a description.
    pub(super) board: String,
    /// The absolute path of the file with its identity.
    pub(super) file: PathBuf,
    /// Whether this file also has the seed and the program.
    pub(super) combined: bool,
    /// The SHA-256 of such a file, in hexadecimal. Earlier versions did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
}

impl Provisioned {
    /// A board of the kind that the user typed, whose file was just created.
    pub(in crate::cli) fn new(
        name: &Name,
        typed: &str,
        board: &Board,
        file: &Path,
        combined: bool,
    ) -> Result<Self, Error> {
        let full = |path: &Path| absolute(path).map_err(|cause| Error::file(path, cause));
        let board = match board.folder {
            Some(_) => full(Path::new(typed))?.to_str().ok_or_else(not_utf8)?.to_owned(),
            None => board.name.clone(),
        };
        let sha256 = combined.then(|| sha256(file)).transpose().map_err(|cause| Error::file(file, cause))?;
        Ok(Self { name: name.clone(), board, file: full(file)?, combined, sha256 })
    }
}

/// The SHA-256 of a regular file, in hexadecimal.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    check_readable(path)?;
    let (mut file, mut context) = (File::open(path)?, Context::new(&SHA256));
    // The file has a private key.
    let mut buffer = Zeroizing::new(vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()),
            Ok(length) => context.update(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Checks that a file is a regular one that can be opened. A pipe would block, and cannot be read twice.
pub(super) fn check_readable(path: &Path) -> io::Result<()> {
    match path.metadata()?.is_file() {
        true => File::open(path).map(drop),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

fn not_utf8() -> Error {
    Error::usage("a path that is not UTF-8 cannot be remembered for `waft flash`")
}

impl Record {
    /// Loads the file. Without one, no board is known.
    pub(in crate::cli) fn load(home: &Home) -> Result<Self, Error> {
        let Some(text) = home.read(FILE, TEXT_MAX)? else { return Ok(Self::default()) };
        serde_json::from_slice(&text).map_err(|problem| {
            let what = format!("{} is damaged: {problem}.", shown(home.file(FILE)));
            Error::new(Class::Storage, what, "Remove it: it only says where the files of `waft provision` are.")
        })
    }

    /// The board with this name.
    pub(super) fn find(&self, name: &Name) -> Option<&Provisioned> {
        self.boards.iter().find(|board| board.name == *name)
    }

    /// Stores a board, in place of an earlier one of this name, under a lock against other processes.
    pub(in crate::cli) fn remember(home: &Home, board: Provisioned) -> Result<(), Error> {
        let _turn = home.lock()?;
        let mut record = Self::load(home)?;
        record.boards.retain(|known| known.name != board.name);
        record.boards.push(board);
        let text = serde_json::to_vec_pretty(&record).map_err(|_| not_utf8())?;
        Ok(home.write(FILE, &text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_board_of_a_name_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home")).unwrap();
        let name = |name| Name::new(name).unwrap();
        let mps2 = Board::named("mps2").unwrap();
        assert!(Record::load(&home).unwrap().find(&name("kitchen")).is_none());
        for (typed, file) in [("kitchen", "old.bin"), ("attic", "attic.bin"), ("Kitchen", "new.bin")] {
            let board = Provisioned::new(&name(typed), "mps2", mps2, Path::new(file), false).unwrap();
            Record::remember(&home, board).unwrap();
        }
        let record = Record::load(&home).unwrap();
        assert_eq!(record.boards.len(), 2);
        let kitchen = record.find(&name("kitchen")).unwrap();
        assert_eq!((kitchen.board.as_str(), &kitchen.file), ("mps2", &absolute("new.bin").unwrap()));
        let other = Board { folder: Some("/project".into()), ..mps2.clone() };
        let file = folder.path().join("everything");
        std::fs::write(&file, b"abc").unwrap();
        let other = Provisioned::new(&name("hall"), "toaster.toml", &other, &file, true).unwrap();
        assert_eq!(Path::new(&other.board), absolute("toaster.toml").unwrap());
        // The example "abc" of FIPS 180.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(other.sha256.as_deref(), Some(digest));
        assert!(sha256(folder.path()).is_err());
        home.write(FILE, b"{}").unwrap();
        let error = Record::load(&home).unwrap_err();
        assert!(error.to_string().contains("provisioned.json is damaged: missing field `boards`"), "{error}");
    }
}
