//! Checks the lengths of the frames that a W5500 delivers, between the chip and embassy-net-wiznet.
//!
//! ```text
//! embassy-net-wiznet ──► Checked ──► SPI bus ──► W5500
//!
//! receive buffer of the chip    | length, with these 2 bytes | frame | length | frame | ...
//!                               ^ read pointer
//! ```
//!
//! The driver trusts the length: a frame that is longer than its buffer would end in a panic. This layer replaces the length
//! of such a frame by that of an empty one, and moves the read pointer past the frame when the driver moves it past the empty
//! one. The same happens to a frame without a whole Ethernet header. embassy-net drops empty frames.
//!
//! W5500 data sheet, sections 2.2 (frames on the SPI bus) and 4.2 (Sn_RX_RD).

use embedded_hal::spi::{ErrorType, Operation};
use embedded_hal_async::spi::SpiDevice;

/// Bytes of the longest frame, which is the size of the driver's buffers.
pub const FRAME: u16 = 1514;
/// Bytes of an Ethernet header, the shortest frame.
const FRAME_MIN: u16 = 14;
/// Bytes of a length in the receive buffer. They count too.
const LENGTH: u16 = 2;

/// The control byte of a read from the receive buffer of socket 0.
const READ_BUFFER: u8 = 0x03 << 3;
/// The control byte of a write to a register of socket 0.
const WRITE_REGISTER: u8 = 0x01 << 3 | 1 << 2;
/// The address of the read pointer of a socket.
const READ_POINTER: [u8; 2] = [0x00, 0x28];

/// A W5500 on an SPI bus, whose frames have valid lengths.
#[derive(Debug)]
pub struct Checked<S> {
    spi: S,
    /// Bytes of the current frame that the driver does not know about.
    hidden: u16,
}

impl<S> Checked<S> {
    /// Checks what this device delivers.
    pub fn new(spi: S) -> Self {
        Self { spi, hidden: 0 }
    }

    /// Replaces a length that the driver cannot handle.
    fn check(&mut self, length: &mut [u8; 2]) {
        let whole = u16::from_be_bytes(*length);
        self.hidden = 0;
        if !(LENGTH + FRAME_MIN..=LENGTH + FRAME).contains(&whole) {
            self.hidden = whole.saturating_sub(LENGTH);
            *length = LENGTH.to_be_bytes();
        }
    }
}

impl<S: ErrorType> ErrorType for Checked<S> {
    type Error = S::Error;
}

impl<S: SpiDevice> SpiDevice for Checked<S> {
    async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), S::Error> {
        match operations {
            [Operation::Write(address), Operation::Write([WRITE_REGISTER]), Operation::Write([high, low])]
                if **address == READ_POINTER =>
            {
                let hidden = core::mem::take(&mut self.hidden);
                let pointer = u16::from_be_bytes([*high, *low]).wrapping_add(hidden).to_be_bytes();
                let moved = [&READ_POINTER[..], &[WRITE_REGISTER], &pointer];
                self.spi.transaction(&mut moved.map(Operation::Write)).await
            }
            // An empty frame. A transfer of nothing by DMA might never end.
            [_, Operation::Write([READ_BUFFER]), Operation::TransferInPlace([])] => Ok(()),
            _ => {
                self.spi.transaction(operations).await?;
                if let [_, Operation::Write([READ_BUFFER]), Operation::TransferInPlace(bytes)] = operations
                    && let Ok(length) = <&mut [u8; 2]>::try_from(&mut **bytes)
                {
                    self.check(length);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::vec;
    use std::vec::Vec;

    use embassy_futures::block_on;

    use super::*;

    /// A chip with a receive buffer of 16 KiB, which begins anew after its end.
    struct Chip {
        buffer: Vec<u8>,
        end: u16,
        pointer: u16,
    }

    impl Chip {
        /// A chip whose buffer begins just before its end.
        fn new() -> Self {
            Self { buffer: vec![0; 16 << 10], end: 0xFFF0, pointer: 0xFFF0 }
        }

        fn put(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.buffer[usize::from(self.end) % (16 << 10)] = *byte;
                self.end = self.end.wrapping_add(1);
            }
        }

        fn receive(&mut self, frame: &[u8]) {
            self.put(&(frame.len() as u16 + 2).to_be_bytes());
            self.put(frame);
        }
    }

    impl ErrorType for Chip {
        type Error = Infallible;
    }

    impl SpiDevice for Chip {
        async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Infallible> {
            match operations {
                [Operation::Write([high, low]), Operation::Write([0x18]), Operation::TransferInPlace(bytes)] => {
                    assert!(!bytes.is_empty(), "a transfer of nothing");
                    let from = u16::from_be_bytes([*high, *low]);
                    for (byte, at) in bytes.iter_mut().zip(0..) {
                        *byte = self.buffer[usize::from(from.wrapping_add(at)) % (16 << 10)];
                    }
                }
                [Operation::Write([0x00, 0x28]), Operation::Write([0x08]), Operation::TransferInPlace(bytes)] => {
                    bytes.copy_from_slice(&self.pointer.to_be_bytes());
                }
                [Operation::Write([0x00, 0x28]), Operation::Write([0x0C]), Operation::Write([high, low])] => {
                    self.pointer = u16::from_be_bytes([*high, *low]);
                }
                _ => panic!("the driver does nothing else here: {operations:?}"),
            }
            Ok(())
        }
    }

    /// Reads from an address in a block, as embassy-net-wiznet does.
    fn read(chip: &mut Checked<Chip>, at: u16, control: u8, bytes: &mut [u8]) {
        let (at, control) = (at.to_be_bytes(), [control]);
        let mut operations = [Operation::Write(&at), Operation::Write(&control), Operation::TransferInPlace(bytes)];
        block_on(chip.transaction(&mut operations)).unwrap();
    }

    /// Takes the next frame out, as embassy-net-wiznet does.
    fn take(chip: &mut Checked<Chip>) -> Vec<u8> {
        let (mut pointer, mut length, mut frame) = ([0; 2], [0; 2], [0; 1514]);
        read(chip, 0x28, 0x08, &mut pointer);
        let pointer = u16::from_be_bytes(pointer);
        read(chip, pointer, 0x18, &mut length);
        let length = u16::from_be_bytes(length) as usize - 2;
        read(chip, pointer.wrapping_add(2), 0x18, &mut frame[..length]);
        let next = pointer.wrapping_add(2 + length as u16).to_be_bytes();
        let write = [&[0x00, 0x28][..], &[0x0C], &next];
        block_on(chip.transaction(&mut write.map(Operation::Write))).unwrap();
        frame[..length].to_vec()
    }

    #[test]
    fn frames_that_fit_pass() {
        let mut chip = Checked::new(Chip::new());
        let frames = [14, 15, 60, 1513, 1514].map(|length| vec![length as u8; length]);
        frames.iter().for_each(|frame| chip.spi.receive(frame));
        for frame in frames {
            assert_eq!(frame, take(&mut chip));
        }
        assert_eq!(chip.spi.end, chip.spi.pointer);
    }

    #[test]
    fn other_frames_are_skipped_as_a_whole() {
        for length in [0, 1, 2, 13, 1515, 1518, 1600, 9000] {
            let mut chip = Checked::new(Chip::new());
            chip.spi.receive(&[7; 60]);
            // Its content looks like the lengths of frames.
            chip.spi.receive(&vec![0x05; length]);
            chip.spi.receive(&[8; 60]);
            assert_eq!([7; 60], *take(&mut chip));
            assert!(take(&mut chip).is_empty(), "{length}");
            assert_eq!([8; 60], *take(&mut chip));
            assert_eq!(chip.spi.end, chip.spi.pointer);
        }
    }

    #[test]
    fn an_impossible_length_does_not_stop_the_driver() {
        for length in [0, 1, u16::MAX] {
            let mut chip = Checked::new(Chip::new());
            chip.spi.put(&length.to_be_bytes());
            assert!(take(&mut chip).is_empty(), "{length}");
        }
    }
}
