//! A fuzz input read as a script: what happens to a state machine, step after step. Every input is a
//! script, and small changes to an input are small changes to what happens. What is no script in this
//! sense is taken apart by the same [`Script`], from its front.
//!
//! ```text
//! step    (kind mod 4)  what follows         what happens
//! bytes   0             length (2), bytes    so many bytes arrive, or as many as are left
//! wait    1             time (2)             so many hundredths of a second pass
//! jump    2                                  time passes up to the next deadline
//! act     3             which (1)            the owner of the state machine does something
//! ```

use std::time::Duration;

/// Most bytes of one step.
const BYTES_MAX: usize = u16::MAX as usize;

/// What is left of an input. Numbers that are missing read as zero.
pub struct Script<'a>(&'a [u8]);

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The peer's bytes arrive.
    Bytes(&'a [u8]),
    /// Time passes.
    Wait(Duration),
    /// Time passes up to the next deadline.
    Jump,
    /// The owner of the state machine acts; what the number means is each check's business.
    Act(u8),
}

impl<'a> Script<'a> {
    /// All of `input` is left.
    pub fn new(input: &'a [u8]) -> Script<'a> {
        Script(input)
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// The next number of two bytes, big-endian.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// The next so many bytes, or as many as are left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(self.0.len())
    }
}

impl<'a> Iterator for Script<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if self.is_over() {
            return None;
        }
        Some(match self.byte() % 4 {
            0 => {
                let count = self.number();
                Step::Bytes(self.bytes(count.into()))
            }
            1 => Step::Wait(Duration::from_millis(10) * u32::from(self.number())),
            2 => Step::Jump,
            _ => Step::Act(self.byte()),
        })
    }
}

impl Step<'_> {
    /// The step as a script holds it; very many bytes are several steps.
    ///
    /// # Panics
    /// If the time to wait is too long for one step.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Step::Bytes(bytes) => bytes.chunks(BYTES_MAX).flat_map(encode_bytes).collect(),
            Step::Wait(time) => [&[1], &number(time.as_millis() / 10)[..]].concat(),
            Step::Jump => vec![2],
            Step::Act(which) => vec![3, which],
        }
    }
}

fn encode_bytes(bytes: &[u8]) -> Vec<u8> {
    [&[0], &number(bytes.len() as u128)[..], bytes].concat()
}

fn number(number: u128) -> [u8; 2] {
    u16::try_from(number).expect("fits two bytes").to_be_bytes()
}
