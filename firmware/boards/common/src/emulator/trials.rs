//! Failures on command, for tests: a program's console accepts `panic`, `fault`, `overflow` and `hang`, checks on `copies`
//! that the routines for copies and fills are right, and echoes every other line.

use core::convert::Infallible;
use core::hint::black_box;

use embedded_io_async::{Read, Write};

use super::Uart;
use super::console::{Console, print_blocking};

/// Accepts commands at the console. `unmapped` is an address at which the core faults.
pub async fn run<U: Uart>(mut console: Console<U>, unmapped: usize) -> ! {
    print(&mut console, b"ready\r\n").await;
    let (mut line, mut length) = ([0; 64], 0);
    loop {
        let Ok(count) = console.read(&mut line[length..]).await;
        length += count;
        let Some(end) = line[..length].iter().position(|byte| b"\r\n".contains(byte)) else { continue };
        fail::<U>(&line[..end], unmapped);
        print(&mut console, &line[..end]).await;
        print(&mut console, b"\r\n").await;
        line.copy_within(end + 1..length, 0);
        length -= end + 1;
    }
}

async fn print(console: &mut impl Write<Error = Infallible>, bytes: &[u8]) {
    let Ok(()) = console.write_all(bytes).await;
}

/// Fails in the named way. Returns if the name is unknown.
fn fail<U: Uart>(how: &[u8], unmapped: usize) {
    match how {
        b"panic" => {
            print_blocking::<U>(format_args!(
                "The function that panics begins at {:#x}\r\n",
                panics as *const () as usize & !1
            ));
            panics()
        }
        // SAFETY: nothing is at this address, so the write faults, which is the purpose.
        b"fault" => unsafe { (unmapped as *mut u32).write_volatile(0) },
        b"overflow" => _ = overflow(0),
        b"hang" => loop {
            core::hint::spin_loop();
        },
        b"copies" => {
            check_copies();
            check_fills();
        }
        _ => {}
    }
}

#[inline(never)]
fn panics() -> ! {
    panic!("as asked")
}

/// Copies between and within areas with every alignment and many lengths. Panics if a byte is wrong.
fn check_copies() {
    const AREA: usize = 96;
    const PLACES: usize = 12;
    let original: [u8; AREA] = core::array::from_fn(|at| at as u8);
    for (from, to) in (0..PLACES).flat_map(|from| (0..PLACES).map(move |to| (from, to))) {
        for length in 0..=AREA - PLACES {
            let (mut apart, mut within) = ([0xEE; AREA], original);
            black_box(&mut apart)[to..][..length].copy_from_slice(&black_box(&original)[from..][..length]);
            black_box(&mut within).copy_within(from..from + length, to);
            for at in 0..AREA {
                let copied = (to..to + length).contains(&at).then(|| (at + from - to) as u8);
                assert_eq!(apart[at], copied.unwrap_or(0xEE), "apart: {from} {to} {length} {at}");
                assert_eq!(within[at], copied.unwrap_or(at as u8), "within: {from} {to} {length} {at}");
            }
        }
    }
}

/// Fills areas with every alignment and many lengths. Panics if a byte is wrong.
fn check_fills() {
    const AREA: usize = 96;
    const PLACES: usize = 12;
    for (to, length) in (0..PLACES).flat_map(|to| (0..=AREA - PLACES).map(move |length| (to, length))) {
        for byte in [0, 0xA5] {
            let mut area = [0xEE; AREA];
            black_box(&mut area)[to..][..length].fill(black_box(byte));
            let mut cleared = [0xEE; AREA];
            black_box(&mut cleared)[to..][..length].fill(0);
            for at in 0..AREA {
                let is_filled = (to..to + length).contains(&at);
                assert_eq!(area[at], if is_filled { byte } else { 0xEE }, "fill: {to} {length} {at}");
                assert_eq!(cleared[at], if is_filled { 0 } else { 0xEE }, "clear: {to} {length} {at}");
            }
        }
    }
}

/// Recurses until the stack overflows.
#[inline(never)]
#[expect(unconditional_recursion, reason = "the stack has to overflow")]
fn overflow(depth: u32) -> u32 {
    let here = black_box([depth; 16]);
    overflow(depth + 1) + here[15]
}
