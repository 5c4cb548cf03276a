//! The two flash sectors of the settings: reading what they contain, and the operations from which a change is made. The
//! order of the operations, which makes them safe under power cuts, is in the parent module.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::MutexGuard;
use embedded_storage_async::nor_flash::NorFlash;

use super::SettingsError;
use super::format::{CELL, Cell, ERASED, First, Head, LIVE, LIVES, NewCopy, SENDER, USED_BYTES, cover, decode_sender};
use crate::crc::Crc32;
use crate::flash::{self, Fault};
use crate::identity::TrustedSenders;

/// The sectors, in a flash that is locked.
pub(super) struct Sectors<'f, M: RawMutex, F> {
    flash: MutexGuard<'f, M, F>,
    at: [u32; 2],
}

/// The content of a sector.
#[derive(Clone, Copy)]
pub(super) enum Sector {
    Blank,
    Erased,
    /// A complete copy, with a LIVE mark.
    Live(Head),
    /// A copy that is not complete.
    Unfinished(Head),
    /// A complete copy without a LIVE mark.
    Written(Head),
    /// A complete copy, of which it cannot be read whether it has a LIVE mark.
    Uncertain(Head),
    OtherVersion,
    Damaged,
    Unreadable,
}

impl From<Fault> for SettingsError {
    fn from(_: Fault) -> Self {
        Self::Flash
    }
}

impl<'f, M: RawMutex, F: NorFlash> Sectors<'f, M, F> {
    const GEOMETRY: () = {
        assert!(CELL.is_multiple_of(F::WRITE_SIZE) && CELL.is_multiple_of(F::READ_SIZE), "units of 1 to 32 bytes");
        assert!(F::ERASE_SIZE >= USED_BYTES, "a sector holds a copy and its marks");
    };

    pub(super) fn new(flash: MutexGuard<'f, M, F>, at: [u32; 2]) -> Self {
        let () = Self::GEOMETRY;
        Self { flash, at }
    }

    /// Reads what a sector contains.
    pub(super) async fn read(&mut self, sector: usize) -> Sector {
        let head = match self.cell(sector, 0).await.map(|cell| First::decode(&cell)) {
            Ok(First::Head(head)) => head,
            Ok(First::Blank) => return Sector::Blank,
            Ok(First::Erased) => return Sector::Erased,
            Ok(First::OtherVersion) => return Sector::OtherVersion,
            Ok(First::Damaged) => return Sector::Damaged,
            Err(Fault) => return Sector::Unreadable,
        };
        let mut crc = Crc32::new();
        for index in head.indices() {
            match self.cell(sector, index).await {
                Ok(cell) => crc = cover(crc, index, &cell),
                Err(Fault) => return Sector::Unreadable,
            }
        }
        let mut is_marked = Ok(false);
        for index in LIVE..LIVE + LIVES {
            match self.cell(sector, index).await {
                Ok(cell) if cell != [0xFF; CELL] => is_marked = Ok(true),
                Err(Fault) if is_marked.is_ok_and(|is_marked| !is_marked) => is_marked = Err(()),
                _ => {}
            }
        }
        match (head.matches(crc), is_marked) {
            (true, Ok(true)) => Sector::Live(head),
            (true, Ok(false)) => Sector::Written(head),
            (true, Err(())) => Sector::Uncertain(head),
            (false, _) => Sector::Unfinished(head),
        }
    }

    /// Erases a sector and writes a copy to it, which does not count yet. Fails if the list of senders changes meanwhile.
    pub(super) async fn write(&mut self, sector: usize, copy: &NewCopy<'_>) -> Result<(), Fault> {
        self.erase(sector).await?;
        for index in copy.indices(0) {
            self.program(sector, index, &copy.cell(index)).await?;
        }
        if matches!(self.read(sector).await, Sector::Written(_) | Sector::Uncertain(_)) { Ok(()) } else { Err(Fault) }
    }

    /// Writes a LIVE mark. If the flash does not keep it, tries the next cell. Without a free cell, the marks before
    /// suffice.
    pub(super) async fn mark(&mut self, sector: usize) -> Result<(), Fault> {
        let mut is_marked = false;
        for index in LIVE..LIVE + LIVES {
            match self.cell(sector, index).await {
                Ok(cell) if cell == [0xFF; CELL] => {
                    if self.program(sector, index, &ERASED).await.is_ok() {
                        return Ok(());
                    }
                }
                Ok(_) => is_marked = true,
                Err(Fault) => {}
            }
        }
        if is_marked { Ok(()) } else { Err(Fault) }
    }

    /// Erases a sector, and marks that as completed.
    pub(super) async fn clear(&mut self, sector: usize) -> Result<(), Fault> {
        self.erase(sector).await?;
        self.program(sector, 0, &ERASED).await
    }

    /// Makes sure that the copy in `live` is the only one.
    pub(super) async fn finish(&mut self, live: usize) -> Result<(), Fault> {
        self.mark(live).await?;
        self.clear(1 - live).await
    }

    /// Reads the senders of a copy.
    pub(super) async fn load(
        &mut self,
        sector: usize,
        head: &Head,
        senders: &TrustedSenders,
    ) -> Result<(), SettingsError> {
        senders.clear();
        for index in 0..u32::from(head.senders) {
            let mut cells = [[0; CELL]; SENDER];
            for (part, cell) in cells.iter_mut().enumerate() {
                let at = head.cells() - (SENDER as u32) * (u32::from(head.senders) - index) + part as u32;
                *cell = self.cell(sector, at).await.map_err(|Fault| SettingsError::Unreadable)?;
            }
            let sender = decode_sender(&cells).ok_or(SettingsError::Lost)?;
            senders.add(sender).map_err(|_| SettingsError::Lost)?;
        }
        Ok(())
    }

    /// Reads a cell.
    pub(super) async fn cell(&mut self, sector: usize, cell: u32) -> Result<Cell, Fault> {
        let mut bytes = [0; CELL];
        let at = self.offset(sector, cell);
        flash::read(&mut *self.flash, at, &mut bytes).await.map(|()| bytes)
    }

    /// Writes a cell, and verifies that it reads back.
    async fn program(&mut self, sector: usize, cell: u32, bytes: &Cell) -> Result<(), Fault> {
        let at = self.offset(sector, cell);
        flash::program(&mut *self.flash, at, bytes, &mut [0xFF; CELL]).await
    }

    fn erase(&mut self, sector: usize) -> impl Future<Output = Result<(), Fault>> {
        let from = self.at[sector];
        flash::erase(&mut *self.flash, from..from + F::ERASE_SIZE as u32)
    }

    fn offset(&self, sector: usize, cell: u32) -> u32 {
        self.at[sector] + cell * CELL as u32
    }
}
