//! What a hostile or odd peer may seal that no stock one does, and what no handshake shows.

use super::*;

const SUITES: [Suite; 3] = [Suite::Aes128GcmSha256, Suite::Aes256GcmSha384, Suite::ChaCha20Poly1305Sha256];

fn direction(suite: Suite, seed: u8) -> Direction {
    let bytes = if suite == Suite::Aes256GcmSha384 { 48 } else { 32 };
    Direction::new(suite, &vec![seed; bytes], 0).expect("it has its suite's length")
}

fn slim(suite: Suite, peer: Peer) -> Slim {
    let (inward, outward) = (direction(suite, 1), direction(suite, 2));
    Slim { inward, outward, messages: Messages::of(peer), fruitless: 0, is_resumed: false }
}

/// The server of a connection, and the device's directions, by which it can say anything.
struct Case {
    server: Slim,
    device_outward: Direction,
    device_inward: Direction,
    plaintext: Vec<u8>,
    out: Vec<u8>,
}

impl Case {
    fn new(suite: Suite) -> Case {
        Case {
            server: slim(suite, Peer::Device),
            device_outward: direction(suite, 1),
            device_inward: direction(suite, 2),
            plaintext: Vec::new(),
            out: Vec::new(),
        }
    }

    fn sealed(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        self.device_outward.cipher().seal(kind, content, &mut sealed);
        sealed
    }

    fn read(&mut self, mut bytes: Vec<u8>) -> Result<Progress, RecordError> {
        self.server.read(&mut bytes, &mut self.plaintext, &mut self.out)
    }

    fn say(&mut self, kind: u8, content: &[u8]) -> Result<Progress, RecordError> {
        let sealed = self.sealed(kind, content);
        self.read(sealed)
    }

    /// Opens all that the server has sent.
    fn answers(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut out = std::mem::take(&mut self.out);
        let (mut rest, mut answers) = (&mut out[..], Vec::new());
        while !rest.is_empty() {
            let bytes = record_bytes(rest).expect("a record").expect("a whole one");
            let (record, behind) = rest.split_at_mut(bytes);
            let mut cipher = self.device_inward.cipher();
            let (kind, content) = cipher.open(record).expect("sealed by the server");
            answers.push((kind, content.to_vec()));
            if kind == HANDSHAKE {
                cipher.update();
            }
            rest = behind;
        }
        answers
    }

    /// The server refuses this, and says why by this alert.
    fn assert_refused(mut self, bytes: Vec<u8>, error: RecordError, description: u8) {
        assert_eq!(self.read(bytes), Err(error));
        assert_eq!(self.answers(), [(ALERT, vec![FATAL, description])]);
    }
}

fn each(case: impl Fn(Case)) {
    SUITES.into_iter().for_each(|suite| case(Case::new(suite)));
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Slim>() <= 152, "{}", size_of::<Slim>());
}

#[test]
fn padding_is_taken_off_and_nothing_but_padding_refused() {
    each(|mut case| {
        // What stands behind the content is its type; zeros behind that are padding.
        case.say(0, b"hello\x17\0\0\0").expect("padded");
        assert_eq!(case.plaintext, b"hello");
        let only_padding = case.sealed(0, &[0; 20]);
        case.assert_refused(only_padding, RecordError::UnexpectedMessage, 10);
    });
}

#[test]
fn the_longest_record_is_taken_and_a_longer_one_refused() {
    each(|mut case| {
        case.say(APPLICATION_DATA, &[7; PLAINTEXT_BYTES_MAX]).expect("the longest");
        assert_eq!(case.plaintext.len(), PLAINTEXT_BYTES_MAX);
        let padded = [&[7; PLAINTEXT_BYTES_MAX - 1][..], &[APPLICATION_DATA]].concat();
        let longest = case.sealed(0, &padded);
        case.read(longest).expect("padded to the longest");
        let mut too_long = vec![0; PLAINTEXT_BYTES_MAX + 1];
        too_long[0] = APPLICATION_DATA;
        let sealed = case.sealed(0, &too_long);
        case.assert_refused(sealed, RecordError::RecordOverflow, 22);
    });
    each(|case| case.assert_refused(vec![23, 3, 3, 0x41, 1], RecordError::RecordOverflow, 22));
}

#[test]
fn what_is_not_enciphered_has_no_place() {
    for kind in [20, ALERT, HANDSHAKE, 0, 255] {
        each(|case| case.assert_refused(vec![kind, 3, 3, 0, 1, 1], RecordError::UnexpectedMessage, 10));
    }
    each(|case| case.assert_refused(b"\x17HTTP".to_vec(), RecordError::Decode, 50));
}

#[test]
fn a_record_too_short_for_a_tag_is_a_damaged_one() {
    for bytes in [0, 1, 15, 16] {
        let record = [&[23, 3, 3, 0, bytes][..], &vec![0; bytes.into()]].concat();
        each(|case| case.assert_refused(record.clone(), RecordError::BadRecordMac, 20));
    }
}

#[test]
fn a_record_that_comes_again_or_out_of_order_is_a_damaged_one() {
    each(|mut case| {
        let (first, second) = (case.sealed(APPLICATION_DATA, b"1"), case.sealed(APPLICATION_DATA, b"2"));
        case.read(first.clone()).expect("in order");
        case.read(second).expect("in order");
        case.assert_refused(first, RecordError::BadRecordMac, 20);
    });
    each(|mut case| {
        case.sealed(APPLICATION_DATA, b"lost");
        let second = case.sealed(APPLICATION_DATA, b"2");
        case.assert_refused(second, RecordError::BadRecordMac, 20);
    });
}

#[test]
fn partial_records_wait_and_whole_ones_before_them_do_not() {
    for suite in SUITES {
        let mut device = Case::new(suite);
        let sealed =
            [device.sealed(APPLICATION_DATA, b"one"), device.sealed(APPLICATION_DATA, b"two")].concat();
        let whole = sealed.len() / 2;
        for end in 0..sealed.len() {
            let read = Case::new(suite).read(sealed[..end].to_vec()).expect("intact");
            assert_eq!(read.used, if end < whole { 0 } else { whole });
        }
    }
}

#[test]
fn updates_that_come_together_have_one_answer() {
    const ASKING: [u8; 5] = [24, 0, 0, 1, 1];
    each(|mut case| {
        let mut sealed = Vec::new();
        let mut cipher = case.device_outward.cipher();
        for _ in 0..3 {
            cipher.seal(HANDSHAKE, &ASKING, &mut sealed);
            cipher.update();
        }
        cipher.seal(APPLICATION_DATA, b"new", &mut sealed);
        case.read(sealed).expect("in order");
        assert_eq!(case.plaintext, b"new");
        case.server.write(b"newer", &mut case.out);
        let answer = (HANDSHAKE, OWN_KEY_UPDATE.to_vec());
        assert_eq!(case.answers(), [answer, (APPLICATION_DATA, b"newer".to_vec())]);
    });
}

#[test]
fn a_message_in_pieces_bears_no_other_record_between_them() {
    each(|mut case| {
        case.say(HANDSHAKE, &[24, 0]).expect("a piece");
        let between = case.sealed(APPLICATION_DATA, b"x");
        case.assert_refused(between, RecordError::UnexpectedMessage, 10);
    });
}

#[test]
fn records_that_bring_nothing_are_taken_so_often_in_a_row() {
    let nothings = [(APPLICATION_DATA, &[][..]), (ALERT, &[WARNING, USER_CANCELED])];
    for (kind, content) in nothings {
        each(|mut case| {
            for _ in 0..FRUITLESS_MAX {
                case.say(kind, content).expect("a few");
            }
            case.say(APPLICATION_DATA, b"x").expect("something");
            for _ in 0..FRUITLESS_MAX {
                case.say(kind, content).expect("a few");
            }
            let sealed = case.sealed(kind, content);
            case.assert_refused(sealed, RecordError::Fruitless, 10);
        });
    }
}

#[test]
fn alerts_end_the_connection_and_are_not_answered() {
    each(|mut case| {
        assert_eq!(case.say(ALERT, &[FATAL, 80]), Err(RecordError::AlertReceived(80)));
        assert!(case.out.is_empty());
    });
    each(|mut case| {
        let close = case.say(ALERT, &[FATAL, CLOSE_NOTIFY]).expect("whatever its level");
        assert!(close.is_closed);
    });
    each(|mut case| {
        let long = case.sealed(ALERT, &[FATAL, CLOSE_NOTIFY, 0]);
        case.assert_refused(long, RecordError::Decode, 50);
    });
    each(|mut case| {
        let odd = case.sealed(ALERT, &[3, CLOSE_NOTIFY]);
        case.assert_refused(odd, RecordError::IllegalParameter, 47);
    });
}

#[test]
fn other_kinds_of_content_have_no_place() {
    for kind in [20, 24, 255] {
        each(|mut case| {
            let sealed = case.sealed(kind, b"x");
            case.assert_refused(sealed, RecordError::UnexpectedMessage, 10);
        });
    }
}

#[test]
fn a_key_is_changed_before_it_is_worn_out() {
    each(|mut case| {
        case.server.outward.pretend_records(RECORDS_PER_KEY_MAX - 1);
        case.device_inward.pretend_records(RECORDS_PER_KEY_MAX - 1);
        case.server.write(&[7; PLAINTEXT_BYTES_MAX + 1], &mut case.out);
        let kinds: Vec<u8> = case.answers().iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [APPLICATION_DATA, HANDSHAKE, APPLICATION_DATA]);
        assert_eq!(case.server.outward.cipher().records(), 1);
    });
}

/// Whoever uses a number twice gives the plaintext away.
#[test]
fn no_two_records_are_sealed_alike() {
    each(|mut case| {
        let mut sealed = std::collections::BTreeSet::new();
        for round in 0..100 {
            let mut out = Vec::new();
            match round % 3 {
                0 => case.server.write(b"same", &mut out),
                1 => case.server.write(&b"same".repeat(10_000), &mut out),
                _ => drop(case.server.read(&mut [23, 3, 3, 0, 0], &mut Vec::new(), &mut out)),
            }
            assert!(sealed.insert(out));
        }
    });
}

#[test]
fn what_is_logged_of_a_connection_holds_no_secret() {
    let text = format!("{:?}", slim(Suite::Aes128GcmSha256, Peer::Device));
    assert!(text.contains("Aes128GcmSha256") && !text.contains("1, 1, 1"), "{text}");
}
