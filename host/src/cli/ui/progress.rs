//! The progress of a transfer: a bar on a terminal, a line every few seconds elsewhere, events for scripts.

use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Event, Ui, terminal};
use crate::cli::platform::understands_escapes;

/// Interval between two events, so that a fast transfer does not spend its time on reporting.
const EVENT_EVERY: Duration = Duration::from_millis(200);
/// Interval between two lines, if no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The display of a running transfer. Dropping it removes the bar.
pub(crate) struct Progress<'a> {
    ui: &'a Ui,
    bar: Option<ProgressBar>,
    start: Instant,
    first: u64,
    total: u64,
    last_event: Option<Instant>,
    last_line: Instant,
}

impl Ui {
    /// Starts to show a transfer of `total` bytes, of which the receiver already has `held`.
    pub(crate) fn progress(&self, held: u64, total: u64) -> Progress<'_> {
        let now = Instant::now();
        let mut progress = Progress {
            ui: self,
            bar: self.draws_bars().then(|| bar(held, total)),
            start: now,
            first: held,
            total,
            last_event: None,
            last_line: now,
        };
        terminal::set_bar(progress.bar.clone());
        progress.set(held);
        progress
    }

    fn draws_bars(&self) -> bool {
        !self.output.quiet && console::user_attended_stderr() && understands_escapes()
    }
}

impl Progress<'_> {
    /// Sets the number of transferred bytes, including those that the receiver already had.
    pub(crate) fn set(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.ui.say(self.line(bytes));
        }
        if bytes == self.total || self.last_event.is_none_or(|last| last.elapsed() >= EVENT_EVERY) {
            self.last_event = Some(Instant::now());
            self.ui.event(&Event::Progress { bytes, total: self.total });
        }
    }

    fn line(&self, bytes: u64) -> String {
        let crossed = bytes.saturating_sub(self.first);
        let rate = (crossed as f64 / self.start.elapsed().as_secs_f64().max(0.001)) as u64;
        let left = Duration::from_secs(self.total.saturating_sub(bytes) / rate.max(1));
        let percent = u128::from(bytes) * 100 / u128::from(self.total.max(1));
        format!(
            "{percent:>3} %  {} of {}  {}/s  {} left",
            BinaryBytes(bytes),
            BinaryBytes(self.total),
            BinaryBytes(rate),
            HumanDuration(left)
        )
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        terminal::set_bar(None);
    }
}

fn bar(held: u64, total: u64) -> ProgressBar {
    let look =
        "{wide_bar:.green} {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
        .with_style(ProgressStyle::with_template(look).expect("this constant is a valid template"))
        .with_position(held);
    // The held bytes were not transferred: the rate is measured from here.
    bar.tick();
    bar.reset_eta();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_already_does_not_count_as_fast() {
        let bar = bar(1 << 40, 1 << 41);
        bar.set_position((1 << 40) + 1);
        bar.tick();
        // This holds even if hardly any time has passed since the start.
        assert!(bar.per_sec() < (1u64 << 40) as f64, "{} B/s", bar.per_sec());
    }
}
