//! What a peer says of the handshake after the handshake (RFC 8446, section 4.6), over records as it likes.

use super::error::RecordError;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
const HEADER_BYTES: usize = 4;
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

/// A KeyUpdate that asks for none in return.
pub(super) const OWN_KEY_UPDATE: [u8; 5] = [KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED];

/// Which messages may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A server gives tickets. They are passed over: who wants them, takes them before.
    Server,
    Device,
}

/// A peer's new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyUpdate {
    /// It wants a new key of this side's, too.
    pub(super) is_requested: bool,
}

/// Reads the messages of one peer, of which only some have a body that matters.
#[derive(Debug)]
pub(super) struct Messages {
    peer: Peer,
    header: [u8; HEADER_BYTES],
    /// How much of the header has come.
    header_bytes: u8,
    /// How much of a ticket is still to come.
    passing_bytes: u32,
}

impl Messages {
    pub(super) fn of(peer: Peer) -> Messages {
        Messages { peer, header: [0; HEADER_BYTES], header_bytes: 0, passing_bytes: 0 }
    }

    /// Whether no message has come in part.
    pub(super) fn is_between(&self) -> bool {
        self.header_bytes == 0 && self.passing_bytes == 0
    }

    /// Takes the content of a record. A KeyUpdate ends it, for what follows is under another key.
    pub(super) fn take(&mut self, mut content: &[u8]) -> Result<Option<KeyUpdate>, RecordError> {
        if content.is_empty() {
            return Err(RecordError::UnexpectedMessage);
        }
        while !content.is_empty() {
            content = self.pass(content);
            content = self.fill_header(content);
            if usize::from(self.header_bytes) < HEADER_BYTES {
                break;
            }
            let [kind, length @ ..] = self.header;
            let length = u32::from_be_bytes([0, length[0], length[1], length[2]]);
            match (kind, self.peer) {
                (KEY_UPDATE, _) if length != 1 => return Err(RecordError::Decode),
                (KEY_UPDATE, _) if content.is_empty() => break,
                (KEY_UPDATE, _) => return self.key_update(content).map(Some),
                (NEW_SESSION_TICKET, Peer::Server) => self.passing_bytes = length,
                _ => return Err(RecordError::UnexpectedMessage),
            }
            self.header_bytes = 0;
        }
        Ok(None)
    }

    fn pass<'c>(&mut self, content: &'c [u8]) -> &'c [u8] {
        let passed = content.len().min(self.passing_bytes as usize);
        self.passing_bytes -= passed as u32;
        &content[passed..]
    }

    fn fill_header<'c>(&mut self, content: &'c [u8]) -> &'c [u8] {
        let begin = usize::from(self.header_bytes);
        let filled = content.len().min(HEADER_BYTES - begin);
        self.header[begin..begin + filled].copy_from_slice(&content[..filled]);
        self.header_bytes += filled as u8;
        &content[filled..]
    }

    fn key_update(&mut self, body: &[u8]) -> Result<KeyUpdate, RecordError> {
        self.header_bytes = 0;
        match body {
            [UPDATE_NOT_REQUESTED] => Ok(KeyUpdate { is_requested: false }),
            [UPDATE_REQUESTED] => Ok(KeyUpdate { is_requested: true }),
            [_] => Err(RecordError::IllegalParameter),
            _ => Err(RecordError::UnexpectedMessage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKING: [u8; 5] = [KEY_UPDATE, 0, 0, 1, UPDATE_REQUESTED];
    const ASKED: Result<Option<KeyUpdate>, RecordError> = Ok(Some(KeyUpdate { is_requested: true }));

    #[test]
    fn a_key_update_is_read_in_whatever_pieces_it_comes() {
        for cut in 1..ASKING.len() {
            let mut messages = Messages::of(Peer::Device);
            assert_eq!(messages.take(&ASKING[..cut]), Ok(None), "{cut}");
            assert!(!messages.is_between());
            assert_eq!(messages.take(&ASKING[cut..]), ASKED, "{cut}");
            assert!(messages.is_between());
        }
        assert_eq!(
            Messages::of(Peer::Device).take(&OWN_KEY_UPDATE),
            Ok(Some(KeyUpdate { is_requested: false }))
        );
    }

    #[test]
    fn tickets_are_passed_over_where_a_server_gives_them() {
        let ticket = [&[NEW_SESSION_TICKET, 0, 1, 0][..], &[7; 256]].concat();
        let both = [&ticket[..], &ticket, &ASKING].concat();
        for piece in [1, 3, 100, both.len()] {
            let mut messages = Messages::of(Peer::Server);
            let taken: Vec<_> = both.chunks(piece).map(|content| messages.take(content)).collect();
            let (last, before) = taken.split_last().expect("pieces");
            assert!(before.iter().all(|taken| *taken == Ok(None)), "{piece}");
            assert_eq!(*last, ASKED);
        }
        assert_eq!(Messages::of(Peer::Device).take(&ticket), Err(RecordError::UnexpectedMessage));
    }

    #[test]
    fn what_has_no_place_here_is_refused() {
        for (content, error) in [
            (&[][..], RecordError::UnexpectedMessage),
            (&[1, 0, 0, 1, 0], RecordError::UnexpectedMessage),
            (&[KEY_UPDATE, 0, 0, 2, 0, 0], RecordError::Decode),
            (&[KEY_UPDATE, 0, 0, 1, 2], RecordError::IllegalParameter),
            (&[KEY_UPDATE, 0, 0, 1, 1, KEY_UPDATE], RecordError::UnexpectedMessage),
        ] {
            assert_eq!(Messages::of(Peer::Server).take(content), Err(error), "{content:?}");
        }
    }
}
