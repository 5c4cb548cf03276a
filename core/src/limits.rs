//! Every bound of the protocol, in one place.
//!
//! A peer that exceeds one of these bounds is refused before any buffer or loop takes its size from the peer's data. A
//! receiver may state lower bounds of its own in its `Greeting`. PROTOCOL.md, sections 6 ("Deadlines"), 10 and
//! 13.

/// Longest path of an entry, in bytes of UTF-8, separators included.
pub const PATH_MAX: usize = 1024;
/// Longest component of a path, in bytes.
pub const COMPONENT_MAX: usize = 255;
/// Most components in a path.
pub const DEPTH_MAX: usize = 64;
/// Most entries (files and directories together) in a manifest.
pub const ENTRIES_MAX: u32 = 1 << 20;
/// Longest encoded entry, in bytes, without its length prefix: path, its length, kind, size, mode, seconds, nanos.
pub const ENTRY_MAX: usize = PATH_MAX + 2 + 1 + 10 + 3 + 10 + 5;
/// Longest manifest, in bytes.
pub const MANIFEST_MAX: u32 = 256 << 20;
/// Longest archive, in bytes.
pub const ARCHIVE_MAX: u64 = 1 << 42;

/// Smallest chunk, in bytes of archive.
pub const CHUNK_MIN: u32 = 1 << 10;
/// Largest chunk, in bytes of archive.
pub const CHUNK_MAX: u32 = 1 << 16;
/// Bytes that sealing adds to a chunk: the codec byte and the AEAD's tag.
pub const CHUNK_OVERHEAD: usize = 1 + 16;

/// Longest message, in bytes of postcard inside a frame.
pub const MESSAGE_MAX: usize = 512;
/// Length of a sealed name of a folder: the name, padded to the longest that is allowed, and the AEAD's tag.
pub const SEALED_NAME: usize = COMPONENT_MAX + 16;
/// Length of a frame's header: its kind and the length of its payload.
pub const FRAME_HEADER: usize = 4;

/// Longest plaintext of a TLS record for a receiver that offers the ALPN name `waft-4k`: the frame of a chunk of 4 KiB.
pub const RECORD_4K: usize = FRAME_HEADER + (4 << 10) + CHUNK_OVERHEAD;

/// Most files in one `BaseFiles`.
pub const BASE_FILES_MAX: usize = 8;
/// Most items in a list of a `Greeting`.
pub const LIST_MAX: usize = 8;
/// The receiver sends `Progress` at most once for this many newly durable bytes of archive.
pub const PROGRESS_STEP: u64 = 256 << 10;

/// Fewest PBKDF2 iterations that either side accepts.
pub const ITERATIONS_MIN: u32 = 1_000;
/// Most PBKDF2 iterations that either side accepts.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// Wrong codes that one sender may give before the receiver makes a new code and locks that sender out.
pub const CODE_TRIES: u8 = 3;
/// Wrong keys that the receiver's user may type before the offer is refused.
pub const KEY_TRIES: u8 = 3;
/// Length of a sender's first lockout, in seconds. Each further lockout lasts twice as long as the one before it.
pub const LOCKOUT_FIRST_S: u32 = 30;
/// Longest lockout, in seconds.
pub const LOCKOUT_MAX_S: u32 = 3_600;

/// How long a receiver waits for the preface, in milliseconds.
pub const PREFACE_MS: u64 = 5_000;
/// How long either side waits for the TLS handshake to end, in milliseconds.
pub const HANDSHAKE_MS: u64 = 15_000;
/// How long either side waits for the next byte from the peer, and how long it tries to send a frame, in milliseconds.
pub const IDLE_MS: u64 = 30_000;
/// How long a peer's frame may take from its first byte to its last, in milliseconds. A chunk of the largest size
/// arrives in time at 550 bytes a second.
pub const FRAME_MS: u64 = 120_000;
/// How long a receiver waits for a code, in milliseconds. It is long because a user types the code.
pub const CODE_MS: u64 = 120_000;
/// A side that has nothing else to send sends a `Working` as a keep-alive at least this often, in milliseconds.
pub const WORKING_MS: u64 = 5_000;
/// Longest time that either side lets the peer spend on one step, in milliseconds, whatever keep-alives it sends.
pub const WORKING_CAP_MS: u64 = 3_600_000;
/// How long a receiver remembers, for retries, what a sender has proved, in milliseconds.
pub const REMEMBER_MS: u64 = 600_000;
/// How long a receiver waits for a reader to release its lease on the storage that the transfer needs, in milliseconds.
pub const LEASE_MS: u64 = 10_000;
/// How long an unauthenticated connection may keep the receiver waiting while other connections are pending, in
/// milliseconds.
pub const YIELD_MS: u64 = 125;
/// The longer time that such a connection gets now and then, in milliseconds, so that distant senders get in as well.
pub const YIELD_MAX_MS: u64 = 2_000;
/// How long a side goes on reading after its last message, in milliseconds. Closing a socket with unread bytes would
/// reset the connection, and the reset could overtake that message.
pub const LINGER_MS: u64 = 3_000;
/// How long a sender retries while the receiver is busy, in milliseconds. It exceeds the idle deadline, because the
/// receiver may still be waiting for this sender's own broken connection.
pub const BUSY_RETRY_MS: u64 = IDLE_MS + 15_000;

/// Fewest digits of a pairing code, and the usual number.
pub const PAIRING_DIGITS: usize = 6;
/// Most digits of a pairing code.
pub const PAIRING_DIGITS_MAX: usize = 12;
/// Longest name that a device suggests for itself, in bytes of UTF-8.
pub const PAIRING_NAME_MAX: usize = 64;
/// Longest certificate that crosses in a pairing, in bytes of DER. Those of waft have about 450.
pub const PAIRING_CERTIFICATE_MAX: usize = 768;
/// How long a whole attempt to pair may take, in milliseconds. No user is waited for in it.
pub const PAIRING_MS: u64 = 60_000;
/// How long a dialer may take to confirm after the listener's share. Meanwhile it holds the listener's code.
pub const PAIRING_CONFIRM_MS: u64 = 10_000;
/// Wrong codes within [`PAIRING_WINDOW_MS`] after which a listener pauses.
pub const PAIRING_TRIES: usize = 3;
/// The time within which wrong codes are counted, in milliseconds.
pub const PAIRING_WINDOW_MS: u64 = 60_000;
/// How long a listener then pauses, in seconds. Strangers can cause it, so it is short.
pub const PAIRING_PAUSE_S: u16 = 30;
/// How long a device should keep pairing open after its user opened it, in milliseconds.
pub const PAIRING_OPEN_MS: u64 = 300_000;

/// Longest frame payload where chunks hold `chunk` bytes of archive. It is never less than [`MESSAGE_MAX`].
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
const _: () = assert!(BUSY_RETRY_MS > IDLE_MS);
// A receiver keeps the sealed name in its buffer for decompressed chunks.
const _: () = assert!(SEALED_NAME <= CHUNK_MIN as usize);
