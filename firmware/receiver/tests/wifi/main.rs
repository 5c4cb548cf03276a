//! Tests of a station against a radio that follows a script, in virtual time: every failure, every order of events, and an
//! access point that is away for a day.

mod fixture;
mod sweep;

use waft_receiver::identity::{Wifi, WifiError};
use waft_receiver::wifi::{Failure, JOIN_MS, JoinError, LEAVE_MS, RadioFault, State, Status};

use fixture::{Bench, Call, JOINING_MS, LEAVING_MS, Script, wifi};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// The longest time from a failure to the next attempt.
const LONGEST: u64 = MINUTE;
/// The time in which an address has to come, and in which a link counts as lost, with the time to notice it.
const ADDRESS: u64 = 41 * SECOND;
const LOST: u64 = 7 * SECOND;
/// How long an attempt takes that fails.
const FAILING: u64 = JOINING_MS + LEAVING_MS;

#[test]
fn a_network_is_joined_and_the_news_are_told_once() {
    let bench = Bench::new(Script::Joins { address_after: Some(2 * SECOND) });
    assert_eq!(bench.status(), Status { state: State::Starting, failure: None, failures: 0 });
    bench.run(SECOND);
    assert!(bench.calls().is_empty() && !bench.has_news(), "the network is not known yet");
    bench.station().set_network(Some(wifi("home")));
    bench.run(0);
    assert_eq!((bench.status().state, bench.ssid().as_str()), (State::Joining, "home"));
    bench.run(JOINING_MS + SECOND);
    assert_eq!(bench.status().state, State::Addressing);
    assert!(!bench.has_news());
    bench.run(2 * SECOND);
    assert_eq!(bench.status(), Status { state: State::Connected, failure: None, failures: 0 });
    assert!(bench.has_news() && !bench.has_news());
    bench.run(DAY);
    assert_eq!(bench.calls(), [(SECOND, Call::Join("home".into()))]);
    assert!(!bench.has_news());
}

#[test]
fn without_a_network_nothing_is_joined_until_one_is_set() {
    let bench = Bench::new(Script::Joins { address_after: Some(0) });
    bench.station().set_network(None);
    bench.run(DAY);
    assert_eq!((bench.status().state, bench.station().ssid()), (State::NoNetwork, None));
    assert!(bench.has_news() && bench.calls().is_empty());
    bench.station().set_network(Some(wifi("home")));
    bench.run(2 * SECOND);
    assert_eq!(bench.status().state, State::Connected);
    bench.station().set_network(None);
    bench.run(SECOND);
    assert_eq!(bench.status().state, State::NoNetwork);
    assert_eq!(bench.last_call(), Call::Leave);
}

#[test]
fn a_radio_that_cannot_be_used_is_reported() {
    for fault in [RadioFault::Missing, RadioFault::NoFirmware] {
        let bench = Bench::new(Script::Hangs);
        bench.station().report_fault(fault);
        assert_eq!(bench.status().state, State::Unusable(fault));
        assert!(bench.has_news());
        bench.station().set_network(Some(wifi("home")));
        assert_eq!(bench.status().state, State::Unusable(fault));
    }
}

/// Every failure is told once, and attempts go on forever, ever more rarely.
#[test]
fn no_failure_ends_the_attempts() {
    for error in [JoinError::NotFound, JoinError::WrongPassphrase, JoinError::Rejected, JoinError::Radio] {
        let bench = Bench::joining(Script::Fails(error));
        let (shortest, longest) = match error {
            JoinError::WrongPassphrase => (30 * SECOND, 5 * MINUTE),
            _ => (SECOND, MINUTE),
        };
        bench.run(FAILING);
        let Status { state: State::Waiting { until }, failure, failures: 1 } = bench.status() else {
            panic!("{:?}", bench.status())
        };
        assert_eq!(failure, Some(Failure::Join(error)));
        assert!((FAILING + shortest / 2..=FAILING + shortest).contains(&until));
        assert!(bench.has_news());
        bench.run(DAY);
        assert!(!bench.has_news(), "the same failure is no news");
        assert_eq!(bench.status().failure, Some(Failure::Join(error)));
        let joins = bench.joins();
        let gaps: Vec<_> = joins.windows(2).map(|pair| pair[1] - pair[0] - FAILING).collect();
        for (index, gap) in gaps.iter().enumerate() {
            let most = (shortest << index.min(16)).min(longest);
            assert!((most / 2..=most).contains(gap), "{error:?}: {index}: {gap}");
        }
        assert!(joins.len() as u64 > DAY / (longest + FAILING));
        let leaves = bench.calls().iter().filter(|(_, call)| *call == Call::Leave).count();
        assert_eq!(leaves, joins.len(), "each join that failed is left once");
        bench.script(Script::Joins { address_after: Some(SECOND) });
        bench.run(longest + 2 * JOINING_MS + 2 * SECOND);
        assert_eq!(bench.status(), Status { state: State::Connected, failure: None, failures: 0 });
        assert!(bench.has_news());
    }
}

#[test]
fn another_reason_is_news_again() {
    let bench = Bench::joining(Script::Fails(JoinError::NotFound));
    bench.run(10 * MINUTE);
    assert!(bench.has_news());
    bench.script(Script::Fails(JoinError::WrongPassphrase));
    bench.run(LONGEST + FAILING);
    assert!(bench.has_news());
    let Status { state: State::Waiting { until }, .. } = bench.status() else { panic!("{:?}", bench.status()) };
    assert!(until - bench.now() <= 30 * SECOND, "the time begins anew with the reason");
    bench.run(10 * MINUTE);
    assert!(!bench.has_news());
}

#[test]
fn a_join_that_never_answers_is_given_up() {
    let bench = Bench::joining(Script::Hangs);
    bench.run(JOIN_MS - 1);
    assert_eq!(bench.status().state, State::Joining);
    bench.run(SECOND);
    assert_eq!(bench.status().failure, Some(Failure::TimedOut));
    assert_eq!(bench.calls()[1..3], [(JOIN_MS, Call::Dropped), (JOIN_MS, Call::Leave)]);
    bench.script(Script::Joins { address_after: Some(0) });
    // The second attempt hangs as well.
    bench.run(JOIN_MS + 4 * SECOND + JOINING_MS);
    assert_eq!(bench.status().state, State::Connected);
}

#[test]
fn a_radio_that_never_answers_is_told_as_such() {
    let bench = Bench::joining(Script::Hangs);
    bench.silence(true);
    bench.run(JOIN_MS + LEAVE_MS);
    assert_eq!(bench.status().failure, Some(Failure::Join(JoinError::Radio)));
    bench.run(DAY);
    assert!(bench.joins().len() as u64 > DAY / (JOIN_MS + LEAVE_MS + LONGEST));
    bench.silence(false);
    bench.script(Script::Joins { address_after: Some(0) });
    bench.run(JOIN_MS + LEAVE_MS + LONGEST + 2 * JOINING_MS);
    assert_eq!(bench.status().state, State::Connected);
}

#[test]
fn a_network_without_addresses_is_joined_again() {
    let bench = Bench::joining(Script::Joins { address_after: None });
    bench.run(JOINING_MS + 39 * SECOND);
    assert_eq!((bench.status().state, bench.status().failure), (State::Addressing, None));
    bench.run(SECOND + 200);
    assert_eq!(bench.status().failure, Some(Failure::NoAddress));
    assert!(bench.has_news());
    assert_eq!(bench.last_call(), Call::Leave);
    bench.run(DAY);
    assert!(bench.joins().len() as u64 >= DAY / (ADDRESS + LONGEST + JOINING_MS) && !bench.has_news());
    bench.script(Script::Joins { address_after: Some(30 * SECOND) });
    bench.run(ADDRESS + LONGEST + 2 * JOINING_MS + 31 * SECOND);
    assert_eq!(bench.status().state, State::Connected);
}

#[test]
fn a_link_that_is_lost_while_an_address_is_awaited_is_made_again() {
    let bench = Bench::joining(Script::Joins { address_after: None });
    bench.run(JOINING_MS + 10 * SECOND);
    bench.script(Script::Joins { address_after: Some(SECOND) });
    bench.lose_link();
    bench.run(LOST);
    assert_eq!(bench.status().failure, Some(Failure::LinkLost));
    bench.run(4 * SECOND + JOINING_MS);
    assert_eq!(bench.status().state, State::Connected);
}

#[test]
fn a_join_whose_link_never_comes_is_lost() {
    let bench = Bench::joining(Script::JoinsWithoutLink);
    bench.run(JOINING_MS + LOST);
    assert_eq!(bench.status().failure, Some(Failure::LinkLost));
    bench.run(MINUTE);
    assert!(bench.joins().len() > 3);
}

#[test]
fn an_access_point_may_be_away_for_a_minute_or_a_day() {
    let bench = Bench::joining(Script::Joins { address_after: Some(SECOND) });
    for away in [MINUTE, DAY, MINUTE] {
        bench.run(10 * MINUTE);
        assert_eq!(bench.status().state, State::Connected);
        assert!(bench.has_news());
        let (lost, attempts) = (bench.now(), bench.joins().len());
        bench.lose_link();
        bench.script(Script::Fails(JoinError::NotFound));
        bench.run(LOST);
        assert!(bench.has_news(), "the loss is told");
        bench.run(away);
        assert!(bench.joins()[attempts] <= lost + LOST + SECOND, "the first attempt is quick again");
        bench.script(Script::Joins { address_after: Some(SECOND) });
        bench.run(LONGEST + 2 * JOINING_MS + 2 * SECOND);
        assert_eq!(bench.status().state, State::Connected);
    }
}

#[test]
fn a_short_loss_of_link_or_address_is_waited_out() {
    let bench = Bench::joining(Script::Joins { address_after: Some(SECOND) });
    bench.run(MINUTE);
    bench.lose_link();
    bench.run(2 * SECOND);
    assert_eq!(bench.status().state, State::Joining);
    bench.restore_link();
    bench.run(2 * SECOND);
    assert_eq!(bench.status().state, State::Addressing, "DHCP begins again");
    bench.give_address();
    bench.run(SECOND);
    assert_eq!(bench.status().state, State::Connected);
    bench.take_address();
    bench.run(30 * SECOND);
    assert_eq!(bench.status().state, State::Addressing);
    bench.give_address();
    bench.run(SECOND);
    assert_eq!(bench.status().state, State::Connected);
    assert_eq!(bench.calls().len(), 1);
    bench.take_address();
    bench.run(ADDRESS + SECOND);
    assert_eq!(bench.status().failure, Some(Failure::NoAddress));
}

/// Where the link is lost whenever it was made, attempts become rare, too.
#[test]
fn a_flapping_link_is_not_hammered() {
    let bench = Bench::joining(Script::Joins { address_after: Some(0) });
    for _ in 0..200 {
        bench.run(3 * SECOND);
        bench.lose_link();
        bench.run(LOST);
    }
    let joins = bench.joins();
    let gaps = joins.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.skip(8).all(|gap| gap >= LONGEST / 2), "{joins:?}");
}

/// A network that is set at any time is joined at once, whatever happens with the other one.
#[test]
fn another_network_is_joined_at_once() {
    let scripts = [
        Script::Hangs,
        Script::Fails(JoinError::NotFound),
        Script::Fails(JoinError::WrongPassphrase),
        Script::Joins { address_after: None },
        Script::Joins { address_after: Some(SECOND) },
    ];
    for script in scripts {
        for at in [0, 1, JOINING_MS - 1, JOINING_MS, JOINING_MS + 5 * SECOND, 39 * SECOND, 45 * SECOND, 10 * MINUTE] {
            let bench = Bench::joining(script);
            bench.run(at);
            bench.has_news();
            bench.script(Script::Fails(JoinError::NotFound));
            bench.station().set_network(Some(wifi("office")));
            let (set, before) = (bench.now(), bench.joins().len());
            bench.run(JOINING_MS + 2 * SECOND);
            assert!(bench.joins()[before] <= set + SECOND, "{script:?} at {at}");
            assert_eq!(bench.ssid(), "office");
            assert_eq!(bench.status().failure, Some(Failure::Join(JoinError::NotFound)));
            assert!(bench.has_news(), "{script:?} at {at}: also if the last failure was the same");
            bench.script(Script::Joins { address_after: Some(0) });
            bench.run(4 * SECOND);
            assert_eq!(bench.status().state, State::Connected, "{script:?} at {at}: the times begin anew");
        }
    }
}

#[test]
fn the_same_network_again_changes_nothing_but_another_passphrase_does() {
    let bench = Bench::joining(Script::Joins { address_after: Some(0) });
    bench.run(MINUTE);
    bench.station().set_network(Some(wifi("home")));
    bench.run(MINUTE);
    assert_eq!(bench.calls().len(), 1);
    bench.station().set_network(Some(Wifi::new("home", b"another one").unwrap()));
    bench.run(MINUTE);
    assert_eq!(bench.joins().len(), 2);
    assert_eq!(bench.status().state, State::Connected);
}

/// While the station waits for its next attempt, the same network is joined at once. This ends no attempt that has begun.
#[test]
fn the_same_network_is_joined_at_once_if_it_waits() {
    let bench = Bench::joining(Script::Fails(JoinError::WrongPassphrase));
    bench.run(10 * MINUTE);
    assert!(bench.has_news() && matches!(bench.status().state, State::Waiting { .. }));
    let (set, before) = (bench.now(), bench.joins().len());
    bench.station().set_network(Some(wifi("home")));
    bench.run(JOINING_MS / 2);
    assert_eq!(bench.joins()[before..], [set]);
    assert_eq!(bench.status(), Status { state: State::Joining, failure: None, failures: 0 });
    bench.station().set_network(Some(wifi("home")));
    bench.run(FAILING);
    assert_eq!(bench.joins()[before..], [set], "it was being joined already");
    assert_eq!(bench.status().failures, 1);
    assert!(bench.has_news(), "the result is told again");
}

/// The future may be dropped and run again, at every point.
#[test]
fn a_station_runs_again_after_its_future_was_dropped() {
    for script in [Script::Hangs, Script::Fails(JoinError::Rejected), Script::Joins { address_after: Some(SECOND) }] {
        for at in (0..60 * SECOND).step_by(733) {
            let bench = Bench::joining(script);
            bench.run(at);
            bench.restart();
            bench.script(Script::Joins { address_after: Some(SECOND) });
            bench.run(JOINING_MS + 3 * SECOND);
            assert_eq!(bench.status().state, State::Connected, "{script:?} at {at}");
        }
    }
}

/// Fifty boards that lose their access point at the same moment do not return together.
#[test]
fn many_boards_spread_their_attempts() {
    let attempts: Vec<_> = (0..50)
        .map(|seed| {
            let bench = Bench::with_seed(Script::Fails(JoinError::NotFound), seed);
            bench.run(10 * MINUTE);
            *bench.joins().last().unwrap()
        })
        .collect();
    let in_a_second = |at: u64| attempts.iter().filter(|attempt| (at..at + SECOND).contains(attempt)).count();
    let most = attempts.iter().map(|at| in_a_second(*at)).max().unwrap();
    assert!(most <= 10, "{most} of 50 boards try within a second");
}

#[test]
fn names_and_passphrases_have_the_forms_of_wifi() {
    let longest = "x".repeat(32);
    let key = "0123456789abcdefABCDEF".repeat(3);
    for (ssid, passphrase) in
        [("a", ""), ("my network", "12345678"), (&longest, &"~".repeat(63)), ("日本", "   ab   "), ("a", &key[..64])]
    {
        let wifi = Wifi::new(ssid, passphrase.as_bytes()).unwrap();
        assert_eq!((wifi.ssid.as_str(), wifi.passphrase.as_slice()), (ssid, passphrase.as_bytes()));
        assert!(passphrase.is_empty() || !format!("{wifi:?}").contains(passphrase));
    }
    let overlong = "x".repeat(33);
    for (ssid, passphrase, error) in [
        ("", "12345678", WifiError::Ssid),
        (&overlong, "12345678", WifiError::Ssid),
        ("a\0", "12345678", WifiError::Ssid),
        ("a\u{9b}2J", "12345678", WifiError::Ssid),
        ("a", "1234567", WifiError::Length),
        ("a", &"x".repeat(64), WifiError::Length),
        ("a", &"x".repeat(65), WifiError::Length),
        ("a", "1234567\t", WifiError::Character),
        ("a", "sésame ouvre", WifiError::Character),
    ] {
        assert_eq!(Wifi::new(ssid, passphrase.as_bytes()).err(), Some(error), "{ssid:?} {passphrase:?}");
    }
}
