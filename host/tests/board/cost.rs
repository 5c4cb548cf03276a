//! Counts what a transfer costs an emulated board, in instructions, and compares it with the figures in `cost/BOARD.txt`.
//!
//! QEMU runs the same firmware as in the other tests, with a plugin that counts the executed instructions by address
//! (`count.c`). The symbols of the firmware assign the addresses to stages. Two transfers, of 64 KiB and of 1 MiB, give
//! what each byte costs, and what a connection costs without any.
//!
//! `.ci/cost` runs this. With `WAFT_COST=store` in the environment, it stores the figures instead.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use waft::board::Board;

use super::site::{Kind, Site, noise, write};

/// The lengths of the two files.
const SHORT: usize = 64 << 10;
const LONG: usize = 1 << 20;
/// By how much a figure may grow: 5 %, but for a small one as much as two measurements may differ.
const GROWTH: f64 = 1.05;
const NOISE: f64 = 0.3;

/// The stages, and what the names of their functions contain. The first stage with a match counts.
const STAGES: &[(&str, &[&str])] = &[
    ("ChaCha20", &["waft_chacha::KeyStream"]),
    ("Poly1305", &["poly1305", "waft_chacha"]),
    ("BLAKE3", &["blake3"]),
    ("P-256", &["p256", "primeorder", "elliptic_curve", "crypto_bigint", "ecdsa"]),
    ("SHA-256", &["sha2::", "hmac::", "hkdf::"]),
    ("copies", &["memcpy", "memmove", "memset", "memclr", "memcmp", "bcmp"]),
    ("flash driver", &["drivers::nor", "emulator::nor", "drivers::cfi", "drivers::storage"]),
    ("slots", &["waft_receiver::slots", "waft_receiver::flash"]),
    (
        "TCP/IP and Ethernet",
        &[
            "smoltcp",
            "embassy_net",
            "drivers::ethernet",
            "emulator::ethernet",
            "virtio_drivers",
            "waft_receiver::embassy",
        ],
    ),
    ("TLS", &["embedded_tls", "waft_receiver::tls"]),
    ("session and LZ4", &["waft_core", "waft_lz4", "lz4_flex"]),
    ("everything else", &[""]),
];

/// The number of counters by address in the file of the plugin.
const ADDRESSES: usize = 1 << 20;
/// The number of the longest steps of a connection that are listed.
const LISTED_STEPS: usize = 9;

/// The most instructions of a step, 20 ms at 100 MHz, and the number of steps in the library for TLS that take longer: a key
/// pair, a key exchange, a signature and its verification.
const STEP: u64 = 2_000_000;
const INSIDE_TLS: usize = 4;

/// The bits of addresses that the plugin leaves out.
const BASE: usize = 1 << 31 | 1 << 28;

/// Figures by name.
type Figures = BTreeMap<String, f64>;

pub(super) fn what_a_byte_costs(kind: &Kind) {
    let Kind::Emulated(board, firmware) = kind else { panic!("only emulated boards count") };
    let symbols = Symbols::of(firmware);
    let text = source_text();
    let mut figures = Figures::new();
    for (name, content) in [("random", noise(LONG, 1)), ("text", text)] {
        let counts = [SHORT, LONG].map(|length| transfer(kind, &symbols, &content[..length]));
        let [short, long] = counts.each_ref().map(|counts| symbols.by_stage(counts));
        let per_byte = |stage: &str| (long[stage] as f64 - short[stage] as f64) / (LONG - SHORT) as f64;
        let all: f64 = STAGES.iter().map(|(stage, _)| per_byte(stage)).sum();
        for (stage, _) in STAGES {
            figures.insert(format!("{name}: {stage}"), per_byte(stage));
        }
        figures.insert(format!("{name}: in all"), all);
        if name == "random" {
            let fixed = |stage: &str| (short[stage] as f64 - per_byte(stage) * SHORT as f64) / 1e6;
            figures.insert("connection: P-256".into(), fixed("P-256"));
            figures.insert("connection: in all".into(), STAGES.iter().map(|(stage, _)| fixed(stage)).sum());
            let mut steps = counts[0].steps.clone();
            steps.sort_unstable_by(|one, other| other.cmp(one));
            let too_long = steps.iter().filter(|step| **step > STEP).count();
            assert!(too_long <= INSIDE_TLS, "steps of more than {STEP} instructions: {steps:?}");
            for (index, step) in steps.iter().take(LISTED_STEPS).enumerate() {
                figures.insert(format!("connection: long step {}", index + 1), *step as f64 / 1e6);
            }
        }
    }
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/board/cost/{}.txt", board.name));
    if std::env::var_os("WAFT_COST").is_some_and(|value| value == "store") {
        fs::write(&stored, table(board, &figures)).expect("the table can be written");
    }
    let allowed = parse(&fs::read_to_string(&stored).expect("the table is in the source"));
    print!("{}", table(board, &figures));
    let grown: Vec<&String> = figures
        .iter()
        .filter(|(name, figure)| {
            let allowed = allowed.get(*name).copied().unwrap_or(0.0);
            **figure > (allowed * GROWTH).max(allowed + NOISE)
        })
        .map(|(name, _)| name)
        .collect();
    assert!(grown.is_empty(), "these figures grew: {grown:?}; the stored ones are\n{}", table(board, &allowed));
}

fn table(board: &Board, figures: &Figures) -> String {
    let mut table = format!(
        "# What a transfer costs {}: instructions per byte of content, and millions of\n\
         # instructions per connection. Written by `WAFT_COST=store .ci/cost`.\n",
        board.title
    );
    for (name, figure) in figures {
        writeln!(table, "{name:<32}{figure:>8.2}").expect("a string takes all");
    }
    table
}

fn parse(table: &str) -> Figures {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let (name, figure) = line.rsplit_once(' ')?;
        Some((name.trim().to_owned(), figure.parse().ok()?))
    };
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("{line:?} is no figure"))).collect()
}

/// Sends a file with this content to a new board.
fn transfer(kind: &Kind, symbols: &Symbols, content: &[u8]) -> Counts {
    let site = Site::unattended(kind);
    write(&site, "content", content);
    let counter = Counter::new(&site, symbols);
    let mut board = site.listening_with(counter.programs());
    let before = counter.read();
    site.deliver().succeeded();
    board.sees("The folder is in place");
    counter.since(&before)
}

/// An emulator that counts the instructions of its board by address divided by 2.
pub(super) struct Counter {
    counts: PathBuf,
    programs: PathBuf,
}

impl Counter {
    pub(super) fn new(site: &Site, symbols: &Symbols) -> Self {
        let counts = site.root.path().join("counts");
        let plugin = build_plugin(site.root.path());
        let steps: String = symbols.tasks.iter().map(|address| format!(",step={address:x}")).collect();
        let programs = site.emulator(&format!("-plugin {},out={}{steps}", plugin.display(), counts.display()));
        Self { counts, programs }
    }

    /// The folder of the emulator.
    pub(super) fn programs(&self) -> &Path {
        &self.programs
    }

    pub(super) fn read(&self) -> Counts {
        // What the board still does after its last output counts, too.
        sleep(Duration::from_millis(500));
        let bytes = fs::read(&self.counts).expect("the emulator made the file");
        let mut by_address: Vec<_> = bytes.as_chunks().0.iter().map(|count| u64::from_ne_bytes(*count)).collect();
        let steps = by_address.split_off(ADDRESSES);
        let (number, steps) = steps.split_first().expect("the plugin counts steps");
        assert!(steps.len() > *number as usize, "there were too many long steps");
        Counts { by_address, steps: steps[..*number as usize].to_vec() }
    }

    /// The instructions since then.
    pub(super) fn since(&self, before: &Counts) -> Counts {
        let mut counts = self.read();
        counts.by_address.iter_mut().zip(&before.by_address).for_each(|(after, before)| *after -= before);
        counts.steps.drain(..before.steps.len());
        counts
    }
}

/// What the plugin has counted.
pub(super) struct Counts {
    /// The number of instructions by address divided by 2.
    by_address: Vec<u64>,
    /// The number of instructions of each long step: from the start of one poll of a task to that of the next.
    steps: Vec<u64>,
}

/// Compiles the plugin for the installed emulator.
fn build_plugin(folder: &Path) -> PathBuf {
    let version = Command::new("qemu-system-arm").arg("--version").output().expect("the emulator is installed");
    let version = String::from_utf8(version.stdout).expect("a version");
    let major = version.split_whitespace().find_map(|word| word.split('.').next()?.parse::<u32>().ok());
    // QEMU 9 dropped the first version of its interface.
    let interface = if major.expect("the version has a number") < 9 { 1 } else { 2 };
    let (source, plugin) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/board/count.c"), folder.join("count.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-shared", "-fPIC", &format!("-DVERSION={interface}"), "-o"]).arg(&plugin).arg(source);
    assert!(compiler.status().is_ok_and(|status| status.success()), "the plugin does not compile");
    plugin
}

/// The functions of a firmware.
pub(super) struct Symbols {
    /// Their addresses and their stages.
    functions: Vec<(usize, &'static str)>,
    /// The addresses of those that poll a task.
    tasks: Vec<usize>,
}

impl Symbols {
    pub(super) fn of(firmware: &Path) -> Self {
        let listed = Command::new("nm").args(["--demangle", "--numeric-sort", "--defined-only"]).arg(firmware).output();
        let listed = String::from_utf8(listed.expect("nm is installed").stdout).expect("names of functions");
        let functions: Vec<_> = listed.lines().filter_map(function).collect();
        assert!(functions.len() > 100, "{} has no symbols", firmware.display());
        let is_task = |name: &str| name.starts_with("embassy_executor::raw::TaskStorage") && name.ends_with("::poll");
        let tasks: Vec<_> = functions.iter().filter(|(_, name)| is_task(name)).map(|(address, _)| *address).collect();
        assert!(tasks.len() > 3, "{} has no tasks", firmware.display());
        Self { functions: functions.into_iter().map(|(address, name)| (address, stage(name))).collect(), tasks }
    }

    /// Adds the counts up.
    pub(super) fn by_stage(&self, counts: &Counts) -> BTreeMap<&'static str, u64> {
        let mut stages: BTreeMap<_, _> = STAGES.iter().map(|(stage, _)| (*stage, 0)).collect();
        for (index, count) in counts.by_address.iter().enumerate().filter(|(_, count)| **count > 0) {
            let next = self.functions.partition_point(|(address, _)| *address <= index * 2);
            let stage = next.checked_sub(1).map_or("everything else", |at| self.functions[at].1);
            *stages.get_mut(stage).expect("every stage is in the map") += count;
        }
        stages
    }
}

/// The address and the name of a function, from a line of `nm`.
fn function(line: &str) -> Option<(usize, &str)> {
    let (address, rest) = line.split_once(' ')?;
    let name = rest.strip_prefix(['t', 'T', 'w', 'W'])?.trim();
    // The lowest bit of a function's address says that it is in Thumb code. `$t` and the like mark code and data, and
    // `.L0` places in a function.
    let address = usize::from_str_radix(address, 16).ok()? & !(BASE | 1);
    (!name.starts_with(['$', '.'])).then_some((address, name))
}

fn stage(function: &str) -> &'static str {
    let found = STAGES.iter().find(|(_, parts)| parts.iter().any(|part| function.contains(part)));
    found.expect("the last stage matches every name").0
}

/// Text as people send it: the source of this crate.
fn source_text() -> Vec<u8> {
    let mut text = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> =
            fs::read_dir(folder).expect("it is ours").map(|entry| entry.expect("it is ours").path()).collect();
        entries.sort();
        for entry in entries {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                text.extend(fs::read(entry).expect("it is ours"));
            }
        }
    }
    text.into_iter().cycle().take(LONG).collect()
}
