//! The W5500-EVB-Pico2 of WIZnet: an RP2350A at 150 MHz, 2 MiB of flash, and a W5500 on an SPI bus.

use embassy_executor::Spawner;
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, InitError, Runner, State};
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, SPI0};
use embassy_rp::spi::{self, Spi};
use embassy_rp::{bind_interrupts, dma};
use embassy_time::Delay;
use embedded_hal_bus::spi::ExclusiveDevice;
use static_cell::StaticCell;
use waft_board::mac::mac;
use waft_rp::absent::Optional;
use waft_rp::frames::Checked;

use super::{Console, Network, Parts, console, print, retry_later};
use crate::{boot, watchdog};

bind_interrupts!(struct Interrupts {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
});

/// Bytes of the flash, a W25Q16JV.
pub(crate) const FLASH_SIZE: usize = 2 << 20;
/// Bytes of a receive buffer, which is the TCP window. The W5500 keeps 16 KiB of frames while the program stands still.
pub(crate) const RX_SIZE: usize = 12 << 10;

/// Frames between the driver and TCP/IP, in each direction.
const FRAMES: usize = 8;
/// The bus may have 33 MHz. The clock of the chip divides down to 25 MHz.
const BUS_HZ: u32 = 33_000_000;

/// The network device: absent if the W5500 does not answer.
pub(crate) type Ethernet = Optional<Device<'static>>;

type Bus = ExclusiveDevice<Spi<'static, SPI0, spi::Async>, Output<'static>, Delay>;
type Chip = Checked<Bus>;

/// The W5500, before its start.
pub(crate) struct NetworkDevice {
    bus: Bus,
    interrupt: Input<'static>,
    reset: Output<'static>,
}

/// Takes the devices of the board. The watchdog comes first, because some drivers wait for their hardware without a
/// limit.
pub(crate) fn parts() -> Parts {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    let watchdog = watchdog::start(p.WATCHDOG);
    let mut config = spi::Config::default();
    config.frequency = BUS_HZ;
    let bus = Spi::new(p.SPI0, p.PIN_18, p.PIN_19, p.PIN_16, p.DMA_CH0, p.DMA_CH1, Interrupts, config);
    let Ok(bus) = ExclusiveDevice::new(bus, Output::new(p.PIN_17, Level::High), Delay);
    let device =
        NetworkDevice { bus, interrupt: Input::new(p.PIN_21, Pull::Up), reset: Output::new(p.PIN_20, Level::High) };
    Parts { watchdog, console: console(p.UART0, p.PIN_0, p.PIN_1), trng: p.TRNG, flash: p.FLASH, device }
}

impl NetworkDevice {
    /// Starts the W5500 and its task.
    pub(crate) async fn start(self, spawner: Spawner, console: &mut Console) -> Network {
        static STATE: StaticCell<State<FRAMES, FRAMES>> = StaticCell::new();
        let address = mac(&boot::unique_id().to_le_bytes());
        let chip = Checked::new(self.bus);
        match embassy_net_wiznet::new(address, STATE.init(State::new()), chip, self.interrupt, self.reset).await {
            Ok((device, runner)) => {
                spawner.spawn(ethernet(runner).expect("it is spawned once"));
                Network { ethernet: Optional(Some(device)) }
            }
            Err(error) => {
                // The bus itself reports no errors.
                let InitError::InvalidChipVersion { actual, .. } = error else {
                    return Network { ethernet: Optional(None) };
                };
                defmt::error!("the W5500 answers {=u8:#x} for its version", actual);
                print(console, "The Ethernet chip W5500 does not answer. The board tries again in a minute.").await;
                retry_later(spawner);
                Network { ethernet: Optional(None) }
            }
        }
    }
}

/// Moves frames between the W5500 and the network task.
#[embassy_executor::task]
async fn ethernet(runner: Runner<'static, W5500, Chip, Input<'static>, Output<'static>>) -> ! {
    runner.run().await
}
