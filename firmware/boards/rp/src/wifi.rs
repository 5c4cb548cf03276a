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
    let radio = Cyw43 { control, stack, association: Association::None };
    station.run(radio, stack, Uptime, boot::unique_id()).await
}

/// The radio, as the station uses it.
struct Cyw43 {
    control: Control<'static>,
    stack: Stack<'static>,
    association: Association,
}

/// What is known about the association with an access point. The driver panics if the chip rejects a command, which may
/// happen to a disassociation that has nothing to end, and was reported for a join while the chip is associated.
#[derive(Clone, Copy)]
enum Association {
    /// There is none.
    None,
    /// There may be one: a join was dropped, or it failed because of the passphrase, which is often noticed afterwards.
    Possible,
    /// The network was joined. There is one as long as there is a link.
    Joined,
}

impl Radio for Cyw43 {
    /// If the future is dropped, the driver cancels the command that it waits for.
    async fn join(&mut self, wifi: &Wifi) -> Result<(), JoinError> {
        if self.stack.is_link_up() {
            // The chip has reconnected without a command since the station gave up.
            self.control.leave().await;
        }
        self.association = Association::Possible;
        let joined = self.control.join(&wifi.ssid, options(&wifi.passphrase)).await;
        let (association, outcome) = match joined {
            Ok(()) => (Association::Joined, Ok(())),
            Err(cyw43::JoinError::NetworkNotFound) => (Association::None, Err(JoinError::NotFound)),
            Err(cyw43::JoinError::AuthenticationFailure) => (Association::Possible, Err(JoinError::WrongPassphrase)),
            Err(cyw43::JoinError::JoinFailure(status)) => {
                defmt::warn!("the radio reports status {=u8}", status);
                (Association::None, Err(JoinError::Rejected))
            }
        };
        self.association = association;
        outcome
    }

    async fn leave(&mut self) {
        let is_associated = match self.association {
            Association::None => false,
            Association::Possible => true,
            Association::Joined => self.stack.is_link_up(),
        };
        if is_associated {
            self.control.leave().await;
        }
        self.association = Association::None;
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
