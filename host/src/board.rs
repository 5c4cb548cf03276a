//! The boards that firmware is built for, as used by `waft provision` and `waft simulate`.
//!
//! Each board is described by one file, `firmware/boards/<family>/<board>.toml`. The build script collects and checks
//! all of them, so that a new board needs no change here.

#[cfg(test)]
mod description;

use std::path::{Path, PathBuf, absolute};

include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// A kind of board.
#[derive(Debug)]
pub struct Board {
    /// Its name for `--board`.
    pub name: &'static str,
    /// Its name for users.
    pub title: &'static str,
    /// The package of its firmware, which is also the name of the program.
    pub package: &'static str,
    /// The Rust target of the firmware.
    pub target: &'static str,
    /// The package's features for this board.
    pub features: &'static [&'static str],
    /// Whether the board has Wi-Fi.
    pub wifi: bool,
    /// The address range of the identity image, as the flashing tool sees it.
    pub identity: Span,
    /// The flash areas for the receiver's state.
    pub storage: Storage,
    /// The commands that write firmware, identity and seed to the board, with the placeholders `{identity}`, `{firmware}`,
    /// `{identity_at}`, `{seed}` and `{seed_at}`.
    pub commands: &'static [&'static str],
}

/// A range of addresses, or of offsets in a flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub at: u32,
    /// The length, in bytes.
    pub size: u32,
}

/// The flash areas for the receiver's state: offsets in the flash that holds them.
#[derive(Clone, Copy, Debug)]
pub struct Storage {
    /// Where that flash begins, as the flashing tool sees it.
    pub at: u32,
    /// The two sectors of the seed.
    pub seeds: [u32; 2],
    /// The area of journal and slots.
    pub slots: Span,
}

impl Board {
    /// Finds a board by name.
    pub fn named(name: &str) -> Option<&'static Self> {
        BOARDS.iter().find(|board| board.name == name)
    }

    /// Path of the built firmware, relative to the root of a checkout.
    pub fn firmware(&self) -> String {
        format!("target/{}/firmware/{}", self.target, self.package)
    }

    /// The arguments for cargo that build the firmware from the root of a checkout. They set the target folder,
    /// whatever the environment says about it.
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

    /// The file for the first record of the seed, beside the identity image `identity`; `None` if no command of this board
    /// writes one.
    pub fn seed_image(&self, identity: &Path) -> Option<PathBuf> {
        let mut path = identity.to_owned().into_os_string();
        path.push(".seed");
        self.commands.iter().any(|command| command.contains("{seed}")).then(|| path.into())
    }

    /// The commands that build the firmware, then flash it, the identity image `identity` and the seed's image. The images
    /// may be outside of the checkout.
    pub fn all_commands(&self, identity: &Path) -> Vec<String> {
        let build = format!("cargo {}", self.build().join(" "));
        let word = |path: &Path| quoted(&absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy());
        let seed = self.seed_image(identity).map(|seed| word(&seed)).unwrap_or_default();
        let (seed_at, identity_at) = (self.storage.at + self.storage.seeds[0], self.identity.at);
        let flash = self.commands.iter().map(|command| {
            command
                .replace("{identity_at}", &format!("{identity_at:#x}"))
                .replace("{seed_at}", &format!("{seed_at:#x}"))
                .replace("{firmware}", &self.firmware())
                .replace("{identity}", &word(identity))
                .replace("{seed}", &seed)
        });
        std::iter::once(build).chain(flash).collect()
    }
}

/// A list for users, one line per board.
pub(crate) fn listed() -> String {
    let width = BOARDS.iter().map(|board| board.name.len()).max().unwrap_or_default();
    let lines: Vec<String> = BOARDS.iter().map(|board| format!("  {:<width$}  {}", board.name, board.title)).collect();
    lines.join("\n")
}

/// A word of a command line, quoted if a shell would not take it as one word.
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
        at = 0x21000000
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
            storage: Storage { at: 0x0800_0000, seeds: [8192, 16384], slots: Span { at: 24576, size: 65536 } },
            commands: &["write {identity} --at {identity_at}", "write {seed} --at {seed_at}", "run {firmware}"],
        }
    }

    #[test]
    fn commands_are_ready_to_be_typed() {
        let image = quoted(&absolute("my identity.bin").expect("there is a folder").to_string_lossy());
        let seed = quoted(&absolute("my identity.bin.seed").expect("there is a folder").to_string_lossy());
        assert_eq!(
            board(&["nucleo"]).all_commands(Path::new("my identity.bin")),
            [
                "cargo build --profile firmware --package waft-chip --target thumbv8m --features nucleo --target-dir target",
                &format!("write {image} --at 0x81fe000"),
                &format!("write {seed} --at 0x8002000"),
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
        assert_eq!(board.seed_image(Path::new("i")), None, "the flash that is simulated has a seed already");
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
            ("at = 0x21000000", "at = 0xFFFFFFFF", "past 32 bits"),
            ("{firmware}", "{elf}", "{elf}"),
            ("{identity} ", "", "no command writes"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Description::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(problem), "{to}: {error}");
        }
    }
}
