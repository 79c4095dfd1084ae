//! Bytes that nearly never are there. It does not know what they are.

use std::mem;

/// Bytes of something that each of very many connections may have and few have at a time: a pointer's room while
/// there are none, where an empty `Vec` takes three.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "the box is what makes it small")]
pub struct RareBytes(Option<Box<Vec<u8>>>);

impl RareBytes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |bytes| bytes.len())
    }

    /// Takes them out; none are left.
    pub fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.0).map_or_else(Vec::new, |bytes| *bytes)
    }

    /// Puts `bytes` in the place of those that are there.
    pub fn set(&mut self, bytes: Vec<u8>) {
        self.0 = (!bytes.is_empty()).then(|| Box::new(bytes));
    }

    /// Puts `bytes` behind those that are there.
    pub fn extend(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_take_a_pointers_room() {
        assert_eq!(size_of::<RareBytes>(), size_of::<usize>());
        let mut bytes = RareBytes::default();
        bytes.extend(b"");
        assert!(bytes.is_empty() && bytes.0.is_none());
        bytes.extend(b"one");
        bytes.extend(b", two");
        assert_eq!((bytes.len(), bytes.is_empty()), (8, false));
        assert_eq!(bytes.take(), b"one, two");
        assert!(bytes.0.is_none());
        bytes.set(b"three".to_vec());
        assert_eq!(bytes.len(), 5);
        bytes.set(Vec::new());
        assert!(bytes.0.is_none());
    }
}
