//! The devices of the board: the watchdog, the serial port, the random number generator, the flash, and the radio.

use esp_hal::clock::CpuClock;
use esp_hal::peripherals::WIFI;
use esp_hal::rng::{Trng, TrngSource};
use esp_hal::rtc_cntl::{Rtc, Rwdt, RwdtStage, RwdtStageAction, reset_reason};
use esp_hal::system::Cpu;
use esp_hal::time::Duration;
use esp_hal::timer::timg::TimerGroup;
use esp_hal::uart::{self, Uart};
use esp_hal::{Async, ram};
use esp_storage::FlashStorage;
use waft_board::tasks;
use waft_esp::line::Line;
use waft_receiver::entropy;

/// The size of the flash that is used, in bytes. Every module has at least as much.
pub(crate) const FLASH: u32 = 4 << 20;

/// Where the program's image begins in the flash, behind the bootloader and the partition table.
pub(crate) const PROGRAM: u32 = 64 << 10;

/// Bytes of the heap, which only the radio's driver uses: for its threads, its frames and its state. Its makers give this sum;
/// 48 KB were not enough.
const HEAP_IN_BOOTLOADER: usize = 64 << 10;
const HEAP_BESIDE: usize = 36 << 10;

/// Stretching a typed key keeps the executor busy for about half a second, longer than anything else.
const WATCHDOG: Duration = Duration::from_secs(8);

/// The serial port of the board's USB bridge.
pub(crate) type Console = Line<Uart<'static, Async>>;
/// The flash chip.
pub(crate) type Storage = FlashStorage<'static>;

/// The devices of the board.
pub(crate) struct Devices {
    pub(crate) console: Console,
    pub(crate) trng: HardwareRng,
    pub(crate) storage: Storage,
    pub(crate) watchdog: Watchdog,
    pub(crate) wifi: WIFI<'static>,
}

/// The number of the reset cause. It is 0 if the driver does not know it.
pub(crate) fn reset_cause() -> u32 {
    reset_reason(Cpu::ProCpu).map_or(0, |reason| reason as u32)
}

/// Starts the clocks, the devices and the scheduler of the radio's threads. Called once.
pub(crate) fn devices() -> Devices {
    let p = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let watchdog = Watchdog::start(Rtc::new(p.RTC_TIMER).rwdt);
    esp_alloc::heap_allocator!(#[ram(reclaimed)] size: HEAP_IN_BOOTLOADER);
    esp_alloc::heap_allocator!(size: HEAP_BESIDE);
    esp_rtos::start(TimerGroup::new(p.TIMG0).timer0, p.FROM_CPU_INTR0);
    let serial = Uart::new(p.UART0, uart::Config::default().with_baudrate(115_200));
    let serial = serial.expect("115200 baud are possible").into_async();
    #[cfg(feature = "esp32c3")]
    let serial = serial.with_rx(p.GPIO20).with_tx(p.GPIO21);
    #[cfg(feature = "esp32c6")]
    let serial = serial.with_rx(p.GPIO17).with_tx(p.GPIO16);
    let trng = HardwareRng(TrngSource::new(p.RNG, p.ADC1));
    Devices { console: Line::new(serial), trng, storage: FlashStorage::new(p.FLASH), watchdog, wifi: p.WIFI }
}

/// The random number generator, whose source is the noise of the analog-to-digital converter until this is dropped. It reports
/// no failures, so the health tests of the receiver are the only ones.
pub(crate) struct HardwareRng(TrngSource<'static>);

impl entropy::Trng for HardwareRng {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        let trng = Trng::try_new();
        trng.is_ok_and(|trng| {
            trng.read(bytes);
            true
        })
    }
}

/// The watchdog of the low-power domain: resets the digital core when the executor hangs.
pub(crate) struct Watchdog(Rwdt);

impl Watchdog {
    fn start(mut watchdog: Rwdt) -> Self {
        // This sets the action, so the right one follows. The whole reset would also reset the memory that survives.
        watchdog.enable();
        watchdog.set_timeout(RwdtStage::Stage0, WATCHDOG);
        watchdog.set_stage_action(RwdtStage::Stage0, RwdtStageAction::ResetCore);
        Self(watchdog)
    }
}

impl tasks::Watchdog for Watchdog {
    fn feed(&mut self) {
        self.0.feed();
    }
}
