//! The files with the firmware of the radio CYW43439, which a build takes from a folder that the user names: their licence
//! keeps them out of this source.
//!
//! `build.rs` compiles this module; the library only tests it.
//!
//! ```text
//! WAFT_CYW43_FIRMWARE=/a/folder    build.rs checks its files ──► RADIO_FILES ──► the program includes them
//!                     stand-ins    build.rs makes stand-ins of the right sizes
//! ```

use core::ops::RangeInclusive;

/// The environment variable that names the folder.
pub(crate) const VARIABLE: &str = "WAFT_CYW43_FIRMWARE";
/// The value of the variable for a program with stand-ins, which links but cannot start the radio.
pub(crate) const STAND_INS: &str = "stand-ins";

/// A file of the radio's firmware.
#[derive(Clone, Debug)]
pub(crate) struct RadioFile {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its size in the release for cyw43 0.7, in bytes.
    pub(crate) size: usize,
    /// The sizes in which other releases may come, in bytes.
    pub(crate) sizes: RangeInclusive<usize>,
}

/// The files: the program of the radio, its regulatory limits, and its configuration for the board.
pub(crate) const FILES: [RadioFile; 3] = [
    RadioFile { name: "43439A0.bin", size: 231_077, sizes: 200_000..=260_000 },
    RadioFile { name: "43439A0_clm.bin", size: 984, sizes: 500..=8_192 },
    RadioFile { name: "nvram_rp2040.bin", size: 742, sizes: 400..=4_096 },
];

/// Where the files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    /// A folder.
    Folder(&'a str),
    /// Stand-ins, made by the build.
    StandIns,
}

/// Decides by the value of [`VARIABLE`]. `None` if no folder is named.
pub(crate) fn source(value: Option<&str>) -> Option<Source<'_>> {
    match value {
        None | Some("") => None,
        Some(STAND_INS) => Some(Source::StandIns),
        Some(folder) => Some(Source::Folder(folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_are_as_large_as_the_files() {
        for file in FILES {
            assert!(file.sizes.contains(&file.size), "{}", file.name);
        }
        assert_eq!(232_803, FILES.iter().map(|file| file.size).sum::<usize>());
    }

    #[test]
    fn the_page_of_the_family_names_what_a_user_has_to_know() {
        let page = include_str!("../README.md");
        assert!(page.contains(VARIABLE) && page.contains(STAND_INS));
        assert!(FILES.iter().all(|file| page.contains(file.name)));
    }

    #[test]
    fn pointers_and_error_pages_are_rejected() {
        // A pointer of Git LFS, and an error page.
        for file in FILES {
            assert!(!file.sizes.contains(&131) && !file.sizes.contains(&300_000), "{}", file.name);
        }
    }

    #[test]
    fn nothing_is_replaced_by_stand_ins_unless_they_are_asked_for() {
        assert_eq!(None, source(None));
        assert_eq!(None, source(Some("")));
        assert_eq!(Some(Source::StandIns), source(Some("stand-ins")));
        assert_eq!(Some(Source::Folder("/home/anna/stand-ins")), source(Some("/home/anna/stand-ins")));
    }
}
