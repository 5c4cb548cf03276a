//! The Wi-Fi network that a user set at the board, in the settings: its cells in a copy, and how it is changed and read.

use core::array;
use core::ops::Range;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::format::{CELL, Cell, Head, NETWORK};
use super::sectors::Sectors;
use super::{Settings, SettingsError};
use crate::flash::Fault;
use crate::identity::{SSID_MAX, TrustedSenders, Wifi};

/// The cells of a network: the name, and both halves of the passphrase.
pub(super) const NETWORK_CELLS: usize = 3;

const _: () = assert!(SSID_MAX == CELL);

impl<M: RawMutex, F: NorFlash> Settings<'_, M, F> {
    /// The network that was set at the board. `None` means that the one of the identity applies.
    pub async fn network(&self) -> Option<Wifi> {
        self.state.lock().await.network.as_ref().map(Wifi::copy)
    }

    /// Changes the network that was set at the board. With `None`, the one of the identity applies again. Once this
    /// returns `Ok`, no copy in the flash contains the network before, whatever power cut follows. If it fails, the network
    /// stays; but call it again, because a later boot may have the new one otherwise. Fails with [`SettingsError::Network`],
    /// and changes nothing, if the network is invalid: a later boot would take the settings for lost.
    pub async fn set_network(&self, senders: &TrustedSenders, network: Option<Wifi>) -> Result<(), SettingsError> {
        if network.as_ref().is_some_and(|network| network.check().is_err()) {
            return Err(SettingsError::Network);
        }
        let mut state = self.state.lock().await;
        self.check_changeable()?;
        let was_lost = self.begin_change(&mut state)?;
        let mut sectors = self.lock().await;
        let before = core::mem::replace(&mut state.network, network);
        let stored = self.store(&mut sectors, &mut state, Some(senders)).await;
        self.end_change(was_lost && stored.is_ok());
        if stored.is_err() {
            state.network = before;
        }
        stored
    }
}

/// Reads the network of a copy.
pub(super) async fn load_network<M: RawMutex, F: NorFlash>(
    sectors: &mut Sectors<'_, M, F>,
    sector: usize,
    head: &Head,
) -> Result<Option<Wifi>, SettingsError> {
    if !head.has_network {
        return Ok(None);
    }
    let mut cells = [[0; CELL]; NETWORK_CELLS];
    for (cell, index) in cells.iter_mut().zip(network_indices(true)) {
        *cell = sectors.cell(sector, index).await.map_err(|Fault| SettingsError::Unreadable)?;
    }
    decode(&cells).map(Some).ok_or(SettingsError::Lost)
}

/// The indices of the cells of the network in a copy.
pub(super) fn network_indices(has_network: bool) -> Range<u32> {
    NETWORK..NETWORK + if has_network { NETWORK_CELLS as u32 } else { 0 }
}

/// The cell of a network with this index in the copy.
pub(super) fn network_cell(network: &Wifi, index: u32) -> Cell {
    let (text, from) = match (index - NETWORK) as usize {
        0 => (network.ssid.as_bytes(), 0),
        part => (network.passphrase.as_slice(), (part - 1) * CELL),
    };
    array::from_fn(|at| text.get(from + at).copied().unwrap_or(0))
}

/// Decodes a network, or returns `None` if it is invalid.
fn decode(cells: &[Cell; NETWORK_CELLS]) -> Option<Wifi> {
    let [ssid, passphrase @ ..] = cells;
    let ssid = core::str::from_utf8(without_zeros(ssid)?).ok()?;
    Wifi::new(ssid, without_zeros(passphrase.as_flattened())?).ok()
}

/// A text without the zeros after it, or `None` if something follows the first zero.
fn without_zeros(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, zeros) = bytes.split_at(length);
    zeros.iter().all(|byte| *byte == 0).then_some(text)
}
