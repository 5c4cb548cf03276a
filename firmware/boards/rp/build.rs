//! Generates the linker's memory regions and the program's memory map from the description of the chosen board, and finds
//! the firmware of its radio.
//!
//! ```text
//! <board>.toml ──► OUT_DIR/<program>/memory.x   regions, included by the linker script `link.x` of cortex-m-rt
//!              └─► OUT_DIR/map.rs               the constant MAP, included by `src/main.rs`
//! boot_block.x ──► the linker                   where the boot ROM finds the block that embassy-rp defines
//! WAFT_CYW43_FIRMWARE ──► RADIO_FILES           the folder with the radio's firmware, included by the program
//! ```

#[path = "src/radio_files.rs"]
mod radio_files;

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use radio_files::{FILES, Source, VARIABLE};
use waft_board_build::Board;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=boot_block.x");
    println!("cargo::rerun-if-changed=src/radio_files.rs");
    println!("cargo::rustc-check-cfg=cfg(radio_stand_ins)");
    // If no board is chosen, as on a host, only the library is built, which needs none of these files.
    let Some(board) = Board::chosen() else { return };
    let program = &board.description.package;
    board.write_map();
    // Before `link.x`, which sets `_stext` only if no earlier script has done so.
    println!("cargo::rustc-link-arg-bin={program}=-L{}", env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rustc-link-arg-bin={program}=-Tboot_block.x");
    board.link(program);
    if env::var_os("CARGO_FEATURE_WIFI").is_some() {
        println!("cargo::rerun-if-env-changed={VARIABLE}");
        let files = radio_files().unwrap_or_else(|lines| {
            lines.iter().for_each(|line| println!("cargo::error={line}"));
            process::exit(1)
        });
        println!("cargo::rustc-env=RADIO_FILES={}", files.display());
    }
}

/// The folder with the files, or the lines of an error.
fn radio_files() -> Result<PathBuf, Vec<String>> {
    let value = env::var(VARIABLE).ok();
    match radio_files::source(value.as_deref()) {
        None => Err(vec![
            "This board needs the firmware of its radio, which is not part of waft because of its licence.".into(),
            format!("Put these files into a folder: {}.", FILES.map(|file| file.name).join(", ")),
            "They are in the folder `cyw43-firmware` of Embassy's source (github.com/embassy-rs/embassy, tag cyw43-v0.7.0), under \
             the Permissive Binary License 1.0 that lies beside them: free to use and to pass on with its notice."
                .into(),
            format!("Then name the folder once, in ~/.cargo/config.toml: [env] {VARIABLE} = \"/the/folder\""),
        ]),
        Some(Source::Folder(folder)) => examined(Path::new(folder)),
        Some(Source::StandIns) => {
            println!("cargo::rustc-cfg=radio_stand_ins");
            println!("cargo::warning=The program is linked with stand-ins for the radio's firmware: it cannot use Wi-Fi.");
            Ok(stand_ins())
        }
    }
}

/// Checks that the folder has all the files.
fn examined(folder: &Path) -> Result<PathBuf, Vec<String>> {
    if !folder.is_absolute() {
        return Err(vec![format!("{VARIABLE} is {}, but has to be an absolute path.", folder.display())]);
    }
    let problems: Vec<_> = FILES
        .iter()
        .filter_map(|file| {
            let path = folder.join(file.name);
            println!("cargo::rerun-if-changed={}", path.display());
            match fs::metadata(&path) {
                Err(error) => Some(format!("{}: {error}. {VARIABLE} names this folder.", path.display())),
                Ok(found) if file.sizes.contains(&(found.len() as usize)) => None,
                Ok(found) => Some(format!(
                    "{} has {} bytes, but {} are expected, or a few more or less: get it again.",
                    path.display(),
                    found.len(),
                    file.size,
                )),
            }
        })
        .collect();
    if problems.is_empty() { Ok(folder.into()) } else { Err(problems) }
}

/// Makes files of the right sizes.
fn stand_ins() -> PathBuf {
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts")).join("stand-ins");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for file in FILES {
        let path = folder.join(file.name);
        fs::write(&path, vec![0; file.size]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    folder
}
