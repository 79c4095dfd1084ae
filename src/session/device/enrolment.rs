//! The device's side of an enrolment on wire 1: one question, one answer, and it takes its leave.
//!
//! ```text
//!  new (version, ENROL) ──▶ AwaitEnrolled ──ENROLLED──▶ Enrolled ── leave (BYE) ──▶ ended
//!
//!  any ── GOAWAY, silence for too long, or what was not due ──▶ ended
//! ```

use std::mem;
use std::time::Duration;

use super::{Event, Rim};
use crate::base::{CodeSecret, Monotonic};
use crate::protocol::wire1::{
    self, DeviceFrame, ProtocolError, Reason, SERVER_BODY_BYTES_MAX, ServerFrame, split_frame,
};
use crate::session::EndReason;

#[derive(Debug)]
pub(super) struct Enrolment {
    /// When the server has been silent for too long.
    deadline: Monotonic,
    is_enrolled: bool,
    /// The front of a frame whose rest has not come.
    partial: Vec<u8>,
}

impl Enrolment {
    pub fn new(code: CodeSecret, exchange_timeout: Duration, rim: &mut Rim, now: Monotonic) -> Enrolment {
        let mut opening = vec![wire1::VERSION];
        put(&DeviceFrame::Enrol(code), &mut opening);
        rim.send(opening.into());
        Enrolment { deadline: now + exchange_timeout, is_enrolled: false, partial: Vec::new() }
    }

    pub fn handle_bytes(&mut self, bytes: &[u8], rim: &mut Rim) -> Result<(), EndReason> {
        let mut gathered = mem::take(&mut self.partial);
        gathered.extend_from_slice(bytes);
        let mut left = &gathered[..];
        while let Some((raw, used)) = split_frame(left, SERVER_BODY_BYTES_MAX)? {
            if let Some(frame) = ServerFrame::decode(raw)? {
                self.handle_frame(frame, rim)?;
            }
            left = &left[used..];
        }
        self.partial = left.to_vec();
        Ok(())
    }

    fn handle_frame(&mut self, frame: ServerFrame, rim: &mut Rim) -> Result<(), EndReason> {
        match frame {
            ServerFrame::Enrolled(enrolled) if !self.is_enrolled => {
                self.is_enrolled = true;
                rim.tell(Event::Enrolled(enrolled));
                Ok(())
            }
            ServerFrame::Goaway(goaway) => {
                rim.tell(Event::Goaway(goaway));
                Err(EndReason::SentAway(goaway.reason))
            }
            other => Err(ProtocolError::Unexpected(other.name()).into()),
        }
    }

    /// The session is over: the server is told if it can hear that.
    pub fn end(&mut self, reason: &EndReason, rim: &mut Rim) {
        let reason = match reason {
            EndReason::Shutdown => Reason::Closing,
            EndReason::Frame(error) => error.reason(),
            _ => return,
        };
        let mut bye = Vec::new();
        put(&DeviceFrame::Bye(reason), &mut bye);
        rim.send(bye.into());
    }

    pub fn next_deadline(&self) -> Monotonic {
        self.deadline
    }
}

fn put(frame: &DeviceFrame, out: &mut Vec<u8>) {
    frame.encode(out).expect("only a CONNECT can break a limit");
}
