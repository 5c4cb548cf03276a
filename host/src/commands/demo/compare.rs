//! Holds two folders against each other, file by file.

use std::fs::{Metadata, read_dir};
use std::path::Path;

use super::{broken, failed};
use crate::error::{Error, files, shown};
use crate::platform;

/// Compares names, kinds, contents, modes and times; gives how much there was. Links are no part of what is sent.
pub(super) fn compare(one: &Path, other: &Path) -> Result<String, Error> {
    let (mut count, mut bytes) = (0, 0);
    let mut folders = vec![(one.to_owned(), other.to_owned())];
    while let Some((one, other)) = folders.pop() {
        let (names, of_other) = (names(&one)?, names(&other)?);
        if names != of_other {
            return Err(differ(&one, "names"));
        }
        for name in names {
            let (one, other) = (one.join(&name), other.join(&name));
            let metadata = one.symlink_metadata().map_err(failed)?;
            attributes_alike(&one, &metadata, &other.symlink_metadata().map_err(failed)?)?;
            if metadata.is_dir() {
                folders.push((one, other));
            } else {
                let content = std::fs::read(&one).map_err(failed)?;
                if content != std::fs::read(&other).map_err(failed)? {
                    return Err(differ(&one, "contents"));
                }
                count += 1;
                bytes += content.len() as u64;
            }
        }
    }
    Ok(format!("{}, {bytes} bytes", files(count)))
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>, Error> {
    let mut names = Vec::new();
    for entry in read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_type().map_err(failed)?.is_symlink() {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}

fn attributes_alike(path: &Path, one: &Metadata, other: &Metadata) -> Result<(), Error> {
    if one.is_dir() != other.is_dir() {
        return Err(differ(path, "kinds"));
    }
    if !platform::have_same_mode(one, other) {
        return Err(differ(path, "modes"));
    }
    if one.modified().map_err(failed)? != other.modified().map_err(failed)? {
        return Err(differ(path, "times"));
    }
    Ok(())
}

fn differ(path: &Path, what: &str) -> Error {
    broken(&format!("the {what} of {} differ", shown(path)))
}
