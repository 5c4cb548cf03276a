//! Tests of the messages, with bytes that were put together by hand from RFC 1035, 2782, 6762 and 6763.

use std::string::String;
use std::vec::Vec;

use waft_core::certificate::CertificateHash;

use super::*;

/// The first id of PROTOCOL.md, section 14.1.
fn announcement(pairing: Option<&str>) -> Announcement<'_> {
    let id = DeviceId::of(&CertificateHash(core::array::from_fn(|index| index as u8)));
    Announcement { id, address: Ipv4Addr::new(192, 168, 1, 30), pairing }
}

const ALL_TYPES: &[u8] = b"\x09_services\x07_dns-sd\x04_udp\x05local\0";
const SERVICE_NAME: &[u8] = b"\x05_waft\x04_tcp\x05local\0";
const INSTANCE_NAME: &[u8] = b"\x0aCYJCP9HDNK\x05_waft\x04_tcp\x05local\0";
const HOST: &[u8] = b"\x0aCYJCP9HDNK\x05local\0";

/// A record: name, type, class, seconds, data.
fn record(name: &[u8], kind: u8, class: u16, seconds: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend([0, kind]);
    bytes.extend(class.to_be_bytes());
    bytes.extend(seconds.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn expected(seconds: [u32; 2], text: &[u8]) -> Vec<u8> {
    let types = match seconds[0] {
        0 => Vec::new(),
        seconds => record(ALL_TYPES, 12, 1, seconds, SERVICE_NAME),
    };
    let header = [0, 0, 0x84, 0, 0, 0, 0, 4 + u8::from(!types.is_empty()), 0, 0, 0, 0];
    let service = [&[0, 0, 0, 0, 0x30, 0x3a], HOST].concat();
    [
        &header[..],
        &types,
        &record(SERVICE_NAME, 12, 1, seconds[0], INSTANCE_NAME),
        &record(INSTANCE_NAME, 33, 0x8001, seconds[1], &service),
        &record(INSTANCE_NAME, 16, 0x8001, seconds[0], text),
        &record(HOST, 1, 0x8001, seconds[1], &[192, 168, 1, 30]),
    ]
    .concat()
}

/// A message with a header of these flags, questions, and known answers.
fn query(flags: u16, questions: &[(&[u8], u16, u16)], known: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::from([0, 0]);
    let counts = [flags, questions.len() as u16, known.len() as u16, 0, 0];
    bytes.extend(counts.into_iter().flat_map(u16::to_be_bytes));
    for (name, kind, class) in questions {
        bytes.extend(*name);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(class.to_be_bytes());
    }
    bytes.extend(known.concat());
    bytes
}

#[test]
fn the_records_are_those_of_the_protocol() {
    assert_eq!(announcement(None).records(), *expected([4500, 120], b"\x03v=1"));
    assert_eq!(announcement(Some("kitchen")).records(), *expected([4500, 120], b"\x03v=1\x0cpair=kitchen"));
    assert_eq!(announcement(None).goodbye(), *expected([0, 0], b"\x03v=1"));
}

#[test]
fn the_longest_name_fits() {
    let name = String::from_iter(['k'; NAME_MAX]);
    let text = [b"\x03v=1\x25pair=", name.as_bytes()].concat();
    assert_eq!(announcement(Some(&name)).records(), *expected([4500, 120], &text));
}

#[test]
fn a_query_for_a_record_is_answered() {
    let announcement = announcement(None);
    let other = b"\x0aVTB2F8KPRG\x05_waft\x04_tcp\x05local\0";
    let lower = SERVICE_NAME.to_ascii_uppercase();
    for (name, kind, class, is_answered) in [
        (SERVICE_NAME, 12, 1, true),
        (SERVICE_NAME, 12, 0x8001, true),
        (SERVICE_NAME, 255, 255, true),
        (&lower, 12, 1, true),
        (INSTANCE_NAME, 33, 1, true),
        (INSTANCE_NAME, 16, 1, true),
        (INSTANCE_NAME, 255, 1, true),
        (HOST, 1, 1, true),
        (ALL_TYPES, 12, 1, true),
        (ALL_TYPES, 33, 1, false),
        (HOST, 28, 1, false),
        (SERVICE_NAME, 33, 1, false),
        (SERVICE_NAME, 12, 3, false),
        (INSTANCE_NAME, 12, 1, false),
        (other, 33, 1, false),
        (b"\x05_http\x04_tcp\x05local\0", 12, 1, false),
        (b"\0", 255, 255, false),
    ] {
        let query = query(0, &[(name, kind, class)], &[]);
        assert_eq!(announcement.is_asked_by(&query), is_answered, "{name:?} {kind} {class:#x}");
    }
}

#[test]
fn one_question_of_several_is_enough() {
    let http: &[u8] = b"\x05_http\x04_tcp\x05local\0";
    // The second name ends with a pointer to the end of the first one.
    let pointing: &[u8] = b"\x05_waft\xc0\x12";
    let asked = query(0, &[(http, 12, 1), (pointing, 12, 1)], &[]);
    assert!(announcement(None).is_asked_by(&asked));
}

#[test]
fn messages_that_are_not_queries_are_ignored() {
    let question: (&[u8], u16, u16) = (SERVICE_NAME, 12, 1);
    for flags in [0x8400, 0x8000, 0x2800] {
        assert!(!is_query(&query(flags, &[question], &[])), "{flags:#x}");
    }
    assert!(is_query(&query(0, &[question], &[])) && !is_query(&announcement(None).records()) && !is_query(&[0; 11]));
}

#[test]
fn an_answer_that_is_known_is_not_repeated() {
    let announcement = announcement(None);
    let question: (&[u8], u16, u16) = (SERVICE_NAME, 12, 1);
    let other = record(SERVICE_NAME, 12, 1, 4500, b"\x0aVTB2F8KPRG\x05_waft\x04_tcp\x05local\0");
    let known = |seconds| record(SERVICE_NAME, 12, 1, seconds, INSTANCE_NAME);
    let asked = |known: &[Vec<u8>]| announcement.is_asked_by(&query(0, &[question], known));
    assert!(asked(std::slice::from_ref(&other)));
    assert!(!asked(&[other.clone(), known(2250)]));
    assert!(asked(&[other, known(2249)]));
    // A querier that asks for the records of the instance does not have them.
    assert!(announcement.is_asked_by(&query(0, &[question, (INSTANCE_NAME, 33, 1)], &[known(4500)])));
}

/// Reading names can take long, since each may consist of many pointers.
#[test]
fn a_message_with_many_names_is_not_read_to_its_end() {
    let announcement = announcement(None);
    let most = |count| std::vec![(SERVICE_NAME, 12, 1); count];
    assert!(announcement.is_asked_by(&query(0, &most(32), &[])));
    assert!(!announcement.is_asked_by(&query(0, &most(33), &[])));
    // An answer that is known counts among the first ones only.
    let other = record(HOST, 1, 1, 4500, &[0; 4]);
    let known =
        |before| [std::vec![other.clone(); before], std::vec![record(SERVICE_NAME, 12, 1, 4500, INSTANCE_NAME)]];
    assert!(!announcement.is_asked_by(&query(0, &most(1), &known(7).concat())));
    assert!(announcement.is_asked_by(&query(0, &most(1), &known(8).concat())));
}

#[test]
fn malformed_messages_are_ignored() {
    let announcement = announcement(None);
    let known = record(SERVICE_NAME, 12, 1, 4500, INSTANCE_NAME);
    let whole = query(0, &[(HOST, 28, 1), (SERVICE_NAME, 12, 1)], &[known]);
    let asked_at = 12 + HOST.len() + 4 + SERVICE_NAME.len() + 4;
    for end in 0..asked_at {
        assert!(!announcement.is_asked_by(&whole[..end]), "{end}");
    }
    let loops: [&[u8]; 3] = [b"\xc0\x0c", b"\x05_waft\xc0\x0c", b"\xff\xff"];
    for name in loops {
        assert!(!announcement.is_asked_by(&query(0, &[(name, 12, 1)], &[])), "{name:?}");
    }
    // Nothing in these depends on their content, only that they end.
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut changed = whole.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % changed.len();
            changed[at] = (state >> 56) as u8;
        }
        announcement.is_asked_by(&changed);
    }
}
