//! The map of a board's memory, from its description to linker and program: what the build scripts of all boards share.
//!
//! ```text
//! <board>.toml ──► memory.x   regions for the linker
//!              └─► map.rs     constants for the program
//! ```
//!
//! `waft provision` reads the same description, so that flash commands, linker and program never disagree. It checks
//! the whole file; here is checked what the firmware depends on.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use serde::Deserialize;

/// A board's description. What only the host needs is left out.
#[derive(Debug, Deserialize)]
pub(crate) struct Description {
    /// What `--board` calls it.
    pub(crate) name: String,
    title: String,
    /// The features of the package that choose this board.
    pub(crate) features: Vec<String>,
    memory: BTreeMap<String, Span>,
    identity: Span,
    storage: Storage,
}

#[derive(Debug, Deserialize)]
struct Span {
    at: u32,
    size: u32,
}

#[derive(Debug, Deserialize)]
struct Storage {
    seeds: [u32; 2],
    slots: Span,
}

impl Description {
    /// Reads a description; the error says what in it is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let description: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let regions: Vec<_> = description.memory.values().map(Span::range).collect::<Result<_, _>>()?;
        let identity = description.identity.range()?;
        description.storage.slots.range()?;
        if !description.memory.contains_key("flash") {
            return Err("there is no region `flash`".into());
        }
        match regions.iter().any(|region| region.start < identity.end && identity.start < region.end) {
            true => Err("the identity lies in a region of the linker".into()),
            false => Ok(description),
        }
    }

    /// The regions in the linker's language. `more` follows them: what this family of chips has to add.
    pub(crate) fn memory_x(&self, more: &str) -> String {
        let mut text = String::from("MEMORY\n{\n");
        for (name, Span { at, size }) in &self.memory {
            let name = name.to_uppercase();
            writeln!(text, "  {name} : ORIGIN = {at:#010X}, LENGTH = {size:#X}").expect("a String takes all");
        }
        text + "}\n" + more
    }

    /// The rest as constants.
    pub(crate) fn map_rs(&self) -> String {
        let Self { name, title, memory, identity, storage: Storage { seeds: [first, second], slots }, .. } = self;
        let Range { start, end } = slots.range().expect("it was checked when it was parsed");
        format!(
            "/// What the board is called.\n\
             pub const NAME: &str = {name:?};\n\
             /// What people call it.\n\
             pub const TITLE: &str = {title:?};\n\
             /// Room for the program, in bytes.\n\
             pub const FLASH_SIZE: u32 = {:#X};\n\
             /// Where the identity image lies: an address.\n\
             pub const IDENTITY_AT: u32 = {:#X};\n\
             /// Room for it, in bytes.\n\
             pub const IDENTITY_SIZE: u32 = {:#X};\n\
             /// The two sectors of the seed: offsets in the flash.\n\
             pub const SEEDS: [u32; 2] = [{first:#X}, {second:#X}];\n\
             /// The slots: a range of the flash.\n\
             pub const SLOTS: core::ops::Range<u32> = {start:#X}..{end:#X};\n",
            memory["flash"].size, identity.at, identity.size,
        )
    }
}

impl Span {
    fn range(&self) -> Result<Range<u32>, String> {
        match self.at.checked_add(self.size) {
            Some(end) if self.size > 0 => Ok(self.at..end),
            _ => Err(format!("{:#X} bytes at {:#X} are no range", self.size, self.at)),
        }
    }
}
