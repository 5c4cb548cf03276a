//! Files for flashing tools, and `waft flash`, with programs in the place of the tools that record how they were called.

mod checks;

use std::fs;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use waft::board::Board;
use waft_receiver::identity::Identity;

use super::elf::{ARM, elf};
use super::harness::{Call, Ended, text};
use super::world::World;

/// The number of RISC-V in ELF files.
const RISCV: u16 = 243;
/// A board with an RP2350 and 2 MiB of flash, in a project of its own.
const PICO: &str = r#"
name = "pico"
title = "A board with an RP2350"
package = "pico-firmware"
target = "thumbv8m.main-none-eabihf"
features = []
wifi = true

[memory]
flash = { at = 0x10000000, size = 0xFE000 }
ram = { at = 0x20000000, size = 0x80000 }

[identity]
at = 0x101FF000
size = 4096

[storage]
at = 0x10000000
seeds = [0xFE000, 0xFF000]
slots = { at = 0x100000, size = 0xFD000 }
settings = [0x1FD000, 0x1FE000]

[flash]
uf2 = 0xE48BFF59
commands = [
    "picotool erase -a",
    "picotool load {firmware} -t elf",
    "picotool load {identity} -t bin -o {identity_at}",
    "picotool load {seed} -t bin -o {seed_at}",
    "picotool reboot",
]
image = ["picotool load {image} -x"]
update = ["picotool load {image} -x"]
"#;

/// A laptop with a project of a board, a program for it, and tools that record their calls.
struct Desk {
    world: World,
    description: PathBuf,
    program: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let world = World::strangers();
        let project = world.root.path().join("project");
        fs::create_dir(&project).unwrap();
        fs::create_dir(world.root.path().join("tools")).unwrap();
        let (description, program) = (project.join("pico.toml"), world.root.path().join("my program"));
        fs::write(&description, PICO).unwrap();
        fs::write(&program, pico_program()).unwrap();
        Self { world, description, program }
    }

    fn call(&self, args: &[&str]) -> Call {
        let path = format!("{}:/usr/bin:/bin", self.world.root.path().join("tools").display());
        self.world.laptop.call(args).env("PATH", path)
    }

    fn description(&self) -> &str {
        self.description.to_str().unwrap()
    }

    fn program(&self) -> &str {
        self.program.to_str().unwrap()
    }

    fn provision(&self, output: &str, options: &[&str]) -> Ended {
        let call = self.call(&["provision", "--board", self.description(), "--name", "attic", "-o", output]);
        call.args(options).run().succeeded()
    }

    fn firmware(&self, board: &str, program: &Path, output: &str) -> Call {
        self.call(&["firmware", "--board", board, "-o", output, "--firmware"]).arg(program)
    }

    fn work(&self, name: &str) -> PathBuf {
        self.world.laptop.work.join(name)
    }

    /// Installs a tool that appends its name and its arguments to a file, and ends as the script says.
    fn install(&self, tool: &str, script: &str) {
        let path = self.world.root.path().join("tools").join(tool);
        let calls = self.world.root.path().join("calls");
        let text = format!(
            "#!/bin/sh\nfor word in {tool} \"$@\"; do printf '%s|' \"$word\"; done >>'{calls}'\necho >>'{calls}'\n{script}\n",
            calls = calls.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The recorded calls.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.world.root.path().join("calls")).unwrap_or_default();
        calls.lines().map(|line| line.trim_end_matches('|').to_owned()).collect()
    }
}

/// The program of the board: its vectors, code that ends within a page, and a constant at the very end of its region.
fn pico_program() -> Vec<u8> {
    let code: Vec<u8> = (0..70_001_u32).map(|number| ((number * 7) >> 3) as u8).collect();
    elf(ARM, &[(0x1000_0000, &[0x20; 272]), (0x1000_0110, &code), (0x100F_DFFC, b"last")])
}

/// What an independent reader finds in a file, after it has compared the file with the program.
fn read(file: &Path, program: &Path) -> (Value, Vec<(u32, Vec<u8>)>) {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/flash_file.py");
    let ended = Command::new("python3").arg(reader).args([file, program]).output().expect("Python 3 is installed");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let found: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let area = |area: &Value| {
        let bytes = area[1].as_str().unwrap().as_bytes().as_chunks().0.iter().map(byte).collect();
        (area[0].as_u64().unwrap() as u32, bytes)
    };
    let areas = found["areas"].as_array().unwrap().iter().map(area).collect();
    (found, areas)
}

/// The bytes that a file has at these addresses.
fn bytes(areas: &[(u32, Vec<u8>)], range: Range<u32>) -> &[u8] {
    let inside = |area: &&(u32, Vec<u8>)| area.0 <= range.start && range.end <= area.0 + area.1.len() as u32;
    let (at, content) = areas.iter().find(inside).unwrap_or_else(|| panic!("nothing is at {range:x?}"));
    &content[(range.start - at) as usize..(range.end - at) as usize]
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xFF)
}

#[test]
fn one_uf2_file_has_program_identity_and_seed() {
    let desk = Desk::new();
    let ended = desk.provision("attic.uf2", &["--firmware", desk.program(), "--no-code"]);
    let file = desk.work("attic.uf2");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&desk.world.laptop.work).unwrap().count(), 1, "there is no other file");
    let (found, areas) = read(&file, &desk.program);
    assert_eq!((&found["format"], &found["family"]), (&"uf2".into(), &0xE48B_FF59_u32.into()));
    // Vectors and code, the end of the program with seed and journal, and the settings with the identity.
    let starts: Vec<u32> = areas.iter().map(|area| area.0).collect();
    assert_eq!(starts, [0x1000_0000, 0x100F_D000, 0x101F_D000]);
    let identity = Identity::parse(bytes(&areas, 0x101F_F000..0x1020_0000)).expect("the board accepts it");
    let known = desk.world.laptop.known();
    assert_eq!(known.by_name("attic").unwrap().certificate.hash(), identity.certificate_hash());
    assert!(!identity.policy.code);
    assert!(!is_blank(bytes(&areas, 0x100F_E000..0x100F_E080)), "the first record of the seed");
    assert!(is_blank(bytes(&areas, 0x100F_E080..0x1010_2000)), "the second sector of the seed, and the journal");
    assert!(is_blank(bytes(&areas, 0x101F_D000..0x101F_F000)), "the settings");
    let reported = ended.last("provisioned");
    assert_eq!((text(reported, "path"), &reported["seed"]), ("attic.uf2".into(), &Value::Null));
    assert_eq!(reported["commands"], serde_json::json!([format!("picotool load {} -x", full(&file))]));
    assert!(ended.errors.contains("only copy of its private key: flash it once"), "{ended:#?}");
    assert!(ended.errors.contains("`waft flash attic` runs these commands."), "{ended:#?}");
}

fn full(path: &Path) -> String {
    path.canonicalize().unwrap().display().to_string()
}

#[test]
fn no_two_files_have_the_same_secrets() {
    let desk = Desk::new();
    let secrets = |name: &str| {
        let output = format!("{name}.uf2");
        let call = desk.call(&["provision", "--board", desk.description(), "--name", name, "-o", &output]);
        call.args(&["--firmware", desk.program()]).run().succeeded();
        let areas = read(&desk.work(&output), &desk.program).1;
        let at = |range| bytes(&areas, range).to_vec();
        (at(0x100F_E000..0x100F_E080), at(0x101F_F000..0x1020_0000))
    };
    let (one, other) = (secrets("one"), secrets("other"));
    assert!(one.0 != other.0 && one.1 != other.1);
}

#[test]
fn one_hex_file_has_program_identity_and_seed() {
    let desk = Desk::new();
    let program = desk.work("firmware.elf");
    fs::write(&program, elf(ARM, &[(0x0800_0000, &[7; 300]), (0x0800_FFF8, b"over 64 KiB")])).unwrap();
    let call = desk.call(&["provision", "--board", "nucleo-h563zi", "--name", "shed", "-o", "shed.hex", "--firmware"]);
    let ended = call.arg("firmware.elf").run().succeeded();
    let file = desk.work("shed.hex");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let (found, areas) = read(&file, &program);
    assert_eq!(found["format"], "hex");
    let starts: Vec<u32> = areas.iter().map(|area| area.0).collect();
    assert_eq!(
        starts,
        [0x0800_0000, 0x0800_FFF8, 0x0810_0000, 0x081F_E000],
        "and no blank bytes: the tool erases the chip"
    );
    assert_eq!(areas[2].1.len(), 128, "the first record of the seed");
    let identity = Identity::parse(&areas[3].1).expect("the board accepts it");
    assert_eq!(identity.name, "shed");
    let commands = ended.last("provisioned")["commands"].clone();
    let download = "probe-rs download --chip-erase --chip STM32H563ZITx --binary-format hex";
    assert_eq!(
        commands,
        serde_json::json!([format!("{download} {}", full(&file)), "probe-rs reset --chip STM32H563ZITx"])
    );
}

#[test]
fn a_file_with_everything_replaces_nothing() {
    let desk = Desk::new();
    let (target, link) = (desk.world.root.path().join("target"), desk.work("attic.uf2"));
    symlink(&target, &link).unwrap();
    let provision = ["provision", "--board", desk.description(), "--name", "attic", "-o", "attic.uf2"];
    let call = || desk.call(&provision).args(&["--firmware", desk.program()]);
    call().run().failed(14, "storage", &["attic.uf2 already exists"]);
    assert!(!target.exists() && desk.world.laptop.known().by_name("attic").is_none());
    fs::remove_file(&link).unwrap();
    call().run().succeeded();
    let before = fs::read(&link).unwrap();
    call().run().failed(2, "usage", &["trusted as attic already"]);
    assert_eq!(fs::read(&link).unwrap(), before);
}

#[test]
fn a_program_that_is_not_for_the_board_is_not_put_into_a_file() {
    let desk = Desk::new();
    let file = desk.work("wrong.elf");
    for (program, says) in [
        (b"UF2\n".to_vec(), ["it is not an ELF file", "target/thumbv8m.main-none-eabihf/firmware/pico-firmware"]),
        (elf(RISCV, &[(0x1000_0000, b"code")]), ["it is a program for RISC-V", "cargo build"]),
        (elf(ARM, &[(0x0800_0000, b"code")]), ["content at 0x08000000, outside of its region", "for another board"]),
        (elf(ARM, &[(0x100F_DFFF, b"code")]), ["it is larger than its region", "0x10000000 to 0x100fe000"]),
        (elf(ARM, &[(0x101F_F000, b"code")]), ["would overwrite the identity of the board", "another board"]),
    ] {
        fs::write(&file, program).unwrap();
        let provision = ["provision", "--board", desk.description(), "--name", "attic", "-o", "out", "--firmware"];
        desk.call(&provision).arg(&file).run().failed(14, "storage", &says);
        desk.firmware(desk.description(), &file, "out").run().failed(14, "storage", &says);
        assert!(!desk.work("out").exists() && desk.world.laptop.known().by_name("attic").is_none());
    }
}

#[test]
fn an_update_has_nothing_but_the_program() {
    let desk = Desk::new();
    let nucleo = desk.work("nucleo.elf");
    fs::write(&nucleo, elf(ARM, &[(0x0800_0000, &[7; 300])])).unwrap();
    let boards = [(desk.description(), &desk.program, "a.uf2"), ("nucleo-h563zi", &nucleo, "a.hex")];
    for (typed, program, output) in boards {
        let board = Board::find(typed).unwrap();
        let ended = desk.firmware(typed, program, output).run().succeeded();
        let file = desk.work(output);
        let areas = read(&file, program).1;
        for (at, content) in &areas {
            let area = waft::board::Span { at: *at, size: content.len() as u32 };
            assert!(at >= &board.program.at && area.end() <= board.program.end(), "{area:x?}");
            let others: Vec<_> = board.storage.areas().chain([("identity", board.identity)]).collect();
            assert_eq!(others.len(), 6, "two sectors for the seed and the settings each, slots and identity");
            assert!(others.iter().all(|other| !other.1.meets(area)), "{area:x?} {others:x?}");
        }
        let reported = ended.last("firmware");
        assert_eq!((text(reported, "board"), text(reported, "path")), (board.name, output.into()));
        let commands = reported["commands"].as_array().unwrap();
        assert!(commands[0].as_str().unwrap().contains(&full(&file)), "{reported}");
        assert!(!reported.to_string().contains("erase"), "{reported}");
        desk.firmware(typed, program, output).run().failed(14, "storage", &["already exists"]);
    }
    assert!(!desk.world.laptop.home.join("trust.json").exists(), "it needs no identity");
}

#[test]
fn an_emulated_board_is_not_flashed() {
    let desk = Desk::new();
    desk.firmware("mps2", &desk.program, "out").run().failed(2, "usage", &["mps2 is emulated", "waft simulate --qemu"]);
    let flash = ["flash", "attic", "--board", "mps2", "--identity", "identity.bin"];
    desk.call(&flash).run().failed(2, "usage", &["mps2 is emulated"]);
    let plain = desk.description.with_file_name("plain.toml");
    let commands = PICO.replace("uf2 =", "# uf2 =").replace("image =", "# image =").replace("update =", "# update =");
    fs::write(&plain, commands).unwrap();
    desk.firmware(plain.to_str().unwrap(), &desk.program, "out").run().failed(
        2,
        "usage",
        &["Nothing that flashes the board pico takes such a file", "without --firmware"],
    );
}

/// The calls of `waft flash attic`, whose identity is in this file.
fn expected(desk: &Desk, identity: &str, program: &str) -> Vec<String> {
    let identity = full(&desk.work(identity));
    vec![
        "picotool|erase|-a".into(),
        format!("picotool|load|{program}|-t|elf"),
        format!("picotool|load|{identity}|-t|bin|-o|0x101ff000"),
        format!("picotool|load|{identity}.seed|-t|bin|-o|0x100fe000"),
        "picotool|reboot".into(),
    ]
}

#[test]
fn a_board_is_flashed_by_the_commands_that_were_printed() {
    let desk = Desk::new();
    desk.install("picotool", "echo \"picotool was here\"");
    let provisioned = desk.provision("the attic.bin", &[]);
    let flash = desk.call(&["flash", "attic", "--yes", "--firmware", desk.program()]);
    let ended = flash.run().succeeded();
    assert_eq!(desk.calls(), expected(&desk, "the attic.bin", desk.program()), "and nothing else is an argument");
    let run: Vec<String> = ended.all("running").map(|event| text(event, "command")).collect();
    assert_eq!(run.len(), 5);
    let printed = provisioned.last("provisioned")["commands"].as_array().unwrap().clone();
    assert_eq!(run[2..], printed[3..].iter().map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>());
    assert!(run.iter().all(|line| ended.errors.contains(line)), "each is shown: {ended:#?}");
    assert_eq!(ended.errors.matches("picotool was here").count(), 5, "{ended:#?}");
    assert!(ended.errors.contains("delete the file now"), "{ended:#?}");
    assert!(ended.errors.contains("the attic.bin.seed as well"), "{ended:#?}");
}

#[test]
fn a_program_that_is_not_given_is_built() {
    let desk = Desk::new();
    desk.install("picotool", "");
    let built = "target/thumbv8m.main-none-eabihf/firmware/pico-firmware";
    desk.install(
        "cargo",
        &format!("mkdir -p target/thumbv8m.main-none-eabihf/firmware && cp '{}' {built}", desk.program()),
    );
    desk.provision("attic.bin", &[]);
    desk.call(&["flash", "attic", "--yes"]).run().succeeded();
    let calls = desk.calls();
    assert!(calls[0].starts_with("cargo|build|--profile|firmware|--package|pico-firmware|"), "{calls:?}");
    let project = desk.description.parent().unwrap();
    assert_eq!(calls[1..], expected(&desk, "attic.bin", &full(&project.join(built))));
}

#[test]
fn a_file_with_everything_is_flashed_by_one_command() {
    let desk = Desk::new();
    desk.install("picotool", "");
    desk.provision("attic.uf2", &["--firmware", desk.program()]);
    desk.call(&["flash", "attic"]).run().failed(2, "usage", &["No answer was given for the confirmation", "--yes"]);
    let refused = desk.call(&["flash", "attic", "--yes", "--firmware", desk.program()]).run();
    refused.failed(2, "usage", &["holds the program of attic already", "waft firmware"]);
    assert!(desk.calls().is_empty());
    desk.call(&["flash", "attic", "--yes"]).run().succeeded();
    assert_eq!(desk.calls(), [format!("picotool|load|{}|-x", full(&desk.work("attic.uf2")))]);
    // Without a tool the file can still be copied onto the drive.
    fs::remove_file(desk.world.root.path().join("tools/picotool")).unwrap();
    let says = ["picotool is not installed", "Or hold the button BOOTSEL", "attic.uf2 onto the drive"];
    desk.call(&["flash", "attic", "--yes"]).run().failed(14, "storage", &says);
    fs::write(&desk.description, PICO.replace("image =", "# image =")).unwrap();
    let says = ["No command flashes", "attic.uf2 onto attic", "Instead, hold the button BOOTSEL"];
    desk.call(&["flash", "attic", "--yes"]).run().failed(2, "usage", &says);
}

#[test]
fn the_first_failure_ends_it_with_the_status_of_the_tool() {
    let desk = Desk::new();
    desk.provision("attic.bin", &[]);
    desk.install("picotool", "[ \"$2\" != \"$(cat program)\" ] || exit 75");
    fs::write(desk.description.with_file_name("program"), desk.program()).unwrap();
    let flash = || desk.call(&["flash", "attic", "--yes", "--firmware", desk.program()]);
    flash().run().failed(75, "storage", &["picotool failed: exit status: 75", "run this one again"]);
    assert_eq!(desk.calls(), expected(&desk, "attic.bin", desk.program())[..2]);
    desk.install("picotool", "kill -KILL $$");
    flash().run().failed(137, "storage", &["picotool failed: signal: 9"]);
    assert_eq!(desk.calls().len(), 3);
}
