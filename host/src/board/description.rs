//! The format of a board's file.
//!
//! `build.rs` compiles this module too, and so checks the files of waft's source when the command is built.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Longest identity image, in bytes. The receiver asserts the same bound.
pub(crate) const IDENTITY_MAX: u32 = 4096;
/// The linker regions that every firmware needs.
const REGIONS: [&str; 2] = ["flash", "ram"];
/// The placeholders that a flashing command may contain.
const PLACEHOLDERS: [&str; 5] = ["identity", "firmware", "identity_at", "seed", "seed_at"];
/// The placeholder of a command that writes one file with several parts.
const IMAGE: [&str; 1] = ["image"];
/// The sectors in which a boot loader for UF2 files erases the flash, in bytes.
pub(crate) const UF2_SECTOR: u32 = 4096;
/// The largest erase block of a flash, in bytes.
const BLOCK_MAX: u32 = 256 << 10;

/// An upper bound for the size of an erase block of the flash with areas at these offsets. Each area begins with a block of its
/// own, so no block is larger than the least distance of two areas.
pub(crate) fn block_bound(mut starts: [u32; 5]) -> u32 {
    starts.sort_unstable();
    starts.array_windows().map(|[one, next]| next - one).fold(BLOCK_MAX, u32::min)
}

/// A board's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) package: String,
    pub(crate) target: String,
    pub(crate) features: Vec<String>,
    #[serde(default = "default_profile")]
    pub(crate) profile: String,
    /// `false` if it is not given.
    #[serde(default)]
    pub(crate) wifi: bool,
    /// The machine of QEMU that emulates the board, if there is one.
    pub(crate) machine: Option<String>,
    pub(crate) memory: BTreeMap<String, Span>,
    pub(crate) identity: Span,
    pub(crate) storage: Storage,
    pub(crate) flash: Flash,
}

/// A range of addresses or offsets.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    pub(crate) at: u32,
    pub(crate) size: u32,
}

/// The flash areas for the receiver's state.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    /// Where the flash begins, as the flashing tool counts.
    pub(crate) at: u32,
    /// The size of the file that stands for the flash when the board is simulated.
    #[serde(default = "default_size")]
    pub(crate) size: u32,
    /// The size of an erase block in that file.
    #[serde(default = "default_block")]
    pub(crate) block: u32,
    pub(crate) seeds: [u32; 2],
    pub(crate) slots: Span,
    pub(crate) settings: [u32; 2],
}

/// How the board is flashed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flash {
    /// The family in UF2 files for the board's boot loader, if that takes such files.
    pub(crate) uf2: Option<u32>,
    /// The commands that write each part from a file of its own.
    pub(crate) commands: Vec<String>,
    /// The commands that write all parts of a new board from one file.
    #[serde(default)]
    pub(crate) image: Vec<String>,
    /// The commands that write a file with just the program, and leave everything else on the chip as it is.
    #[serde(default)]
    pub(crate) update: Vec<String>,
}

impl Description {
    /// Parses the text of a file. The error says what is wrong in it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let description: Self = toml::from_str(text).map_err(|error| problem(text, &error))?;
        description.check().map(|()| description)
    }

    fn check(&self) -> Result<(), String> {
        let Self { name, package, target, profile, machine, .. } = self;
        let words = [("name", name), ("package", package), ("target", target), ("profile", profile)];
        for (what, text) in words.into_iter().chain(machine.iter().map(|machine| ("machine", machine))) {
            is_word(text).then_some(()).ok_or(format!("{what} = {text:?}: letters, digits, '.', '_' and '-' only"))?;
        }
        if let Some(feature) = self.features.iter().find(|feature| !is_word(feature)) {
            return Err(format!("features: {feature:?} is none"));
        }
        if let Some(region) = REGIONS.iter().find(|region| !self.memory.contains_key(**region)) {
            return Err(format!("memory: no {region}"));
        }
        self.check_places()?;
        self.check_commands()
    }

    fn check_places(&self) -> Result<(), String> {
        let Storage { at, size: _, block, seeds: [first, second], slots, settings: [one, other] } = self.storage;
        let memory = self.memory.iter().map(|(name, span)| (name.as_str(), *span));
        for (name, span) in memory.clone().chain([("identity", self.identity), ("slots", slots)]) {
            span.check().map_err(|problem| format!("{name}: {problem}"))?;
        }
        if self.identity.size < IDENTITY_MAX {
            return Err(format!("identity: an image takes up to {IDENTITY_MAX} bytes"));
        }
        if let Some((name, _)) = memory.into_iter().find(|(_, span)| span.meets(&self.identity)) {
            return Err(format!("identity: it lies in {name}, so the firmware could overwrite it"));
        }
        let sectors = [first, second, one, other];
        let is_repeated = |index: usize| sectors[..index].contains(&sectors[index]);
        if (0..sectors.len()).any(is_repeated) || sectors.iter().any(|sector| slots.holds(*sector)) {
            return Err("storage: seeds, slots and settings are not apart".into());
        }
        if !block.is_power_of_two() {
            return Err("storage: an erase block is a power of two".into());
        }
        let last = sectors.into_iter().map(u64::from).chain([slots.end() - 1]).max().expect("there are sectors");
        if u64::from(at) + last >= 1 << 32 {
            return Err("storage: it lies past 32 bits".into());
        }
        self.check_identity()?;
        self.check_sectors()
    }

    /// The identity must not share an erase block with storage, because a write there would erase it. An emulated board is
    /// excluded: its storage is in a file or a memory of its own, and the addresses of two memories can be equal.
    fn check_identity(&self) -> Result<(), String> {
        let Storage { at, seeds: [first, second], slots, settings: [one, other], .. } = self.storage;
        let block = block_bound([first, second, one, other, slots.at]);
        let sectors = [("seed", first), ("seed", second), ("settings", one), ("settings", other)];
        let sectors = sectors.map(|(name, offset)| (name, offset, block));
        let mut areas = sectors.into_iter().chain([("slots", slots.at, slots.size)]);
        let holds_identity = |(_, offset, size): &(&str, u32, u32)| {
            let start = u64::from(at) + u64::from(*offset);
            start < self.identity.end() && u64::from(self.identity.at) < start + u64::from(*size)
        };
        match areas.find(holds_identity).filter(|_| self.machine.is_none()) {
            Some((name, ..)) => Err(format!("identity: it lies in an erase block of the {name}, and would be erased")),
            None => Ok(()),
        }
    }

    /// A UF2 file changes whole sectors, so no two areas may share one.
    fn check_sectors(&self) -> Result<(), String> {
        let Storage { at, seeds, slots, settings, .. } = self.storage;
        let storage = seeds.into_iter().chain(settings).chain([slots.at]).map(|offset| at + offset);
        let mut starts = storage.chain([self.identity.at, self.memory["flash"].at]);
        match starts.find(|start| start % UF2_SECTOR != 0).filter(|_| self.flash.uf2.is_some()) {
            Some(start) => Err(format!("flash: with uf2, areas begin at multiples of {UF2_SECTOR}, unlike {start:#x}")),
            None => Ok(()),
        }
    }

    fn check_commands(&self) -> Result<(), String> {
        let Flash { commands, image, update, .. } = &self.flash;
        check_placeholders(commands, &PLACEHOLDERS)?;
        if !commands.iter().any(|command| command.contains("{identity}")) {
            return Err("flash: no command writes {identity}".into());
        }
        for (key, commands) in [("image", image), ("update", update)] {
            check_placeholders(commands, &IMAGE)?;
            if !commands.is_empty() && !commands.iter().any(|command| command.contains("{image}")) {
                return Err(format!("flash: no command of {key} writes {{image}}"));
            }
        }
        Ok(())
    }
}

impl Span {
    fn check(self) -> Result<(), String> {
        match self.size {
            0 => Err("it has no size".into()),
            _ if u64::from(self.at) + u64::from(self.size) > 1 << 32 => Err("it ends past 32 bits".into()),
            _ => Ok(()),
        }
    }

    fn end(self) -> u64 {
        u64::from(self.at) + u64::from(self.size)
    }

    fn holds(self, at: u32) -> bool {
        self.at <= at && u64::from(at) < self.end()
    }

    fn meets(self, other: &Self) -> bool {
        u64::from(self.at) < other.end() && u64::from(other.at) < self.end()
    }
}

/// The profile of waft's own workspace.
fn default_profile() -> String {
    "firmware".into()
}

/// 16 MiB, as much as QEMU's machines of Arm have.
fn default_size() -> u32 {
    16 << 20
}

fn default_block() -> u32 {
    4 << 10
}

/// What is wrong with a text, and in which line.
fn problem(text: &str, error: &toml::de::Error) -> String {
    match error.span() {
        Some(span) if span.start > 0 => {
            format!("line {}: {}", text[..span.start].matches('\n').count() + 1, error.message())
        }
        _ => error.message().to_owned(),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Checks that commands contain no other placeholders than the known ones.
fn check_placeholders(commands: &[String], known: &[&str]) -> Result<(), String> {
    match commands.iter().find_map(|command| unknown_placeholder(command, known)) {
        Some(unknown) => Err(format!("flash: nothing is known as {{{unknown}}}")),
        None => Ok(()),
    }
}

fn unknown_placeholder<'a>(command: &'a str, known: &[&str]) -> Option<&'a str> {
    let names = command.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or(rest));
    names.into_iter().find(|name| !known.contains(name))
}
