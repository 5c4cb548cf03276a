//! The table that the simulator prints. Each job computes one row, and the jobs run on as many threads as there are
//! cores.

use std::fmt::Write;
use std::sync::Mutex;

use super::damage::Damage;

/// Forbidden results of power cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The old folder or an acknowledged one is lost, or the seed is.
    Lost,
    /// The folder that is shown is damaged.
    Mixed,
    /// Another folder is shown, or no folder can be received, or a secret repeats.
    Wrong,
}

/// The results of some trials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) tried: u64,
    lost: u64,
    mixed: u64,
    wrong: u64,
    /// The first trial that did harm.
    first: Option<String>,
}

impl Tally {
    pub(crate) fn count(&mut self, outcome: Result<(), Harm>, trial: &dyn std::fmt::Debug) {
        self.tried += 1;
        match outcome {
            Ok(()) => return,
            Err(Harm::Lost) => self.lost += 1,
            Err(Harm::Mixed) => self.mixed += 1,
            Err(Harm::Wrong) => self.wrong += 1,
        }
        self.first.get_or_insert_with(|| format!("{trial:?}"));
    }

    /// Counts a trial if all its cuts hit an operation, or if it did harm before the last one.
    pub(crate) fn count_if_met(&mut self, (is_met, outcome): (bool, Result<(), Harm>), trial: &dyn std::fmt::Debug) {
        if is_met {
            self.count(outcome, trial);
        }
    }

    pub(crate) fn is_harmless(&self) -> bool {
        (self.lost, self.mixed, self.wrong) == (0, 0, 0)
    }
}

/// The work for a row of the table.
pub(crate) struct Job {
    pub(crate) subject: &'static str,
    /// The bytes of a write unit and of an erase block.
    pub(crate) geometry: (usize, usize),
    pub(crate) cuts: &'static str,
    pub(crate) damage: Damage,
    pub(crate) run: Box<dyn Fn(Damage) -> Tally + Send + Sync>,
}

/// Runs the jobs, and prints the table. Returns the jobs that did harm.
pub(crate) fn run(jobs: Vec<Job>) -> Vec<Job> {
    let next = Mutex::new(0..jobs.len());
    let tallies = Mutex::new(vec![Tally::default(); jobs.len()]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(index) = next.lock().expect("no job panicked").next() else { return };
                    let started = std::time::Instant::now();
                    let tally = (jobs[index].run)(jobs[index].damage);
                    eprintln!(
                        "{} in {:.0?} {}",
                        row(&jobs[index], &tally),
                        started.elapsed(),
                        tally.first.as_deref().unwrap_or_default()
                    );
                    tallies.lock().expect("no job panicked")[index] = tally;
                }
            });
        }
    });
    let tallies = tallies.into_inner().expect("no job panicked");
    println!(
        "| what | write unit | erase block | power cuts in a row | torn cells read | tried | lost | mixed | wrong |"
    );
    println!("|---|--:|--:|---|---|--:|--:|--:|--:|");
    jobs.iter().zip(&tallies).for_each(|(job, tally)| println!("{}", row(job, tally)));
    let harmful = jobs.into_iter().zip(&tallies).filter(|(_, tally)| !tally.is_harmless());
    harmful.map(|(job, _)| job).collect()
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}, {} cuts, {:?}", self.subject, self.geometry, self.cuts, self.damage)
    }
}

fn row(job: &Job, Tally { tried, lost, mixed, wrong, .. }: &Tally) -> String {
    let (unit, block) = job.geometry;
    let block = if block < 1024 { block.to_string() } else { format!("{} K", block / 1024) };
    let tried = grouped(*tried);
    format!(
        "| {} | {unit} | {block} | {} | {} | {tried} | {lost} | {mixed} | {wrong} |",
        job.subject,
        job.cuts,
        job.damage.description()
    )
}

/// A number with commas between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        write!(text, "{digit}").expect("a String takes all");
    }
    text
}
