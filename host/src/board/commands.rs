//! The commands that build a board's firmware and flash it, from the templates in its description.
//!
//! ```text
//! template    "probe-rs download --base-address {identity_at} {identity}"
//! words       "probe-rs" "download" "--base-address" "0x81fe000" "/home/anna/my kitchen.bin"     to run it without a shell
//! line        probe-rs download --base-address 0x81fe000 '/home/anna/my kitchen.bin'             to type it
//! ```

use std::path::{Path, PathBuf, absolute};

use super::Board;

/// Characters by which a shell would do something. In a template they need one.
const SHELL: &str = "'\"`$&|;<>()*?";
/// The same for characters that begin a word: a home folder, and a comment.
const SHELL_AT_START: [char; 2] = ['~', '#'];

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The text that a user types, with paths in quotes where a shell needs them.
    pub line: String,
    /// Whether only a shell understands the template.
    pub needs_shell: bool,
}

/// The files that commands write to a board.
#[derive(Clone, Copy, Debug)]
pub struct FlashFiles<'a> {
    /// The identity image.
    pub identity: &'a Path,
    /// The program in an ELF file; `None` for the one that cargo builds, relative to the root of the project.
    pub firmware: Option<&'a Path>,
}

impl CommandLine {
    /// Puts values into the placeholders of a template.
    fn new(template: &str, values: &[(&str, String)]) -> Self {
        let (mut words, mut typed) = (Vec::new(), Vec::new());
        for word in template.split_whitespace() {
            let filled = values.iter().fold(word.to_owned(), |word, (name, value)| word.replace(name, value));
            typed.push(if filled == word { filled.clone() } else { quoted(&filled) });
            words.push(filled);
        }
        Self { words, line: typed.join(" "), needs_shell: needs_shell(template) }
    }

    /// The name of the program.
    pub fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// Whether only a shell understands a template. On Windows `\` separates the names in a path.
fn needs_shell(template: &str) -> bool {
    let is_special = |c| SHELL.contains(c) || (c == '\\' && !cfg!(windows));
    template.contains(is_special) || template.split_whitespace().any(|word| word.starts_with(SHELL_AT_START))
}

impl Board {
    /// Path of the built firmware, relative to the root of the project: of a checkout of waft, or [`folder`](Self::folder).
    pub fn firmware(&self) -> String {
        // The profile `dev` has a folder with another name.
        let profile = if self.profile == "dev" { "debug" } else { &self.profile };
        format!("target/{}/{profile}/{}", self.target, self.package)
    }

    /// The arguments for cargo that build the firmware from the root of the project. They set the target folder, whatever
    /// the environment says about it.
    pub fn build(&self) -> Vec<String> {
        let Self { profile, package, target, .. } = self;
        let mut arguments =
            ["build", "--profile", profile, "--package", package, "--target", target].map(str::to_owned).to_vec();
        if !self.features.is_empty() {
            arguments.extend(["--features".to_owned(), self.features.join(",")]);
        }
        arguments.extend(["--target-dir", "target"].map(str::to_owned));
        arguments
    }

    /// Whether the board is flashed with the first record of a seed.
    pub fn takes_seed(&self) -> bool {
        self.commands.iter().any(|command| command.contains("{seed}"))
    }

    /// The file for the first record of the seed, beside the identity image `identity`; `None` if no command of this board
    /// writes one.
    pub fn seed_image(&self, identity: &Path) -> Option<PathBuf> {
        let mut path = identity.to_owned().into_os_string();
        path.push(".seed");
        self.takes_seed().then(|| path.into())
    }

    /// The command that builds the firmware, then those of [`flash_commands`](Self::flash_commands), as text. The identity
    /// image may be outside of the project.
    pub fn all_commands(&self, identity: &Path) -> Vec<String> {
        let build = format!("cargo {}", self.build().join(" "));
        let flash = self.flash_commands(FlashFiles { identity, firmware: None });
        std::iter::once(build).chain(flash.into_iter().map(|command| command.line)).collect()
    }

    /// The commands that flash the firmware, the identity image and the seed's image, each from a file of its own.
    pub fn flash_commands(&self, files: FlashFiles<'_>) -> Vec<CommandLine> {
        let seed = self.seed_image(files.identity).map(|seed| full(&seed)).unwrap_or_default();
        let seed_at = self.storage.at + self.storage.seeds[0];
        let values = [
            ("{identity_at}", format!("{:#x}", self.identity.at)),
            ("{seed_at}", format!("{seed_at:#x}")),
            ("{firmware}", files.firmware.map_or_else(|| self.firmware(), full)),
            ("{identity}", full(files.identity)),
            ("{seed}", seed),
        ];
        self.commands.iter().map(|command| CommandLine::new(command, &values)).collect()
    }

    /// The commands that flash a new board from one file with all parts. None if the file is copied onto a drive instead.
    pub fn flash_image(&self, image: &Path) -> Vec<CommandLine> {
        with_image(&self.image_commands, image)
    }

    /// The commands that flash a file with just the program, and leave everything else on the board as it is.
    pub fn flash_update(&self, image: &Path) -> Vec<CommandLine> {
        with_image(&self.update_commands, image)
    }
}

fn with_image(templates: &[String], image: &Path) -> Vec<CommandLine> {
    let values = [("{image}", full(image))];
    templates.iter().map(|template| CommandLine::new(template, &values)).collect()
}

/// The absolute path of a file, as text.
fn full(path: &Path) -> String {
    absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// A word of a command line, quoted if a shell would not take it as one word.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/\\:@%+=".contains(c);
    match word.chars().all(plain) {
        true if !word.is_empty() => word.to_owned(),
        _ if cfg!(windows) => format!("\"{word}\""),
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::board;
    use super::*;

    #[test]
    fn commands_are_ready_to_be_typed() {
        let image = quoted(&full(Path::new("my identity.bin")));
        let seed = quoted(&full(Path::new("my identity.bin.seed")));
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
    fn commands_are_ready_to_be_run() {
        let files = FlashFiles { identity: Path::new("it's mine"), firmware: Some(Path::new("my firmware")) };
        let commands = board(&[]).flash_commands(files);
        let (identity, firmware) = (full(Path::new("it's mine")), full(Path::new("my firmware")));
        assert_eq!(commands[0].words, ["write", &identity, "--at", "0x81fe000"]);
        assert_eq!(commands[2].words, ["run", &firmware]);
        assert_eq!(commands[2].program(), "run");
        assert!(commands.iter().all(|command| !command.needs_shell), "{commands:?}");
        let of = |template| CommandLine::new(template, &[("{image}", "a b".into())]);
        assert_eq!((of("load --to=x{image}").words.len(), of("load").line.as_str()), (2, "load"));
        for template in ["load $FILE", "load {image} && reset", "load 'a b'", "~/bin/load {image}", "load {image} # it"]
        {
            assert!(of(template).needs_shell, "{template}");
        }
        assert_eq!(of(r"load a\ b").needs_shell, !cfg!(windows));
        assert!(!of("load --to=a~1#2 {image}").needs_shell);
    }
}
