//! The boards that firmware is built for, as used by `waft provision` and `waft simulate`.
//!
//! Each board is described by one file. Those of waft's source, `firmware/boards/<family>/<board>.toml`, are part of the
//! command: the build script collects and checks all of them, so that a new board needs no change here. A board of another
//! project is known by the path of its file; the project is the folder in which the file is. `commands` has the commands that build and flash.

mod commands;
mod description;

use std::path::{Path, PathBuf, absolute};
use std::sync::LazyLock;

use crate::error::{Class, Error, shown};
use crate::home::read_at_most;
#[cfg(feature = "cli")]
pub(crate) use commands::quoted;
pub use commands::{CommandLine, FlashFiles};
pub(crate) use description::UF2_SECTOR;
use description::{Description, block_bound};

include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// Longest description, in bytes.
const DESCRIPTION_MAX: u64 = 64 << 10;

/// The boards of waft's source, by name.
pub static BOARDS: LazyLock<Vec<Board>> = LazyLock::new(|| {
    let parse = |text: &&str| Description::parse(text).expect("the build script has parsed the same text");
    DESCRIPTIONS.iter().map(parse).map(|description| Board::new(description, None)).collect()
});

/// A kind of board.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its name for `--board`.
    pub name: String,
    /// Its name for users.
    pub title: String,
    /// The folder of its project, if that is not waft's source.
    pub folder: Option<PathBuf>,
    /// The package of its firmware, which is also the name of the program.
    pub package: String,
    /// The Rust target of the firmware.
    pub target: String,
    /// The package's features for this board.
    pub features: Vec<String>,
    /// The profile with which cargo builds the firmware.
    pub profile: String,
    /// Whether the board has Wi-Fi.
    pub wifi: bool,
    /// The machine of QEMU that emulates the board, if there is one.
    pub machine: Option<String>,
    /// The address range of the program.
    pub program: Span,
    /// The address range of the identity image, as the flashing tool sees it.
    pub identity: Span,
    /// The flash areas for the receiver's state.
    pub storage: Storage,
    /// The commands that write firmware, identity and seed to the board, with the placeholders `{identity}`, `{firmware}`,
    /// `{identity_at}`, `{seed}` and `{seed_at}`.
    pub commands: Vec<String>,
    /// The family in UF2 files for the board's boot loader, if that takes such files.
    pub uf2: Option<u32>,
    /// The commands that write a file `{image}` with all parts of a new board.
    pub image_commands: Vec<String>,
    /// The commands that write a file `{image}` with just the program, and leave everything else on the board as it is.
    pub update_commands: Vec<String>,
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
    /// The size of the file that stands for the flash when the board is simulated.
    pub size: u32,
    /// The size of an erase block in that file.
    pub block: u32,
    /// The two sectors of the seed.
    pub seeds: [u32; 2],
    /// The area of journal and slots.
    pub slots: Span,
    /// The two sectors of the settings.
    pub settings: [u32; 2],
}

impl Storage {
    /// All areas with their names, as addresses that the flashing tool sees.
    pub fn areas(&self) -> impl Iterator<Item = (&'static str, Span)> {
        let size = self.sector();
        let seeds = self.seeds.map(|at| ("seed", Span { at, size }));
        let settings = self.settings.map(|at| ("settings", Span { at, size }));
        let areas = seeds.into_iter().chain(settings).chain([("slots", self.slots)]);
        areas.map(|(name, Span { at, size })| (name, Span::within_32_bits(self.at + at, size)))
    }

    /// An upper bound for the size of an erase block: no two areas are closer to each other, and no flash has larger blocks.
    pub fn sector(&self) -> u32 {
        let ([first, second], [one, other]) = (self.seeds, self.settings);
        block_bound([first, second, one, other, self.slots.at])
    }
}

impl Span {
    /// The range of this size, or the part of it that has addresses of 32 bits.
    fn within_32_bits(at: u32, size: u32) -> Self {
        let size = if u64::from(at) + u64::from(size) > 1 << 32 { at.wrapping_neg() } else { size };
        Self { at, size }
    }

    /// The first address behind it. The whole range is within 32 bits.
    pub fn end(self) -> u64 {
        u64::from(self.at) + u64::from(self.size)
    }

    /// Whether the two ranges have an address in common.
    pub fn meets(self, other: Self) -> bool {
        u64::from(self.at) < other.end() && u64::from(other.at) < self.end()
    }
}

impl Board {
    fn new(description: Description, folder: Option<PathBuf>) -> Self {
        let Description {
            name,
            title,
            package,
            target,
            features,
            profile,
            wifi,
            machine,
            memory,
            identity,
            storage,
            flash,
        } = description;
        let span = |description::Span { at, size }| Span { at, size };
        let description::Storage { at, size, block, seeds, slots, settings } = storage;
        let description::Flash { uf2, commands, image, update } = flash;
        Self {
            name,
            title,
            folder,
            package,
            target,
            features,
            profile,
            wifi,
            machine,
            program: span(memory["flash"]),
            identity: span(identity),
            storage: Storage { at, size, block, seeds, slots: span(slots), settings },
            commands,
            uf2,
            image_commands: image,
            update_commands: update,
        }
    }

    /// The program of QEMU that emulates the core for which the firmware is built.
    pub fn emulator(&self) -> &'static str {
        if self.target.starts_with("riscv32") { "qemu-system-riscv32" } else { "qemu-system-arm" }
    }

    /// Finds a board of waft's source by name.
    pub fn named(name: &str) -> Option<&'static Self> {
        BOARDS.iter().find(|board| board.name == name)
    }

    /// Finds the board that a user typed: a name, or the path of a description. A path has a separator or ends in `.toml`.
    pub fn find(typed: &str) -> Result<Self, Error> {
        match typed.contains(std::path::is_separator) || typed.ends_with(".toml") {
            true => Self::read(Path::new(typed)),
            false => Self::named(typed).cloned().ok_or_else(|| unknown(typed)),
        }
    }

    /// Reads the description of a board of another project.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let path = absolute(path).map_err(|cause| Error::file(path, cause))?;
        let bytes = read_at_most(&path, DESCRIPTION_MAX).map_err(|cause| Error::file(&path, cause))?;
        let text = String::from_utf8(bytes).map_err(|_| no_description(&path, "it is no text in UTF-8"))?;
        let description = Description::parse(&text).map_err(|problem| no_description(&path, &problem))?;
        Ok(Self::new(description, path.parent().map(Path::to_owned)))
    }
}

/// A list for users, one line per board.
pub fn listed() -> String {
    let width = BOARDS.iter().map(|board| board.name.len()).max().unwrap_or_default();
    let lines: Vec<String> = BOARDS.iter().map(|board| format!("  {:<width$}  {}", board.name, board.title)).collect();
    lines.join("\n")
}

/// The error for a name that no board has.
fn unknown(name: &str) -> Error {
    let names: Vec<&str> = BOARDS.iter().map(|board| board.name.as_str()).collect();
    Error::usage(format!(
        "no board is called {name:?}; there are: {}. Another board is given by the path of its description, such as \
         ./{name}.toml",
        names.join(", ")
    ))
}

/// The error for a file that does not describe a board.
fn no_description(path: &Path, problem: &str) -> Error {
    Error::new(
        Class::Storage,
        format!("{} does not describe a board: {problem}.", shown(path)),
        "Mend it: firmware/boards/README.md in waft's source says what each key means.",
    )
}

#[cfg(test)]
mod tests {
    use super::description::IDENTITY_MAX;
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
        settings = [0x402000, 0x403000]
        [flash]
        commands = ["write {identity} {identity_at}", "write {firmware}"]
    "#;

    pub(super) fn board(features: &[&str]) -> Board {
        let commands = ["write {identity} --at {identity_at}", "write {seed} --at {seed_at}", "run {firmware}"];
        Board {
            name: "nucleo".into(),
            title: "A board".into(),
            folder: None,
            package: "waft-chip".into(),
            target: "thumbv8m".into(),
            features: features.iter().map(|&feature| feature.into()).collect(),
            profile: "firmware".into(),
            wifi: false,
            machine: None,
            program: Span { at: 0x0800_0000, size: 1 << 20 },
            identity: Span { at: 0x081F_E000, size: 8192 },
            storage: Storage {
                at: 0x0800_0000,
                size: 16 << 20,
                block: 8 << 10,
                seeds: [8192, 16384],
                slots: Span { at: 24576, size: 65536 },
                settings: [90_112, 98_304],
            },
            commands: commands.map(str::to_owned).to_vec(),
            uf2: None,
            image_commands: Vec::new(),
            update_commands: Vec::new(),
        }
    }

    #[test]
    fn the_table_has_the_emulated_board() {
        let board = Board::named("mps2").unwrap();
        assert!(board.commands.iter().any(|command| command.contains("waft simulate --qemu")));
        assert_eq!(board.seed_image(Path::new("i")), None, "the flash that is simulated has a seed already");
        assert!(listed().contains(&board.title));
        assert!(Board::named("MPS3").is_none());
    }

    #[test]
    fn a_board_of_another_project_is_found_by_its_path() {
        let project = tempfile::tempdir().unwrap();
        let path = project.path().join("kitchen.toml");
        let find = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Board::find(path.to_str().unwrap())
        };
        let found = find(GOOD).unwrap();
        assert_eq!((found.name.as_str(), found.folder.as_deref()), ("mps2", Some(project.path())));
        assert_eq!(found.firmware(), "target/thumbv7em-none-eabihf/firmware/waft-mps2");
        let with = |profile: &str| find(&GOOD.replacen("[memory]", &format!("profile = {profile:?}\n[memory]"), 1));
        let released = with("release").unwrap();
        assert_eq!(released.firmware(), "target/thumbv7em-none-eabihf/release/waft-mps2");
        assert_eq!(released.build()[..3], ["build", "--profile", "release"]);
        assert_eq!(with("dev").unwrap().firmware(), "target/thumbv7em-none-eabihf/debug/waft-mps2");
        let problem = with("a b").unwrap_err().to_string();
        assert!(problem.contains("kitchen.toml does not describe a board: profile = \"a b\""), "{problem}");
        let emulated = |machine: &str| find(&GOOD.replacen("[memory]", &format!("machine = {machine:?}\n[memory]"), 1));
        assert_eq!(emulated("mps2-an385").unwrap().machine.as_deref(), Some("mps2-an385"));
        // A comma would begin another option of QEMU's.
        let problem = emulated("mps2-an385,dumpdtb=x").unwrap_err().to_string();
        assert!(problem.contains("machine = \"mps2-an385,dumpdtb=x\""), "{problem}");
        let problem = find(&GOOD.replacen("title", "titel", 1)).unwrap_err().to_string();
        assert!(problem.contains("line 3: unknown field `titel`"), "{problem}");
        std::fs::write(&path, [0xFF]).unwrap();
        assert!(Board::read(&path).unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn a_name_is_no_path() {
        assert_eq!(Board::find("mps2").unwrap().folder, None);
        let none = "cannot be used";
        for (typed, text) in [("toaster", "No board is called \"toaster\""), ("toaster.toml", none), ("./mps2", none)] {
            let error = Board::find(typed).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn areas_are_addresses() {
        let storage = board(&[]).storage;
        assert_eq!(storage.sector(), 8192);
        let areas: Vec<_> = storage.areas().collect();
        assert_eq!(areas[1], ("seed", Span { at: 0x0800_4000, size: 8192 }));
        assert_eq!(areas[4], ("slots", Span { at: 0x0800_6000, size: 65536 }));
        assert!(areas.array_windows().all(|[one, other]| !one.1.meets(other.1)), "{areas:?}");
        assert!(areas[0].1.meets(Span { at: 0x0800_3FFF, size: 1 }));
    }

    #[test]
    fn no_area_is_larger_than_a_block_or_ends_past_32_bits() {
        let slots = Span { at: 0x4000_0000, size: 65536 };
        let settings = [0x6000_0000, 0xFFFF_F000];
        let storage = Storage { at: 0, size: 16 << 20, block: 4 << 10, seeds: [0, 0x2000_0000], slots, settings };
        assert_eq!(storage.sector(), 256 << 10);
        let last = storage.areas().find(|area| area.1.at == 0xFFFF_F000).unwrap().1;
        assert_eq!((last.size, last.end()), (0x1000, 1 << 32));
    }

    #[test]
    fn the_identity_is_apart_from_storage() {
        let text = GOOD.replacen("at = 0x21000000", "at = 0x300000", 1).replacen("at = 0x300000", "at = IDENTITY", 1);
        let parse = |at: &str, machine: &str| {
            let text = text.replacen("IDENTITY", at, 1);
            Description::parse(&text.replacen("[memory]", &format!("{machine}\n[memory]"), 1))
        };
        for (at, area) in [
            ("0x300000", "seed"),
            ("0x301800", "seed"),
            ("0x302000", "slots"),
            ("0x701000", "slots"),
            ("0x702000", "settings"),
            ("0x703FFF", "settings"),
        ] {
            let error = parse(at, "").unwrap_err();
            assert!(error.contains(&format!("identity: it lies in an erase block of the {area}")), "{at}: {error}");
            parse(at, "machine = \"mps2-an385\"").expect("its storage is another memory");
        }
        parse("0x704000", "").expect("behind the storage");
    }

    #[test]
    fn a_board_may_take_one_file_with_everything() {
        let flash = "uf2 = 0xE48BFF59\nimage = [\"load {image}\"]\nupdate = [\"load {image}\", \"reset\"]\ncommands";
        let text = GOOD.replacen("commands", flash, 1);
        let board = Board::new(Description::parse(&text).unwrap(), None);
        assert_eq!((board.uf2, board.image_commands.len(), board.update_commands.len()), (Some(0xE48B_FF59), 1, 2));
        assert_eq!(board.program, Span { at: 0, size: 0x30_0000 });
        for (from, to, problem) in [
            ("[\"load {image}\"]", "[\"load {identity}\"]", "{identity}"),
            ("[\"load {image}\"]", "[\"load\"]", "no command of image writes {image}"),
            ("[\"load {image}\", \"reset\"]", "[\"reset\"]", "no command of update writes {image}"),
            ("seeds = [0x0, 0x1000]", "seeds = [0x0, 0x800]", "unlike 0x21000800"),
            ("at = 0x300000", "at = 0x300100", "unlike 0x300100"),
            ("0xE48BFF59", "\"rp2350\"", "invalid type"),
            ("0xE48BFF59", "0x1E48BFF59", "invalid value"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Description::parse(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(problem), "{to}: {error}");
        }
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
            ("[0x402000, 0x403000]", "[0x401000, 0x402000]", "not apart"),
            ("[0x402000, 0x403000]", "[0x402000, 0x1000]", "not apart"),
            ("[0x0, 0x1000]", "[0x0]", "invalid length"),
            ("at = 0x21000000", "at = 0xFFFFFFFF", "past 32 bits"),
            ("at = 0x21000000", "at = 0x21000000\nblock = 0x1800", "power of two"),
            ("{firmware}", "{elf}", "{elf}"),
            ("{identity} ", "", "no command writes"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Description::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(problem), "{to}: {error}");
        }
    }
}
