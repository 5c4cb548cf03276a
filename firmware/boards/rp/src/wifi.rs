//! Wi-Fi: what `waft_receiver::wifi` needs of the radio, and its task.

use cyw43::{Control, JoinAuth, JoinOptions};
use embassy_executor::Spawner;
use embassy_net::Stack;
use static_cell::StaticCell;
use waft_board::boot::BoardMutex;
use waft_receiver::embassy::Uptime;
use waft_receiver::identity::Wifi;
use waft_receiver::wifi::{JoinError, Radio, Station};

use crate::board::Link;
use crate::boot;

/// Bytes of a key that is given itself, in hexadecimal digits, and not derived from a passphrase.
const KEY: usize = 64;

/// The network that is to be joined, and the status for the console. Call it once.
pub(crate) fn station() -> &'static Station<BoardMutex> {
    static STATION: StaticCell<Station<BoardMutex>> = StaticCell::new();
    STATION.init(Station::new())
}

/// Starts the task that joins a network, if the radio has started. Otherwise the console says why it has not.
pub(crate) fn start(spawner: Spawner, station: &'static Station<BoardMutex>, link: Link, stack: Stack<'static>) {
    match link {
        Ok(control) => spawner.spawn(wifi(station, control, stack).expect("it is spawned once")),
        Err(fault) => station.report_fault(fault),
    }
}

/// Joins the network, and stays connected.
#[embassy_executor::task]
async fn wifi(station: &'static Station<BoardMutex>, control: Control<'static>, stack: Stack<'static>) -> ! {
    // The unique ID spreads the attempts of many boards in time.
    station.run(Cyw43(control), stack, Uptime, boot::unique_id()).await
}

/// The radio, as the station uses it.
struct Cyw43(Control<'static>);

impl Radio for Cyw43 {
    /// If the future is dropped, the driver cancels the command that it waits for.
    async fn join(&mut self, wifi: &Wifi) -> Result<(), JoinError> {
        self.0.join(&wifi.ssid, options(&wifi.passphrase)).await.map_err(|error| match error {
            cyw43::JoinError::NetworkNotFound => JoinError::NotFound,
            cyw43::JoinError::AuthenticationFailure => JoinError::WrongPassphrase,
            cyw43::JoinError::JoinFailure(status) => {
                defmt::warn!("the radio reports status {=u8}", status);
                JoinError::Rejected
            }
        })
    }

    async fn leave(&mut self) {
        self.0.leave().await;
    }
}

fn options(passphrase: &[u8]) -> JoinOptions<'_> {
    if passphrase.is_empty() {
        return JoinOptions::new_open();
    }
    let mut options = JoinOptions::new(passphrase);
    // WPA3 needs a passphrase.
    if passphrase.len() == KEY {
        (options.auth, options.passphrase_is_prehashed) = (JoinAuth::Wpa2, true);
    }
    options
}
