//! Frames: a length in two bytes, big-endian, then that many bytes of body. Found in a caller's
//! buffer, and written; what the body says is not known here.

use bytes::Bytes;

use super::ProtocolError;

const LENGTH_BYTES: usize = 2;

/// The first frame in `bytes`: its body, and how many bytes the frame takes with its length. `None`
/// while it is incomplete. Never allocates.
pub fn split_frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = LENGTH_BYTES + announced_body_bytes(bytes)?;
    bytes.get(LENGTH_BYTES..end).map(|body| (body, end))
}

/// The length of the body that the frame at the front of `bytes` announces, once that can be read.
pub fn announced_body_bytes(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk::<LENGTH_BYTES>().map(|length| usize::from(u16::from_be_bytes(*length)))
}

/// A frame in the making.
pub(super) struct FrameWriter(Vec<u8>);

impl FrameWriter {
    /// An empty frame with room for a body of `body_bytes`.
    pub fn with_capacity(body_bytes: usize) -> FrameWriter {
        let mut bytes = Vec::with_capacity(LENGTH_BYTES + body_bytes);
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        FrameWriter(bytes)
    }

    /// Adds JSON as it is.
    pub fn json(&mut self, json: impl AsRef<[u8]>) {
        self.0.extend_from_slice(json.as_ref());
    }

    /// Adds the JSON `before` as it is, then a JSON string that stands for `text`, escaping no more
    /// than JSON demands: quote, backslash and control characters.
    pub fn string(&mut self, before: &str, text: &str) {
        self.json(before);
        serde_json::to_writer(&mut self.0, text).expect("a vector takes every string");
    }

    /// How long the body is so far.
    pub fn body_bytes(&self) -> usize {
        self.0.len() - LENGTH_BYTES
    }

    /// Forgets what was added after the body had `body_bytes`.
    pub fn truncate(&mut self, body_bytes: usize) {
        self.0.truncate(LENGTH_BYTES + body_bytes);
    }

    /// The frame, its length filled in.
    pub fn finish(mut self) -> Result<Bytes, ProtocolError> {
        let length = u16::try_from(self.body_bytes()).map_err(|_| ProtocolError::FrameTooLong)?;
        self.0[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_when_its_last_byte_is_there() {
        let bytes = b"\x00\x03abcrest";
        for cut in 0..5 {
            assert_eq!(split_frame(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(split_frame(&bytes[..5]), Some((&b"abc"[..], 5)));
        assert_eq!(split_frame(bytes), Some((&b"abc"[..], 5)));
        assert_eq!(split_frame(b"\x00\x00"), Some((&b""[..], 2)));
    }

    #[test]
    fn a_body_of_65_535_bytes_is_the_longest() {
        let write = |len| {
            let mut frame = FrameWriter::with_capacity(len);
            frame.json(vec![b'x'; len]);
            frame.finish()
        };
        let longest = write(65_535).expect("fits");
        assert_eq!(split_frame(&longest).map(|(body, _)| body.len()), Some(65_535));
        assert_eq!(write(65_536), Err(ProtocolError::FrameTooLong));
    }

    #[test]
    fn strings_are_escaped_no_more_than_json_demands() {
        let mut frame = FrameWriter::with_capacity(0);
        frame.string("", "a\"\\/\n\x01<&>é\u{2028}");
        let frame = frame.finish().expect("short");
        assert_eq!(std::str::from_utf8(&frame[2..]), Ok("\"a\\\"\\\\/\\n\\u0001<&>é\u{2028}\""));
    }
}
