//! Power cuts while the settings are made, changed and read: the list of trusted senders, the policy, the Wi-Fi network.
//! Each boot shows the settings before the change or those after it, and never the former again once a boot showed the
//! latter. A sender or a network whose removal was reported is not in the flash any more.

use std::sync::LazyLock;

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::sealed::HpkeSecret;
use waft_receiver::identity::{Identity, KeyPolicy, Policy, TrustedSender, TrustedSenders, Wifi};
use waft_receiver::settings::{Settings, SettingsError};

use super::change::Cut;
use super::damage::Damage;
use super::table::{Harm, Tally};
use crate::nor::{Failing, Level, Nor, Operation, Random, Reads, TEARS};

/// More operations than a change takes.
const REACH: u64 = 20;

/// A sender with this name. All have the same public key, which plays no part here.
pub(crate) fn sender(name: char) -> TrustedSender {
    static POINT: LazyLock<[u8; 65]> = LazyLock::new(|| HpkeSecret::from_bytes(&[9; 32]).unwrap().public());
    let point = *POINT;
    let certificate = [&[name as u8][..], &point].concat();
    TrustedSender::new(&name.to_string(), &certificate, point).unwrap()
}

/// The identity of a board that trusts the sender `a`.
pub(crate) fn identity() -> Identity {
    let points = [1, 2].map(|key| HpkeSecret::from_bytes(&[key; 32]).unwrap().public());
    let policy = Policy { code: true, key: KeyPolicy::Typed, allow_older: false, announce: true };
    Identity::new("kitchen", &[1; 32], &[2; 32], points.as_flattened(), &[sender('a')], policy).unwrap()
}

/// A network with this name. Names of networks are capital letters, and those of senders small ones.
pub(crate) fn network(name: char) -> Wifi {
    Wifi::new(&name.to_string(), passphrase(name).as_bytes()).unwrap()
}

/// The longest passphrase, so that both of its cells are used.
pub(crate) fn passphrase(name: char) -> String {
    name.to_string().repeat(63)
}

/// A change of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// None: only the first start makes a copy.
    None,
    Trust(char),
    Untrust(char),
    Policy(Policy),
    /// Another network, or the one of the identity.
    Network(Option<char>),
}

pub(super) const OPEN: Policy = Policy { code: false, key: KeyPolicy::Sealed, allow_older: false, announce: true };
const EITHER: Policy = Policy { code: true, key: KeyPolicy::Either, allow_older: true, announce: true };

/// What happened before a change, and the change.
pub(crate) type History = (&'static [Change], Change);

/// Changes of senders and policy.
pub(crate) const HISTORIES: &[History] = &[
    (&[], Change::None),
    (&[Change::None], Change::Trust('b')),
    (&[Change::None], Change::Untrust('a')),
    (&[Change::Trust('b')], Change::Untrust('a')),
    (&[Change::Trust('b'), Change::Trust('c')], Change::Untrust('b')),
    (&[Change::Trust('b'), Change::Untrust('a')], Change::Untrust('b')),
    (&[Change::None], Change::Policy(OPEN)),
    (&[Change::Policy(OPEN), Change::Trust('b')], Change::Policy(EITHER)),
];

/// Changes of the network, and of settings with a network.
pub(crate) const NETWORKS: &[History] = &[
    (&[Change::None], Change::Network(Some('H'))),
    (&[Change::Network(Some('H'))], Change::Network(Some('O'))),
    (&[Change::Policy(OPEN), Change::Network(Some('H'))], Change::Network(None)),
    (&[Change::Network(Some('H')), Change::Trust('b')], Change::Untrust('a')),
    (&[Change::Trust('b'), Change::Network(Some('H'))], Change::Policy(EITHER)),
];

/// The flash of a board, and its identity, which does not change.
pub(crate) struct Board<'i, const W: usize, const E: usize> {
    pub(crate) flash: Nor<W, E>,
    pub(super) identity: &'i Identity,
}

impl<const W: usize, const E: usize> Clone for Board<'_, W, E> {
    fn clone(&self) -> Self {
        Self { flash: self.flash.clone(), identity: self.identity }
    }
}

/// What a boot shows, and whether its change succeeded.
pub(super) struct Booted {
    pub(super) mounted: Result<String, SettingsError>,
    pub(super) changed: Result<(), SettingsError>,
    /// Why nobody is trusted, after the change.
    error: Option<SettingsError>,
}

impl<'i, const W: usize, const E: usize> Board<'i, W, E> {
    pub(super) fn new(level: Level, identity: &'i Identity, history: &[Change]) -> Self {
        let mut flash = Nor::new(2, level);
        block_on(flash.erase(0, 2 * E as u32)).unwrap();
        flash.completes_zeros = true;
        let mut board = Self { flash, identity };
        for change in history {
            assert!(board.boot(Reads::PerRead, None, *change, None).changed.is_ok());
        }
        board
    }

    /// Boots and makes a change. `cuts` are the operations of the mount and of the change at which power fails.
    pub(super) fn boot(&mut self, reads: Reads, mount: Option<Cut>, change: Change, cut: Option<Cut>) -> Booted {
        self.flash.revive();
        self.flash.reads = reads;
        self.flash.cut = mount.map(|(at, tear)| (self.flash.operations + at, tear));
        // The identity is read anew in each boot.
        let senders = TrustedSenders::try_from([sender('a')].as_slice()).unwrap();
        let identity = Identity { senders, ..copy(self.identity) };
        let flash = Mutex::<NoopRawMutex, _>::new(&mut self.flash);
        let settings = Settings::new(&flash, [0, E as u32]);
        block_on(async {
            let mounted = settings.mount(Some(&identity), None).await;
            let mounted = match mounted {
                Ok(()) => Ok(all_of(&shown(&identity), settings.policy(), settings.network().await)),
                Err(error) => Err(error),
            };
            if cut.is_some() {
                let mut flash = flash.lock().await;
                flash.cut = cut.map(|(at, tear)| (flash.operations + at, tear));
            }
            let changed = match change {
                Change::None => mounted.as_ref().map(drop).map_err(|error| *error),
                Change::Trust(name) => settings.trust(&identity.senders, sender(name)).await,
                Change::Untrust(name) => settings.untrust(&identity.senders, &sender(name).hash).await,
                Change::Policy(policy) => settings.set_policy(&identity.senders, policy).await,
                Change::Network(name) => settings.set_network(&identity.senders, name.map(network)).await,
            };
            Booted { mounted, changed, error: settings.error() }
        })
    }

    /// The number of operations of the change, or of a mount.
    fn operations(&self, reads: Reads, change: Change) -> u64 {
        let mut board = self.clone();
        let before = board.flash.operations;
        board.boot(reads, None, Change::None, None);
        let mounted = board.flash.operations - before;
        if change == Change::None {
            return mounted;
        }
        let mut board = self.clone();
        board.boot(reads, None, change, None);
        board.flash.operations - before - mounted
    }

    /// Whether the flash contains a sender, or the passphrase of a network.
    fn holds(&self, name: char) -> bool {
        let (hash, passphrase) = (sender(name).hash.0, passphrase(name));
        let sought = if name.is_uppercase() { passphrase.as_bytes() } else { &hash };
        self.flash.bytes.windows(sought.len()).any(|window| window == sought)
    }
}

/// The same identity. Only its list of senders differs from boot to boot.
pub(super) fn copy(identity: &Identity) -> Identity {
    Identity {
        name: identity.name.clone(),
        tls: identity.tls.clone(),
        hpke: HpkeSecret::from_bytes(&[2; 32]).unwrap(),
        seed: identity.seed.clone(),
        policy: identity.policy,
        certificate: identity.certificate.clone(),
        senders: TrustedSenders::new(),
        network: waft_receiver::identity::Network {
            hostname: identity.network.hostname.clone(),
            address: identity.network.address,
            wifi: None,
        },
    }
}

/// The names of the trusted senders, in order.
pub(crate) fn shown(identity: &Identity) -> String {
    (0..).map_while(|index| identity.senders.get(index)).map(|sender| sender.name.as_str().to_owned()).collect()
}

/// The names of the trusted senders, before what stands for the policy, and before the name of the network.
fn all_of(senders: &str, policy: Option<Policy>, network: Option<Wifi>) -> String {
    let network = network.map(|wifi| {
        let name = wifi.ssid.chars().next().unwrap();
        assert_eq!(wifi.passphrase, passphrase(name).as_bytes());
        name
    });
    joined(senders, policy.map_or("", mark), network)
}

fn mark(policy: Policy) -> &'static str {
    if policy == OPEN { "!" } else { "?" }
}

fn joined(senders: &str, policy: &str, network: Option<char>) -> String {
    format!("{senders}{policy}{}", network.map(String::from).unwrap_or_default())
}

/// The name of the network, if one was set.
fn network_of(settings: &str) -> Option<char> {
    settings.chars().last().filter(|last| last.is_uppercase())
}

fn applied(before: &str, change: Change) -> String {
    let network = network_of(before);
    let rest = before.trim_end_matches(char::is_uppercase);
    let senders = rest.trim_end_matches(['!', '?']);
    let policy = &rest[senders.len()..];
    match change {
        Change::None => before.to_owned(),
        Change::Trust(name) => joined(&format!("{senders}{name}"), policy, network),
        Change::Untrust(name) => joined(&senders.replace(name, ""), policy, network),
        Change::Policy(policy) => joined(senders, mark(policy), network),
        Change::Network(network) => joined(senders, policy, network),
    }
}

/// A change that is cut, and what may be shown afterwards.
struct Trial {
    before: String,
    after: String,
    removed: Option<char>,
    /// Whether a boot has shown the list after the change.
    is_after: bool,
    /// Whether a boot has shown a list.
    is_known: bool,
}

impl Trial {
    fn new(history: &[Change], change: Change) -> Self {
        let before = history.iter().fold("a".to_owned(), |list, change| applied(&list, *change));
        let after = applied(&before, change);
        let removed = match change {
            Change::Untrust(name) => Some(name),
            Change::Network(_) => network_of(&before),
            Change::None | Change::Trust(_) | Change::Policy(_) => None,
        };
        Self { before, after, removed, is_after: false, is_known: false }
    }

    /// Checks what a boot shows.
    fn check<const W: usize, const E: usize>(&mut self, board: &Board<'_, W, E>, booted: &Booted) -> Result<(), Harm> {
        let Ok(list) = &booted.mounted else {
            return if board.flash.is_off { Ok(()) } else { Err(Harm::Lost) };
        };
        if board.flash.is_off {
            return Ok(());
        }
        let is_after = *list == self.after;
        if !is_after && *list != self.before || self.is_known && self.is_after != is_after && self.before != self.after
        {
            return Err(Harm::Wrong);
        }
        (self.is_known, self.is_after) = (true, is_after);
        match self.removed {
            Some(name) if is_after && board.holds(name) => Err(Harm::Mixed),
            _ => Ok(()),
        }
    }

    /// The list can still be changed afterwards.
    fn works<const W: usize, const E: usize>(&self, board: &mut Board<'_, W, E>, reads: Reads) -> Result<(), Harm> {
        let list = if self.is_after { &self.after } else { &self.before };
        let changed = board.boot(reads, None, Change::Trust('z'), None);
        if changed.mounted.as_ref() != Ok(list) || changed.changed.is_err() {
            return Err(Harm::Lost);
        }
        let booted = board.boot(reads, None, Change::None, None);
        if booted.mounted == Ok(applied(list, Change::Trust('z'))) { Ok(()) } else { Err(Harm::Wrong) }
    }
}

pub(crate) fn cuts(operations: u64) -> impl Iterator<Item = Cut> {
    (0..operations).flat_map(|at| TEARS.map(|tear| (at, tear)))
}

/// Boots, makes the change, and cuts it.
fn cut_change<const W: usize, const E: usize>(board: &mut Board<'_, W, E>, change: Change, cut: Cut) {
    let booted = match change {
        Change::None => board.boot(Reads::PerRead, Some(cut), change, None),
        _ => board.boot(Reads::PerRead, None, change, Some(cut)),
    };
    assert!(!board.flash.is_off || booted.changed.is_err(), "{change:?} reports success after {cut:?}");
}

/// Calls `trial` for each history, and each cut of its change. The flash is in the state after the cut.
fn each_cut<const W: usize, const E: usize>(
    histories: &[History],
    damage: Damage,
    mut trial: impl FnMut(&Board<'_, W, E>, Trial, &dyn std::fmt::Debug),
) {
    let identity = identity();
    for (history, change) in histories.iter().copied() {
        let before = Board::<W, E>::new(damage.level(), &identity, history);
        for cut in cuts(before.operations(Reads::PerRead, change)) {
            let mut board = before.clone();
            cut_change(&mut board, change, cut);
            trial(&board, Trial::new(history, change), &(history, change, cut));
        }
    }
}

/// One cut, at every operation of each change.
pub(crate) fn one_cut<const W: usize, const E: usize>(histories: &[History], damage: Damage) -> Tally {
    let mut tally = Tally::default();
    each_cut::<W, E>(histories, damage, |left, trial, name| {
        for reads in damage.reads() {
            let (mut board, mut trial) =
                (left.clone(), Trial { before: trial.before.clone(), after: trial.after.clone(), ..trial });
            let mut outcome = Ok(());
            for reads in reads {
                let booted = board.boot(*reads, None, Change::None, None);
                outcome = outcome.and_then(|()| trial.check(&board, &booted));
            }
            tally.count(outcome.and_then(|()| trial.works(&mut board, reads[0])), &(name, reads));
        }
    });
    tally
}

/// One cut at every operation of each change, and another one at every operation of the following boot. Runs one in
/// `stride` of all trials.
pub(crate) fn two_cuts<const W: usize, const E: usize>(histories: &[History], damage: Damage, stride: usize) -> Tally {
    let (mut tally, mut turn) = (Tally::default(), 0_usize);
    each_cut::<W, E>(histories, damage, |left, trial, name| {
        for reads in damage.reads() {
            for second in cuts(left.operations(reads[0], Change::None)) {
                turn += 1;
                if !turn.is_multiple_of(stride) {
                    continue;
                }
                let (mut board, mut trial) =
                    (left.clone(), Trial { before: trial.before.clone(), after: trial.after.clone(), ..trial });
                let booted = board.boot(reads[0], Some(second), Change::None, None);
                let is_met = board.flash.is_off;
                let mut outcome = trial.check(&board, &booted);
                for reads in &reads[1..] {
                    let booted = board.boot(*reads, None, Change::None, None);
                    outcome = outcome.and_then(|()| trial.check(&board, &booted));
                }
                let outcome = outcome.and_then(|()| trial.works(&mut board, reads[1]));
                tally.count_if_met((is_met, outcome), &(name, second, reads));
            }
        }
    });
    tally
}

/// One cut in each change, and then 1 to `most` boots that are cut at random.
pub(crate) fn random_cuts<const W: usize, const E: usize>(
    histories: &[History],
    damage: Damage,
    rounds: u64,
    most: u64,
) -> Tally {
    let (mut tally, mut random, identity) = (Tally::default(), Random(most), identity());
    for _ in 0..rounds {
        let (history, change) = random.one_of(histories);
        let mut board = Board::<W, E>::new(damage.level(), &identity, history);
        board.flash.chance = Random(random.next());
        let mut trial = Trial::new(history, change);
        cut_change(&mut board, change, (random.below(REACH), random.one_of(&TEARS)));
        if !board.flash.is_off {
            continue;
        }
        let mut outcome = Ok(());
        for _ in 0..random.below(most) {
            let cut = (random.below(4), random.one_of(&TEARS));
            let booted = board.boot(random.one_of(damage.choice()), Some(cut), Change::None, None);
            outcome = outcome.and_then(|()| trial.check(&board, &booted));
        }
        for _ in 0..3 {
            let booted = board.boot(random.one_of(damage.choice()), None, Change::None, None);
            outcome = outcome.and_then(|()| trial.check(&board, &booted));
        }
        tally.count(outcome.and_then(|()| trial.works(&mut board, Reads::PerRead)), &(history, change));
    }
    tally
}

/// Operations of the flash that fail during a change, without a power cut. A change that reports success took place, and
/// later boots show the list before the change or the one after it.
pub(crate) fn failing_flash<const W: usize, const E: usize>(histories: &[History]) {
    let identity = identity();
    for (history, change) in histories.iter().filter(|(_, change)| *change != Change::None) {
        for what in [Operation::Write, Operation::Erase, Operation::Read] {
            for (after, times) in (0..20).flat_map(|after| [1, 3, 9, Failing::ALWAYS].map(|times| (after, times))) {
                let mut board = Board::<W, E>::new(Level::Bits, &identity, history);
                let trial = Trial::new(history, *change);
                // The mount reads and does not write. Failing reads begin with the change at the earliest.
                let after = if what == Operation::Read { 40 + after } else { after };
                board.flash.failing = Some(Failing { what, range: 0..2 * E as u32, after, times });
                let booted = board.boot(Reads::PerRead, None, *change, None);
                board.flash.failing = None;
                let name = (what, after, times);
                if let Err(error) = booted.mounted {
                    assert_eq!((what, error, booted.changed), (Operation::Read, SettingsError::Unreadable, Err(error)));
                    let list = board.boot(Reads::PerRead, None, Change::None, None).mounted;
                    assert_eq!(list.as_ref(), Ok(&trial.before), "{change:?} {name:?}: what could not be read is kept");
                    continue;
                }
                if let (Ok(()), Some(removed)) = (&booted.changed, trial.removed) {
                    assert!(!board.holds(removed), "{history:?} {change:?} {name:?}");
                }
                let list = board.boot(Reads::PerRead, None, Change::None, None).mounted.unwrap();
                assert!(
                    list == trial.after || list == trial.before && booted.changed.is_err(),
                    "{change:?} {name:?}: {list}"
                );
            }
        }
    }
}

#[test]
fn a_lost_list_trusts_nobody_until_a_user_pairs() {
    let identity = identity();
    for (lost, change, shown) in [
        (0, Change::Trust('c'), "c"),
        (1, Change::Trust('c'), "c"),
        (0, Change::Network(Some('H')), "H"),
        (1, Change::Network(Some('H')), "H"),
    ] {
        let history: &[Change] = if lost == 0 { &[Change::None] } else { &[Change::Trust('b')] };
        let mut board = Board::<4, 4096>::new(Level::Bits, &identity, history);
        board.flash.bytes[lost * 4096 + 100] ^= 1;
        let booted = board.boot(Reads::PerRead, None, Change::None, None);
        assert_eq!((booted.mounted, booted.error), (Err(SettingsError::Lost), Some(SettingsError::Lost)));
        let booted = board.boot(Reads::PerRead, None, change, None);
        assert_eq!((booted.mounted, booted.changed, booted.error), (Err(SettingsError::Lost), Ok(()), None));
        // Higher than that of the lost copy, should it be read again.
        assert!(u32::from_be_bytes(board.flash.bytes[16..20].try_into().unwrap()) > 1 << 20);
        assert_eq!(board.boot(Reads::PerRead, None, Change::None, None).mounted, Ok(shown.to_owned()));
    }
}

#[test]
fn another_identity_begins_with_its_own_senders() {
    let one = identity();
    let mut board = Board::<4, 4096>::new(Level::Bits, &one, &[Change::Trust('b'), Change::Untrust('a')]);
    assert_eq!(board.boot(Reads::PerRead, None, Change::None, None).mounted, Ok("b".to_owned()));
    let mut other = identity();
    other.certificate.push(0).unwrap();
    let mut board = Board { flash: board.flash, identity: &other };
    for _ in 0..2 {
        assert_eq!(board.boot(Reads::PerRead, None, Change::None, None).mounted, Ok("a".to_owned()));
    }
    assert!(!board.holds('b'));
}

#[test]
fn a_full_list_takes_no_further_sender() {
    let identity = identity();
    let history: Vec<_> = "bcdefgh".chars().map(Change::Trust).collect();
    let mut board = Board::<32, 2048>::new(Level::Bits, &identity, &history);
    let booted = board.boot(Reads::PerRead, None, Change::Trust('i'), None);
    assert_eq!(booted.changed, Err(SettingsError::Full));
    // Pairing again replaces the sender, which comes last then.
    assert_eq!(board.boot(Reads::PerRead, None, Change::Trust('c'), None).changed, Ok(()));
    assert_eq!(board.boot(Reads::PerRead, None, Change::None, None).mounted, Ok("abdefghc".to_owned()));
}

#[test]
fn another_identity_begins_without_the_network() {
    let one = identity();
    let board = Board::<4, 4096>::new(Level::Bits, &one, &[Change::Network(Some('H'))]);
    let mut other = identity();
    other.certificate.push(0).unwrap();
    let mut board = Board { flash: board.flash, identity: &other };
    assert_eq!(board.boot(Reads::PerRead, None, Change::None, None).mounted, Ok("a".to_owned()));
    assert!(!board.holds('H'));
}
