//! The emulator's programs: QEMU has one for each kind of core.

use std::path::PathBuf;

use crate::board::Board;
use crate::error::{Class, Error};

/// A program of QEMU.
struct Emulator {
    /// Its file.
    program: &'static str,
    /// The cores that it emulates, for users.
    cores: &'static str,
    /// The number of their instruction set in an ELF file.
    elf_machine: u16,
    /// The packages of Debian and Fedora that contain it.
    debian: &'static str,
    fedora: &'static str,
}

const EMULATORS: [Emulator; 2] = [
    Emulator {
        program: "qemu-system-arm",
        cores: "32-bit Arm",
        elf_machine: 40,
        debian: "qemu-system-arm",
        fedora: "qemu-system-arm",
    },
    Emulator {
        program: "qemu-system-riscv32",
        cores: "32-bit RISC-V",
        elf_machine: 243,
        debian: "qemu-system-misc",
        fedora: "qemu-system-riscv",
    },
];

fn of(board: &Board) -> &'static Emulator {
    let found = EMULATORS.iter().find(|emulator| emulator.program == board.emulator());
    found.expect("the table has every program that `Board::emulator` returns")
}

/// Finds the emulator of a board in `PATH`.
pub(crate) fn find(board: &Board) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let file = format!("{}{}", board.emulator(), std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&folders).map(|folder| folder.join(&file)).find(|path| path.is_file())
}

/// The cores that the emulator of a board emulates, for users.
pub(super) fn cores(board: &Board) -> &'static str {
    of(board).cores
}

/// The number of a board's instruction set in an ELF file.
pub(super) fn elf_machine(board: &Board) -> u16 {
    of(board).elf_machine
}

/// The error for a missing emulator.
pub(super) fn missing(board: &Board) -> Error {
    let Emulator { program, debian, fedora, .. } = of(board);
    Error::new(
        Class::Storage,
        format!("QEMU is missing: there is no {program} in the PATH."),
        format!(
            "Debian, Ubuntu: sudo apt install {debian} (where that conflicts with a newer QEMU, on Debian 12: sudo apt \
             install -t bookworm-backports {debian})\n  \
             Fedora: sudo dnf install {fedora}\n  \
             macOS: brew install qemu\n  \
             Windows: winget install SoftwareFreedomConservancy.QEMU, and put its folder into the PATH\n  \
             Or run a board without it: waft simulate"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::BOARDS;

    #[test]
    fn every_board_that_is_emulated_has_an_emulator() {
        let emulated = BOARDS.iter().filter(|board| board.machine.is_some());
        assert_eq!(emulated.map(elf_machine).filter(|machine| *machine == 243).count(), 1);
        let missing = missing(Board::named("virt").unwrap());
        assert!(missing.to_string().contains("qemu-system-riscv32"), "{missing}");
        assert!(missing.advice().contains("apt install qemu-system-misc"), "{}", missing.advice());
    }
}
