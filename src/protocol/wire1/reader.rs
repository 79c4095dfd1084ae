//! Takes the fields of a frame's body one after the other, each by its name, and writes them.
//! Variable-length integers are those of RFC 9000 section 16, in their shortest form only.

use super::ProtocolError;

/// The largest number that a variable-length integer can say.
pub(super) const VARINT_MAX: u64 = (1 << 62) - 1;

/// What is left of a body.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(body: &'a [u8]) -> Reader<'a> {
        Reader(body)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ProtocolError::Malformed(field))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ProtocolError> {
        self.bytes(N, field).map(|taken| taken.try_into().expect("as many as were asked for"))
    }

    pub fn byte(&mut self, field: &'static str) -> Result<u8, ProtocolError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub fn varint(&mut self, field: &'static str) -> Result<u64, ProtocolError> {
        let (number, used) = read_varint(self.0, field)?.ok_or(ProtocolError::Malformed(field))?;
        self.0 = &self.0[used..];
        Ok(number)
    }

    /// One byte of length, and so many bytes.
    pub fn short(&mut self, field: &'static str) -> Result<&'a [u8], ProtocolError> {
        let count = self.byte(field)?;
        self.bytes(count.into(), field)
    }

    /// A variable-length length, and so many bytes.
    pub fn long(&mut self, field: &'static str) -> Result<&'a [u8], ProtocolError> {
        let count = self.varint(field)?;
        self.bytes(usize::try_from(count).map_err(|_| ProtocolError::Malformed(field))?, field)
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), ProtocolError> {
        if self.is_empty() { Ok(()) } else { Err(ProtocolError::Malformed("bytes are left over")) }
    }
}

/// The number at the front of `bytes` and how many bytes it takes; `None` while it is incomplete.
pub(super) fn read_varint(bytes: &[u8], field: &'static str) -> Result<Option<(u64, usize)>, ProtocolError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let length = 1 << (first >> 6);
    let Some(encoded) = bytes.get(..length) else { return Ok(None) };
    let number =
        encoded[1..].iter().fold(u64::from(first & 0x3f), |number, &byte| number << 8 | u64::from(byte));
    if varint_bytes(number) == length {
        Ok(Some((number, length)))
    } else {
        Err(ProtocolError::Malformed(field))
    }
}

/// How many bytes a number takes.
pub(super) fn varint_bytes(number: u64) -> usize {
    match number {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Writes a number in its shortest form.
///
/// # Panics
/// If it is beyond [`VARINT_MAX`].
pub(super) fn put_varint(out: &mut Vec<u8>, number: u64) {
    assert!(number <= VARINT_MAX, "a number of at most 62 bits");
    let length = varint_bytes(number);
    let mark = u64::from(length.ilog2()) << (8 * length - 2);
    out.extend_from_slice(&(number | mark).to_be_bytes()[8 - length..]);
}

/// Writes one byte of length and `bytes`, at most 255.
pub(super) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(u8::try_from(bytes.len()).expect("at most 255 bytes, by the field's limit"));
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
        read_varint(bytes, "number")
    }

    #[test]
    fn numbers_come_back_from_their_shortest_form() {
        let cases: [(u64, &[u8]); 9] = [
            (0, &[0]),
            (37, &[0x25]),
            (63, &[0x3f]),
            (64, &[0x40, 0x40]),
            (15_293, &[0x7b, 0xbd]),
            (16_383, &[0x7f, 0xff]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (1 << 30, &[0xc0, 0, 0, 0, 0x40, 0, 0, 0]),
            (VARINT_MAX, &[0xff; 8]),
        ];
        for (number, bytes) in cases {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(out, bytes);
            assert_eq!(read(bytes), Ok(Some((number, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Ok(None), "{number} {cut}");
            }
        }
    }

    #[test]
    fn a_longer_form_than_needed_is_malformed() {
        let cases: [&[u8]; 4] =
            [&[0x40, 0x3f], &[0x80, 0, 0x3f, 0xff], &[0xc0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff], &[0x40, 0]];
        for bytes in cases {
            assert_eq!(read(bytes), Err(ProtocolError::Malformed("number")), "{bytes:?}");
        }
    }
}
