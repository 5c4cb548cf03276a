//! The boards that firmware is built for, as `waft provision` and `waft simulate` know them.
//!
//! Each is described by one file, `firmware/boards/<family>/<board>.toml`; the build gathers and checks them all, so
//! that a new board changes nothing here.

#[cfg(test)]
mod description;

use std::path::{Path, absolute};

include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// A board.
#[derive(Debug)]
pub struct Board {
    /// What `--board` calls it.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The package of its firmware, and its program.
    pub package: &'static str,
    /// What that is compiled for.
    pub target: &'static str,
    /// The package's features for this board.
    pub features: &'static [&'static str],
    /// Whether it has Wi-Fi.
    pub wifi: bool,
    /// Where the identity image goes, as the flashing tool sees it.
    pub identity: Span,
    /// Where the receiver keeps what changes.
    pub storage: Storage,
    /// How firmware and identity get onto it: commands with `{identity}`, `{firmware}` and `{identity_at}`.
    pub commands: &'static [&'static str],
}

/// A range of addresses, or of offsets in a flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub at: u32,
    /// Its length, in bytes.
    pub size: u32,
}

/// Where the receiver keeps what changes: offsets in the flash that holds it.
#[derive(Clone, Copy, Debug)]
pub struct Storage {
    /// The two sectors of the seed.
    pub seeds: [u32; 2],
    /// Journal and slots.
    pub slots: Span,
}

impl Board {
    /// The board of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        BOARDS.iter().find(|board| board.name == name)
    }

    /// Where its firmware is, once built, from the top of a checkout.
    pub fn firmware(&self) -> String {
        format!("target/{}/firmware/{}", self.target, self.package)
    }

    /// The arguments of cargo that build its firmware from the top of a checkout, whatever the environment says about
    /// the place.
    pub fn build(&self) -> Vec<String> {
        let mut arguments = ["build", "--profile", "firmware", "--package", self.package, "--target", self.target]
            .map(str::to_owned)
            .to_vec();
        if !self.features.is_empty() {
            arguments.extend(["--features".to_owned(), self.features.join(",")]);
        }
        arguments.extend(["--target-dir", "target"].map(str::to_owned));
        arguments
    }

    /// The commands that build and flash firmware and the identity image `identity`. The image may be anywhere else.
    pub fn all_commands(&self, identity: &Path) -> Vec<String> {
        let identity = absolute(identity).unwrap_or_else(|_| identity.to_owned());
        let build = format!("cargo {}", self.build().join(" "));
        let (identity, at) = (quoted(&identity.to_string_lossy()), format!("{:#x}", self.identity.at));
        let flash = self.commands.iter().map(|command| {
            command
                .replace("{identity_at}", &at)
                .replace("{firmware}", &self.firmware())
                .replace("{identity}", &identity)
        });
        std::iter::once(build).chain(flash).collect()
    }
}

/// One line a board, for people.
pub(crate) fn listed() -> String {
    let width = BOARDS.iter().map(|board| board.name.len()).max().unwrap_or_default();
    let lines: Vec<String> = BOARDS.iter().map(|board| format!("  {:<width$}  {}", board.name, board.title)).collect();
    lines.join("\n")
}

/// A word of a command line, in quotes where a shell would take it for several.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/\\:@%+=".contains(c);
    match word.chars().all(plain) {
        true if !word.is_empty() => word.to_owned(),
        _ if cfg!(windows) => format!("\"{word}\""),
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::description::{Description, IDENTITY_MAX};
    use super::*;

    const GOOD: &str = r#"
        name = "mps2"
        title = "A board"
        package = "waft-mps2"
        target = "thumbv7em-none-eabihf"
        features = ["one", "two"]
        [memory]
        flash = { at = 0x0, size = 0x300000 }
        ram = { at = 0x20000000, size = 0x18000 }
        [identity]
        at = 0x300000
        size = 4096
        [storage]
        seeds = [0x0, 0x1000]
        slots = { at = 0x2000, size = 0x400000 }
        [flash]
        commands = ["write {identity} {identity_at}", "write {firmware}"]
    "#;

    fn board(features: &'static [&'static str]) -> Board {
        Board {
            name: "nucleo",
            title: "A board",
            package: "waft-chip",
            target: "thumbv8m",
            features,
            wifi: false,
            identity: Span { at: 0x081F_E000, size: 8192 },
            storage: Storage { seeds: [0, 8192], slots: Span { at: 16384, size: 65536 } },
            commands: &["write {identity} --at {identity_at}", "run {firmware}"],
        }
    }

    #[test]
    fn commands_are_ready_to_be_typed() {
        let image = quoted(&absolute("my identity.bin").expect("there is a folder").to_string_lossy());
        assert_eq!(
            board(&["nucleo"]).all_commands(Path::new("my identity.bin")),
            [
                "cargo build --profile firmware --package waft-chip --target thumbv8m --features nucleo --target-dir target",
                &format!("write {image} --at 0x81fe000"),
                "run target/thumbv8m/firmware/waft-chip",
            ]
        );
        assert!(!board(&[]).all_commands(Path::new("i"))[0].contains("--features"));
        if cfg!(windows) {
            assert_eq!(quoted("it's"), "\"it's\"");
            assert_eq!(quoted("my identity.bin"), "\"my identity.bin\"");
        } else {
            assert_eq!(quoted("my identity.bin"), "'my identity.bin'");
            assert_eq!(quoted("it's"), r"'it'\''s'");
            assert_eq!(quoted("$(x)"), "'$(x)'");
        }
    }

    #[test]
    fn the_table_has_the_emulated_board() {
        let board = Board::named("mps2").unwrap();
        assert!(board.commands.iter().any(|command| command.contains("waft simulate --qemu")));
        assert!(listed().contains(board.title));
        assert!(Board::named("MPS3").is_none());
    }

    #[test]
    fn an_image_fits_where_the_check_says_so() {
        assert_eq!(IDENTITY_MAX as usize, waft_receiver::identity::IMAGE_MAX);
    }

    #[test]
    fn what_a_file_lacks_is_named() {
        let good = Description::parse(GOOD).unwrap();
        assert_eq!((good.name.as_str(), good.title.as_str(), good.memory.len()), ("mps2", "A board", 2));
        let wireless = Description::parse(&GOOD.replacen("[memory]", "wifi = true\n[memory]", 1)).unwrap();
        assert!(wireless.wifi && !good.wifi);
        for (from, to, problem) in [
            ("name = \"mps2\"", "name = \"a b\"", "name = \"a b\""),
            ("\"one\"", "\"-\\n\"", "features"),
            ("features = [\"one\", \"two\"]", "", "missing field `features`"),
            ("title", "titel", "unknown field"),
            ("ram =", "sram =", "no ram"),
            ("size = 4096", "size = 2048", "up to 4096"),
            ("size = 0x18000", "size = 0", "ram: it has no size"),
            ("0x20000000", "0xFFFFFFFF", "ram: it ends past"),
            ("at = 0x300000", "at = 0x2ff000", "lies in flash"),
            ("[0x0, 0x1000]", "[0x1000, 0x1000]", "not apart"),
            ("[0x0, 0x1000]", "[0x0, 0x2000]", "not apart"),
            ("[0x0, 0x1000]", "[0x0]", "invalid length"),
            ("{firmware}", "{elf}", "{elf}"),
            ("{identity} ", "", "no command writes"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Description::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(problem), "{to}: {error}");
        }
    }
}
