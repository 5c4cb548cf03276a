//! Generates the linker's memory map and the program's constants from a board's description. The build scripts of all
//! boards share this file.
//!
//! ```text
//! <board>.toml ──► memory.x   regions for the linker
//!              └─► map.rs     constants for the program
//! ```
//!
//! `waft provision` reads the same description, so that flash commands, linker and program always agree. It checks the
//! whole file; this module checks only what the firmware depends on.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use serde::Deserialize;

/// A board's description, without the keys that only the host uses.
#[derive(Debug, Deserialize)]
pub(crate) struct Description {
    /// The name for `--board`.
    pub(crate) name: String,
    title: String,
    /// The features of the package that select this board.
    pub(crate) features: Vec<String>,
    /// The linker's regions, by name.
    pub(crate) memory: BTreeMap<String, Span>,
    identity: Span,
    storage: Storage,
}

/// A range of addresses or offsets.
#[derive(Debug, Deserialize)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) at: u32,
    /// The length, in bytes.
    pub(crate) size: u32,
}

#[derive(Debug, Deserialize)]
struct Storage {
    seeds: [u32; 2],
    slots: Span,
}

impl Description {
    /// Parses a description. The error says what is wrong with the description.
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

    /// The linker's memory regions, as the text of `memory.x`. `more` is appended: the symbols that the chip family needs.
    pub(crate) fn memory_x(&self, more: &str) -> String {
        let mut text = String::from("MEMORY\n{\n");
        for (name, Span { at, size }) in &self.memory {
            let name = name.to_uppercase();
            writeln!(text, "  {name} : ORIGIN = {at:#010X}, LENGTH = {size:#X}").expect("a String accepts every write");
        }
        text + "}\n" + more
    }

    /// The remaining values as constants, as the text of `map.rs`.
    pub(crate) fn map_rs(&self) -> String {
        let Self { name, title, memory, identity, storage: Storage { seeds: [first, second], slots }, .. } = self;
        let Range { start, end } = slots.range().expect("`parse` has checked it");
        format!(
            "/// The name of the board for `--board`.\n\
             pub const NAME: &str = {name:?};\n\
             /// The name of the board for people.\n\
             pub const TITLE: &str = {title:?};\n\
             /// The size of the program's flash, in bytes.\n\
             pub const FLASH_SIZE: u32 = {:#X};\n\
             /// The address of the identity image.\n\
             pub const IDENTITY_AT: u32 = {:#X};\n\
             /// The size of the identity image's area, in bytes.\n\
             pub const IDENTITY_SIZE: u32 = {:#X};\n\
             /// The offsets of the two sectors of the seed in the flash.\n\
             pub const SEEDS: [u32; 2] = [{first:#X}, {second:#X}];\n\
             /// The range of the slots in the flash.\n\
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
