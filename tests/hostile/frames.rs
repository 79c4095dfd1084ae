//! Inside TLS, at the device port: frames that are too long, never whole, or far too many, and peers that
//! write or read slowly.

use super::phone::{Phone, opening, opening_on_wire1};
use super::victim::{MIB, Victim};

/// A connection with its session and a part of a frame.
const CONNECTION_BYTES: u64 = 12 * 1024;
/// What a server keeps at most for who does not read: `UNSENT_BYTES_MAX` and a frame in the making.
const UNREAD_BYTES: u64 = 512 * 1024;
/// What the allocator and the loop's buffers may add to any of these.
const SLACK: u64 = 3 * MIB;

#[test]
fn frames_that_are_too_long_end_the_session_unread() {
    let victim = Victim::start();
    let after = |opening: Vec<u8>, frame: &[u8]| [&opening[..], frame].concat();
    let openings: [Vec<u8>; 6] = [
        vec![0, 0xff, 0xff],
        after(opening("carol"), &[0xff, 0xff]),
        vec![1, 0x80, 0xff, 0xff, 0xff, 0xff, 0x7f],
        after(opening_on_wire1("carol"), &[0x80, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        vec![7],
        vec![0xff; 9],
    ];
    for opening in &openings {
        for _ in 0..20 {
            let mut eve = Phone::connect(victim.devices, &victim.trust);
            eve.write(opening);
            while eve.try_write(&[b'{'; 16 * 1024]) {}
        }
    }
    victim.assert_grown_by_at_most(SLACK);
    victim.assert_serves();
}

#[test]
fn frames_that_never_end_cost_what_a_frame_costs() {
    let victim = Victim::start();
    let count = 500;
    let hold = |number: usize| {
        let mut eve = Phone::connect(victim.devices, &victim.trust);
        match number % 2 {
            0 => eve.write(&[&[0, 0x0f, 0xff][..], &[b' '; 4_000]].concat()),
            _ => eve.write(&opening_on_wire1("carol")[..9]),
        }
        eve
    };
    let held: Vec<Phone> = (0..count).map(hold).collect();
    victim.assert_serves();
    victim.assert_grown_by_at_most(count as u64 * CONNECTION_BYTES + SLACK);
    drop(held);
}

#[test]
fn a_connect_a_byte_at_a_time_costs_no_more_than_one_at_once() {
    let victim = Victim::start();
    let mut slow: Vec<Phone> = (0..100).map(|_| Phone::connect(victim.devices, &victim.trust)).collect();
    let opening = opening("slow");
    for byte in &opening[..opening.len() - 1] {
        slow.iter_mut().for_each(|eve| eve.write(&[*byte]));
    }
    victim.assert_serves();
    victim.assert_grown_by_at_most(100 * CONNECTION_BYTES + SLACK);
    slow[0].write(&opening[opening.len() - 1..]);
    slow[0].await_text("connack");
}

#[test]
fn who_does_not_read_fills_a_bounded_buffer() {
    let victim = Victim::start();
    let payload = format!("\"{}\"", "x".repeat(4_000));
    let devices: Vec<String> = (0..8).map(|number| format!("device-{number}")).collect();
    let mut deaf: Vec<Phone> = Vec::new();
    for device in &devices {
        let mut eve = Phone::connect(victim.devices, &victim.trust);
        eve.write(&opening_on_wire1(device));
        deaf.push(eve);
        (0..60).for_each(|_| victim.notify(device, &payload));
    }
    victim.assert_serves();
    victim.assert_grown_by_at_most(devices.len() as u64 * UNREAD_BYTES + SLACK);
}

/// One PONG answers all PINGs that came together, so that the flood is read to its end and grows nothing.
#[test]
fn a_flood_of_pings_without_a_look_at_the_answers_is_bounded() {
    let victim = Victim::start();
    let mut floods: Vec<Phone> = (0..4).map(|_| Phone::connect(victim.devices, &victim.trust)).collect();
    for (number, eve) in floods.iter_mut().enumerate() {
        eve.write(&opening_on_wire1(&format!("flood-{number}")));
        (0..512).for_each(|_| eve.write(&[0x02; 16 * 1024]));
    }
    victim.assert_serves();
    victim.assert_grown_by_at_most(floods.len() as u64 * UNREAD_BYTES + SLACK);
}
