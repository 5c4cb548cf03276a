//! Tests of what the build scripts generate from a board's description.

#[path = "../../map.rs"]
mod map;

use map::Description;

const TEXT: &str = include_str!("../nucleo-h563zi.toml");

#[test]
fn linker_script_and_constants_match_the_description() {
    let board = Description::parse(TEXT).unwrap();
    assert_eq!(["nucleo-h563zi"], *board.features);
    assert_eq!("nucleo-h563zi", board.name);
    let memory = "MEMORY\n{\n\
                  \x20 FLASH : ORIGIN = 0x08000000, LENGTH = 0x100000\n\
                  \x20 RAM : ORIGIN = 0x20000000, LENGTH = 0xA0000\n\
                  }\nmore\n";
    assert_eq!(memory, board.memory_x("more\n"));
    let map = board.map_rs();
    for line in [
        "NAME: &str = \"nucleo-h563zi\";",
        "FLASH_SIZE: u32 = 0x100000;",
        "IDENTITY_AT: u32 = 0x81FE000;",
        "IDENTITY_SIZE: u32 = 0x2000;",
        "SEEDS: [u32; 2] = [0x100000, 0x102000];",
        "SLOTS: core::ops::Range<u32> = 0x104000..0x1FE000;",
    ] {
        assert!(map.contains(&format!("pub const {line}\n")), "{line}");
    }
}

#[test]
fn an_invalid_description_is_rejected() {
    for (from, to, problem) in [
        ("at = 0x081FE000", "at = 0x080FE000", "identity lies in a region"),
        ("flash = { at", "rom = { at", "no region `flash`"),
        ("size = 0xFA000", "size = 0xFFFFFFFF", "no range"),
        ("size = 0xA0000", "size = 0", "no range"),
        ("seeds = [0x100000, 0x102000]", "seeds = [0x100000]", "invalid length"),
    ] {
        assert!(TEXT.contains(from), "{from}");
        let error = Description::parse(&TEXT.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(problem), "{to}: {error}");
    }
}
