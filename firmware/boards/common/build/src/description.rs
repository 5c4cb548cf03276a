//! A board's description: the parts on which the firmware depends.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use serde::Deserialize;

/// The size of the memory that survives a reset, in bytes. `waft-board` asserts the same size.
const RETAINED: u32 = 0x400;

/// A board's description, without the keys that only the host uses.
#[derive(Debug, Deserialize)]
pub struct Description {
    /// The name for `--board`.
    pub name: String,
    title: String,
    /// The package of the firmware, which is also the name of the program.
    pub package: String,
    /// The features of the package that select this board.
    pub features: Vec<String>,
    /// The linker's regions, by name.
    pub memory: BTreeMap<String, Span>,
    identity: Span,
    storage: Storage,
}

/// A range of addresses or offsets.
#[derive(Debug, Deserialize)]
pub struct Span {
    /// The first byte.
    pub at: u32,
    /// The length, in bytes.
    pub size: u32,
}

#[derive(Debug, Deserialize)]
struct Storage {
    seeds: [u32; 2],
    slots: Span,
    settings: [u32; 2],
}

impl Description {
    /// Parses a description. The error says what is wrong with the description.
    pub fn parse(text: &str) -> Result<Self, String> {
        let description: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let regions: Vec<_> = description.memory.values().map(Span::range).collect::<Result<_, _>>()?;
        let identity = description.identity.range()?;
        description.storage.slots.range()?;
        if !description.memory.contains_key("flash") {
            return Err("there is no region `flash`".into());
        }
        match description.memory.get("retained") {
            Some(retained) if retained.size >= RETAINED => {}
            _ => return Err(format!("there is no region `retained` of {RETAINED} bytes or more")),
        }
        match regions.iter().any(|region| region.start < identity.end && identity.start < region.end) {
            true => Err("the identity lies in a region of the linker".into()),
            false => Ok(description),
        }
    }

    /// The linker's memory regions, and the symbols of `waft-board`, as the text of `memory.x`.
    pub fn memory_x(&self) -> String {
        let mut text = String::from("MEMORY\n{\n");
        for (name, Span { at, size }) in &self.memory {
            let name = name.to_uppercase();
            writeln!(text, "  {name} : ORIGIN = {at:#010X}, LENGTH = {size:#X}").expect("a String accepts every write");
        }
        text += "}\n_retained = ORIGIN(RETAINED);\n";
        // Where the report of a panic looks for calls, on a core whose stack frames are not linked.
        text += "_waft_code = ORIGIN(FLASH);\n_waft_code_end = ORIGIN(FLASH) + LENGTH(FLASH);\n";
        // Without this region the start-up code places the stack at the end of `ram`.
        if self.memory.contains_key("stack") {
            text += "_stack_start = ORIGIN(STACK) + LENGTH(STACK);\n_stack_end = ORIGIN(STACK);\n_waft_stack_end = _stack_end;\n";
        }
        text
    }

    /// The remaining values as a constant of type `waft_board::Map`, as the text of `map.rs`.
    pub fn map_rs(&self) -> String {
        let Self { name, title, memory, identity, storage: Storage { seeds, slots, settings }, .. } = self;
        let [seeds, settings] = [seeds, settings].map(|[first, second]| format!("[{first:#X}, {second:#X}]"));
        let [identity, slots] = [identity, slots].map(|span| {
            let Range { start, end } = span.range().expect("`parse` has checked it");
            format!("{start:#X}..{end:#X}")
        });
        format!(
            "/// The memory map of the board, and its names.\n\
             pub const MAP: waft_board::Map = waft_board::Map {{\n    \
             name: {name:?},\n    title: {title:?},\n    flash_size: {:#X},\n    identity: {identity},\n    \
             seeds: {seeds},\n    slots: {slots},\n    settings: {settings},\n}};\n",
            memory["flash"].size,
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
