//! Seeds of what is said after a handshake: each thing that may happen, in the numbers of `tls_records`.

/// What is said comes in whole, or in pieces of so many bytes.
const FEED: &[u8] = &[0, 0xff, 0xff];
const FEED_BY_SEVEN: &[u8] = &[0, 0, 7];
const DATA: &[u8] = b"\x01\x05hello";
const WRITE: &[u8] = &[10, 0, 200];
const WRITE_MUCH: &[u8] = &[10, 0x50, 0];
const CLOSE_NOTIFY: &[u8] = &[5, 1, 0];

/// Each with each suite, for those that all is well with; the others with the first.
pub fn conversations() -> Vec<Vec<u8>> {
    let longest = &[2, 23, 7, 0x40, 0, 0, 0][..];
    let key_update = |how| vec![4, how];
    let orderly = [
        vec![DATA, FEED, WRITE, DATA, DATA, FEED_BY_SEVEN, CLOSE_NOTIFY, FEED, WRITE, &[11]],
        vec![FEED, &[4, 1], DATA, FEED, WRITE_MUCH, &[4, 0], &[4, 7], DATA, FEED_BY_SEVEN, WRITE],
        vec![longest, FEED, &[2, 0, 0, 0, 9, 0, 9], FEED, WRITE, &[11], DATA, FEED],
    ];
    let suited = |suite: u8| orderly.iter().map(move |parts| [&[suite, 0xff], &parts.concat()[..]].concat());
    let mut seeds: Vec<Vec<u8>> = (0..3).flat_map(suited).collect();
    let disorderly: [Vec<&[u8]>; 16] = [
        // Longer than a record may be, by content and by header.
        vec![&[2, 23, 7, 0x40, 1, 0, 0], FEED],
        vec![&[2, 23, 7, 0x10, 0, 0x30, 0], FEED],
        vec![DATA, FEED, &[6, 5, 23, 3, 3, 0x41, 1], FEED],
        // Empty records, warnings, and other patience.
        vec![&[12, 32], DATA, &[12, 39], FEED],
        vec![&[13], &[13], &[13], &[13], &[13], FEED, DATA, FEED],
        vec![&[2, 22, 0, 0, 0, 0, 9], FEED],
        // Damaged, cut, lost, again.
        vec![DATA, &[7, 0, 99, 3], FEED],
        vec![FEED, DATA, &[7, 0, 2, 1], FEED],
        vec![DATA, &[8, 0, 3], FEED, DATA, FEED],
        vec![DATA, &[15], DATA, FEED],
        vec![DATA, &[9], FEED],
        // What has no place.
        vec![&[3, 8, 1, 0, 0, 4, 0, 0, 0, 0], FEED],
        vec![&[3, 2, 24, 0], DATA, FEED],
        vec![&[3, 6, 24, 0, 0, 1, 1, 0], FEED],
        vec![&[14, 20, 1, 1, 0], FEED],
        vec![&[5, 2, 80], FEED, WRITE],
    ];
    seeds.extend(disorderly.iter().map(|parts| [&[0, 20], &parts.concat()[..]].concat()));
    let updates = (0..10).flat_map(key_update).collect::<Vec<_>>();
    seeds.push([&[1, 3], &updates[..], DATA, FEED_BY_SEVEN, WRITE].concat());
    seeds
}
