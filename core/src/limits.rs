//! Every bound of the protocol, in one place.
//!
//! A peer that goes past one of these is refused before anything is sized by what it sent. A receiver
//! may state lower bounds of its own in its `Greeting`. PROTOCOL.md, section "Limits".

/// Longest path of an entry, in bytes of UTF-8, separators included.
pub const PATH_MAX: usize = 1024;
/// Longest component of a path, in bytes.
pub const COMPONENT_MAX: usize = 255;
/// Most components in a path.
pub const DEPTH_MAX: usize = 64;
/// Most entries (files and directories together) in a manifest.
pub const ENTRIES_MAX: u32 = 1 << 20;
/// Longest encoded entry, in bytes, without its own length: path, its length, kind, size, mode, seconds, nanos.
pub const ENTRY_MAX: usize = PATH_MAX + 2 + 1 + 10 + 3 + 10 + 5;
/// Longest manifest, in bytes.
pub const MANIFEST_MAX: u32 = 256 << 20;
/// Longest archive, in bytes.
pub const ARCHIVE_MAX: u64 = 1 << 42;

/// Smallest chunk, in bytes of archive.
pub const CHUNK_MIN: u32 = 1 << 10;
/// Largest chunk, in bytes of archive.
pub const CHUNK_MAX: u32 = 1 << 16;
/// What sealing adds to a chunk: the codec byte and the AEAD's tag.
pub const CHUNK_OVERHEAD: usize = 1 + 16;

/// Longest message (postcard bytes in a frame).
pub const MESSAGE_MAX: usize = 512;
/// Kind and length before every frame.
pub const FRAME_HEADER: usize = 4;

/// Most items in a list of a `Greeting`.
pub const LIST_MAX: usize = 8;
/// Progress is told to the sender at most once for so many durable bytes of archive.
pub const PROGRESS_STEP: u64 = 256 << 10;

/// Fewest PBKDF2 iterations that either side accepts.
pub const ITERATIONS_MIN: u32 = 1_000;
/// Most PBKDF2 iterations that either side accepts.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// Wrong codes by one sender before a new code is made and the sender has to pause.
pub const CODE_TRIES: u8 = 3;
/// Wrong keys typed by the receiver's person before the offer is refused.
pub const KEY_TRIES: u8 = 3;
/// First pause after too many wrong codes, in seconds; it doubles from lock to lock.
pub const LOCK_FIRST_S: u32 = 30;
/// Longest pause after too many wrong codes, in seconds.
pub const LOCK_MAX_S: u32 = 3_600;

/// A receiver waits this long for the preface, in milliseconds.
pub const PREFACE_MS: u64 = 5_000;
/// Either side waits this long for the TLS handshake to end, in milliseconds.
pub const HANDSHAKE_MS: u64 = 15_000;
/// Either side waits this long for the next message or byte, and for a frame of its own to get away, in milliseconds.
pub const STEP_MS: u64 = 30_000;
/// Either side waits this long for the peer's frame to be whole once it began, in milliseconds: at the largest chunk,
/// 550 bytes a second.
pub const FRAME_MS: u64 = 120_000;
/// A receiver waits this long for a code, in milliseconds: a person types it.
pub const CODE_MS: u64 = 120_000;
/// A side that works sends `Working` at least this often, in milliseconds.
pub const WORKING_MS: u64 = 5_000;
/// Either side lets the other work no longer than this on one step, in milliseconds.
pub const WORKING_CAP_MS: u64 = 3_600_000;
/// A receiver remembers what a sender proved, for retries, this long, in milliseconds.
pub const REMEMBER_MS: u64 = 600_000;
/// A receiver waits this long for a reader to let go of the place that the folder needs, in milliseconds.
pub const LEASE_MS: u64 = 10_000;
/// A peer that is not authenticated may keep a receiver waiting this long while others wait, in milliseconds.
pub const YIELD_MS: u64 = 250;
/// The same at most, now and then, so that senders far away get in, too.
pub const YIELD_MAX_MS: u64 = 2_000;
/// After its last message a side reads on this long, in milliseconds, so that the message is not lost to a reset.
pub const LINGER_MS: u64 = 3_000;
/// A sender tries a busy receiver again for this long, in milliseconds: past the idle deadline of its own broken
/// predecessor.
pub const BUSY_RETRY_MS: u64 = STEP_MS + 15_000;

/// Longest frame payload for chunks of `chunk` bytes of archive; never less than a message.
pub const fn frame_max(chunk: u32) -> usize {
    let sealed = chunk as usize + CHUNK_OVERHEAD;
    if sealed > MESSAGE_MAX { sealed } else { MESSAGE_MAX }
}

// The chunk counter has 32 bits and must not wrap, whatever the chunk size.
const _: () = assert!(ARCHIVE_MAX / CHUNK_MIN as u64 <= 1 << 32);
// A frame's length has 24 bits.
const _: () = assert!(frame_max(CHUNK_MAX) < 1 << 24);
// An entry's length has 16 bits.
const _: () = assert!(ENTRY_MAX <= u16::MAX as usize);
const _: () = assert!(BUSY_RETRY_MS > STEP_MS);
