//! The NUCLEO-H563ZI: an STM32H563ZI at 250 MHz, a LAN8742 on RMII, and an ST-LINK whose serial port is the console.

use core::sync::atomic::AtomicU8;

use embassy_stm32::eth::{self, GenericPhy, PacketQueue, Sma};
use embassy_stm32::flash::{Blocking, Flash};
use embassy_stm32::peripherals::{ETH, ETH_SMA, USART3};
use embassy_stm32::rcc::{HSIPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale};
use embassy_stm32::usart::{self, BufferedUart};
use embassy_stm32::{Config, bind_interrupts};
use embedded_io_async::Write;
use static_cell::{ConstStaticCell, StaticCell};
use waft_board::line::Line;
use waft_board::mac::mac;

use crate::trng::HardwareRng;
use crate::watchdog::{self, Watchdog};

bind_interrupts!(struct Interrupts {
    ETH => eth::InterruptHandler;
    USART3 => usart::BufferedInterruptHandler<USART3>;
});

/// The number of frames in each direction. The number of frames to *send* also bounds the receiver's TCP window,
/// because the driver reports no other bound.
const FRAMES: usize = 8;

/// Printed before the Ethernet is started, because a missing PHY clock stops the firmware there.
const STARTING: &[u8] =
    b"\r\nStarting the network. If nothing follows, the Ethernet's PHY gives no clock: check its jumpers.\r\n";

/// The serial port of the ST-LINK.
pub(crate) type Console = Line<'static, BufferedUart<'static>>;
/// The Ethernet device.
pub(crate) type Ethernet = eth::Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

/// The devices of the board.
pub(crate) struct Devices {
    pub(crate) console: Console,
    pub(crate) ethernet: Ethernet,
    pub(crate) trng: HardwareRng,
    pub(crate) flash: Flash<'static, Blocking>,
    pub(crate) watchdog: Watchdog,
}

/// Starts the clocks and devices. The watchdog comes first, because some drivers wait for their hardware without a
/// limit.
/// `unique_id` is the chip's unique ID.
pub(crate) async fn devices(unique_id: [u32; 3]) -> Devices {
    static TX: ConstStaticCell<[u8; 512]> = ConstStaticCell::new([0; 512]);
    static RX: [AtomicU8; 256] = [const { AtomicU8::new(0) }; 256];
    static QUEUE: StaticCell<PacketQueue<FRAMES, FRAMES>> = StaticCell::new();

    let p = embassy_stm32::init(clocks());
    let watchdog = watchdog::start(p.IWDG);
    let mut serial = usart::Config::default();
    serial.baudrate = 115_200;
    // By default a typed character is delivered only with the next one.
    serial.eager_reads = Some(1);
    // SAFETY: this is called once, so that no other driver gets this memory. `Line` changes only bytes that the driver
    // has handed to it as its reader, and through atomics, which may be changed through shared references.
    let rx = unsafe { core::slice::from_raw_parts_mut(RX.as_ptr().cast_mut().cast::<u8>(), RX.len()) };
    let driver = BufferedUart::new(p.USART3, p.PD9, p.PD8, TX.take(), rx, Interrupts, serial);
    let mut console = Line::new(driver.expect("the clock of USART3 divides down to 115200 baud"), &RX);
    // The Ethernet driver waits for the PHY's clock without a limit. If there is none, the watchdog resets the chip.
    let _ = console.write_all(STARTING).await;
    let _ = console.flush().await;
    let ethernet = Ethernet::new(
        QUEUE.init_with(PacketQueue::new),
        p.ETH,
        Interrupts,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PG13,
        p.PB15,
        p.PG11,
        mac(unique_id.map(u32::to_le_bytes).as_flattened()),
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    Devices { console, ethernet, trng: HardwareRng::new(p.RNG), flash: Flash::new_blocking(p.FLASH), watchdog }
}

/// 250 MHz from the internal oscillator. The ST-LINK could provide a more precise clock, but it is off on a board that
/// is not powered by USB. The random number generator keeps its own oscillator of 48 MHz.
fn clocks() -> Config {
    let mut config = Config::default();
    config.rcc.hsi = Some(HSIPrescaler::DIV1);
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV16,
        mul: PllMul::MUL125,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.voltage_scale = VoltageScale::Scale0;
    config
}
