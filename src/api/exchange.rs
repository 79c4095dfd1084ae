//! What the head of a request says about its answer: how it is framed, and what comes after it.

use core::net::IpAddr;

use super::head::{BodyLength, Head};

/// The longest unread body that is thrown away to keep the connection, in bytes: ten times what a message
/// may have. Whoever sends more for nothing may as well connect anew.
const SKIPPED_BYTES_MAX: u64 = 64 * 1024;

/// After an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// Another request, after so many bytes of the last.
    Request {
        skipped: u64,
    },
    Close,
}

/// What the head of the request in work says about its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub without_body: bool,
    pub keep_alive: bool,
    /// How much of the request is not read, in bytes; none if that can't be known.
    pub unread: Option<u64>,
    /// Who has shown a credential with it.
    pub asker: Option<IpAddr>,
}

impl Exchange {
    /// Of a request that can't be read.
    pub const LAST: Exchange = Exchange { without_body: false, keep_alive: false, unread: None, asker: None };

    pub fn new(head: &Head<'_>, asker: Option<IpAddr>) -> Exchange {
        let unread = match head.body {
            BodyLength::Absent | BodyLength::Announced(0) => Some(0),
            BodyLength::Announced(_) if head.expects_continue => None, // it may never be sent
            BodyLength::Announced(length) => Some(length),
            BodyLength::Coded => None,
        };
        Exchange { without_body: head.method == "HEAD", keep_alive: head.keep_alive, unread, asker }
    }

    pub fn next(self) -> Next {
        match self.unread {
            Some(skipped) if self.keep_alive && skipped <= SKIPPED_BYTES_MAX => Next::Request { skipped },
            _ => Next::Close,
        }
    }
}
