//! The Raspberry Pi Pico 2 W: an RP2350A at 150 MHz, 4 MiB of flash, and a CYW43439 for Wi-Fi on a bus that the PIO drives.

use cyw43::{A4, Aligned, Control, NetDriver, Runner, SpiBus, State};
use cyw43_pio::{PioSpi, RM2_CLOCK_DIVIDER};
use embassy_executor::Spawner;
use embassy_rp::gpio::{Level, Output};
use embassy_rp::peripherals::{DMA_CH0, PIO0};
use embassy_rp::pio::{self, Pio};
use embassy_rp::{bind_interrupts, dma};
use embassy_time::{Duration, with_timeout};
use static_cell::StaticCell;
#[cfg(feature = "announce")]
use waft_receiver::announce;
use waft_receiver::wifi::RadioFault;
use waft_rp::absent::Optional;

use super::{Console, Network, Parts, console, print, retry_later};
use crate::watchdog;

bind_interrupts!(struct Interrupts {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>;
    PIO0_IRQ_0 => pio::InterruptHandler<PIO0>;
});

/// Bytes of the flash, a W25Q32RV.
pub(crate) const FLASH_SIZE: usize = 4 << 20;
/// Bytes of a receive buffer, which is the TCP window. The driver has four frames of 1514 bytes between the radio and TCP/IP.
pub(crate) const RX_SIZE: usize = 8 << 10;

/// The longest wait for the start of the radio, which takes about two seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

static FIRMWARE: &Aligned<A4, [u8]> = &Aligned(*include_bytes!(concat!(env!("RADIO_FILES"), "/43439A0.bin")));
static REGULATIONS: &[u8] = include_bytes!(concat!(env!("RADIO_FILES"), "/43439A0_clm.bin"));
static CONFIGURATION: &Aligned<A4, [u8]> = &Aligned(*include_bytes!(concat!(env!("RADIO_FILES"), "/nvram_rp2040.bin")));

/// The network device: absent if the radio does not answer.
pub(crate) type Ethernet = Optional<NetDriver<'static>>;
/// What joins networks, if the radio has started.
pub(crate) type Link = Result<Control<'static>, RadioFault>;

type Bus = PioSpi<'static, PIO0, 0>;
type Radio = Runner<'static, SpiBus<Output<'static>, Bus>>;

/// The radio, before its start.
pub(crate) struct NetworkDevice {
    bus: Bus,
    power: Output<'static>,
}

/// Takes the devices of the board. The watchdog comes first, because some drivers wait for their hardware without a
/// limit.
pub(crate) fn parts() -> Parts {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    let watchdog = watchdog::start(p.WATCHDOG);
    let Pio { mut common, irq0, sm0, .. } = Pio::new(p.PIO0, Interrupts);
    let select = Output::new(p.PIN_25, Level::High);
    let dma = dma::Channel::new(p.DMA_CH0, Interrupts);
    // 25 MHz. The radio of this board does not answer reliably at 37 MHz.
    let bus = PioSpi::new(&mut common, sm0, RM2_CLOCK_DIVIDER, irq0, select, p.PIN_24, p.PIN_29, dma);
    let device = NetworkDevice { bus, power: Output::new(p.PIN_23, Level::Low) };
    Parts { watchdog, console: console(p.UART0, p.PIN_0, p.PIN_1), trng: p.TRNG, flash: p.FLASH, device }
}

impl NetworkDevice {
    /// Starts the radio and its task.
    pub(crate) async fn start(self, spawner: Spawner, console: &mut Console) -> Network {
        if cfg!(radio_stand_ins) {
            print(console, "This program is linked with stand-ins for the radio's firmware: it cannot use Wi-Fi.")
                .await;
            return Network { ethernet: Optional(None), link: Err(RadioFault::NoFirmware) };
        }
        match with_timeout(TIMEOUT, self.start_radio(spawner)).await {
            Ok((device, control)) => Network { ethernet: Optional(Some(device)), link: Ok(control) },
            Err(_) => {
                print(console, "The radio does not answer. The board tries again in a minute.").await;
                retry_later(spawner);
                Network { ethernet: Optional(None), link: Err(RadioFault::Missing) }
            }
        }
    }

    /// Loads the radio's firmware. Waits without a limit for a radio that does not answer, and panics if it answers wrongly.
    async fn start_radio(self, spawner: Spawner) -> (NetDriver<'static>, Control<'static>) {
        static STATE: StaticCell<State> = StaticCell::new();
        let state = STATE.init(State::new());
        let (device, mut control, runner) = cyw43::new(state, self.power, self.bus, FIRMWARE, CONFIGURATION).await;
        spawner.spawn(radio(runner).expect("it is spawned once"));
        control.init(REGULATIONS).await;
        // The chip drops frames to other groups.
        #[cfg(feature = "announce")]
        if control.add_multicast_address(announce::GROUP_MAC).await.is_err() {
            defmt::warn!("the radio takes no group: queries of multicast DNS are not heard");
        }
        // Less delay for a transfer; the board is not powered by a battery.
        control.set_power_management(cyw43::PowerManagementMode::Performance).await;
        (device, control)
    }
}

/// Moves frames and commands between the radio and the other tasks.
#[embassy_executor::task]
async fn radio(runner: Radio) -> ! {
    runner.run().await
}
