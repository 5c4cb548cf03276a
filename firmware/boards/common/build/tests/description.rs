//! Tests of what is generated from a board's description.

use waft_board_build::Description;

const TEXT: &str = include_str!("../../../stm32/nucleo-h563zi.toml");

#[test]
fn linker_script_and_constants_match_the_description() {
    let board = Description::parse(TEXT).unwrap();
    assert_eq!(["nucleo-h563zi", "own-identity", "announce"], *board.features);
    assert_eq!(("nucleo-h563zi", "waft-stm32"), (&*board.name, &*board.package));
    let memory = "MEMORY\n{\n\
                  \x20 FLASH : ORIGIN = 0x08000000, LENGTH = 0x100000\n\
                  \x20 RAM : ORIGIN = 0x20000000, LENGTH = 0x9FC00\n\
                  \x20 RETAINED : ORIGIN = 0x2009FC00, LENGTH = 0x400\n\
                  }\n_retained = ORIGIN(RETAINED);\n\
                  _waft_code = ORIGIN(FLASH);\n_waft_code_end = ORIGIN(FLASH) + LENGTH(FLASH);\n";
    assert_eq!(memory, board.memory_x());
    assert_eq!(
        board.map_rs(),
        "/// The memory map of the board, and its names.\n\
         pub const MAP: waft_board::Map = waft_board::Map {\n    \
         name: \"nucleo-h563zi\",\n    \
         title: \"NUCLEO-H563ZI (STM32H563ZI, Ethernet)\",\n    \
         flash_size: 0x100000,\n    \
         identity: 0x81FE000..0x8200000,\n    \
         seeds: [0x100000, 0x102000],\n    \
         slots: 0x104000..0x1FA000,\n    \
         settings: [0x1FA000, 0x1FC000],\n};\n"
    );
}

#[test]
fn a_stack_may_have_a_region_of_its_own() {
    let text = TEXT.replacen("retained =", "stack = { at = 0x20000000, size = 0x4000 }\nretained =", 1);
    let memory = Description::parse(&text).unwrap().memory_x();
    assert!(
        memory.ends_with("_stack_start = ORIGIN(STACK) + LENGTH(STACK);\n_stack_end = ORIGIN(STACK);\n_waft_stack_end = _stack_end;\n"),
        "{memory}"
    );
}

#[test]
fn an_invalid_description_is_rejected() {
    for (from, to, problem) in [
        ("at = 0x081FE000", "at = 0x080FE000", "identity lies in a region"),
        ("flash = { at", "rom = { at", "no region `flash`"),
        ("retained = { at", "kept = { at", "no region `retained`"),
        ("size = 0x400 }", "size = 0x200 }", "no region `retained`"),
        ("size = 0xF6000", "size = 0xFFFFFFFF", "no range"),
        ("size = 0x9FC00", "size = 0", "no range"),
        ("seeds = [0x100000, 0x102000]", "seeds = [0x100000]", "invalid length"),
        ("settings =", "options =", "missing field `settings`"),
    ] {
        assert!(TEXT.contains(from), "{from}");
        let error = Description::parse(&TEXT.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(problem), "{to}: {error}");
    }
}
