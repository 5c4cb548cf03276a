//! Random orders of events: whatever happened before, a station is connected soon after everything is well again.

use waft_receiver::wifi::{JOIN_MS, JoinError, LEAVE_MS, State};

use crate::fixture::{Bench, JOINING_MS, Script, wifi};
use crate::{ADDRESS, LOST, MINUTE, SECOND};

/// A SplitMix64 generator (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// One event, or none, and then some time.
fn happen(bench: &Bench, random: &mut Random) {
    match random.below(14) {
        0 => bench.script(Script::Fails(JoinError::NotFound)),
        1 => bench.script(Script::Fails(JoinError::WrongPassphrase)),
        2 => bench.script(Script::Fails(JoinError::Rejected)),
        3 => bench.script(Script::Hangs),
        4 => bench.script(Script::JoinsWithoutLink),
        5 => bench.script(Script::Joins { address_after: None }),
        6 | 7 => bench.script(Script::Joins { address_after: Some(random.below(50 * SECOND)) }),
        8 => bench.lose_link(),
        9 => bench.take_address(),
        10 => bench.silence(random.below(2) == 0),
        11 => bench.station().set_network(Some(wifi(["home", "office"][random.below(2) as usize]))),
        12 => bench.station().set_network(None),
        _ => {}
    }
    let longest = [SECOND, 10 * SECOND, 10 * MINUTE][random.below(3) as usize];
    bench.run(random.below(longest));
}

#[test]
fn a_station_recovers_from_every_order_of_events() {
    for seed in 0..2_000 {
        let (bench, mut random) = (Bench::with_seed(Script::Hangs, seed), Random(seed));
        for _ in 0..random.below(40) {
            happen(&bench, &mut random);
        }
        bench.silence(false);
        bench.script(Script::Joins { address_after: Some(SECOND) });
        bench.station().set_network(Some(wifi("home")));
        // What has begun ends, then comes the longest wait, and then the attempt.
        bench.run(JOIN_MS + ADDRESS + LOST + LEAVE_MS + 5 * MINUTE + JOINING_MS + 2 * SECOND);
        assert_eq!(bench.status().state, State::Connected, "seed {seed}: {:?}", bench.status());
        assert_eq!(bench.ssid(), "home");
        let calls = bench.calls().len();
        bench.run(10 * MINUTE);
        assert_eq!(bench.calls().len(), calls, "seed {seed}: it stays connected");
    }
}
