//! Frames of wire 1, of either side: however the bytes arrive they are the same frames and the same
//! error, and what is not whole yet is bounded; what is written is read as what was meant and is no longer
//! than what was read; and broadcasts that are packed into several frames come out whole and in order.
//!
//! An input is one byte, which is one less than the length of each piece that arrives, and the bytes.

use std::fmt::Debug;

use lomiri_push::base::{ChannelId, Level};
use lomiri_push::protocol::broadcast::Missing;
use lomiri_push::protocol::wire1::{
    self, Broadcast, DEVICE_BODY_BYTES_MAX, DeviceFrame, ProtocolError, RawFrame, SERVER_BODY_BYTES_MAX,
    ServerFrame,
};

use super::catch_up::{self, IMAGE};
use super::script::Script;

/// Most bytes of a frame before its body: the type, and a length that a limit allows.
const FRAME_HEAD_BYTES_MAX: usize = 1 + 4;

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let mut script = Script::new(input);
    let piece_bytes = usize::from(script.byte()) + 1;
    let stream = script.rest();
    check_frames::<DeviceFrame>(stream, piece_bytes);
    for frame in check_frames::<ServerFrame>(stream, piece_bytes) {
        if let ServerFrame::Broadcast(broadcast) = frame {
            check_packed_broadcasts(&broadcast);
        }
    }
}

/// What one side sends.
trait Frame: Debug + PartialEq + Sized {
    const BODY_BYTES_MAX: usize;
    fn decode(raw: RawFrame<'_>) -> Result<Option<Self>, ProtocolError>;
    fn encode(&self, out: &mut Vec<u8>);
}

impl Frame for DeviceFrame {
    const BODY_BYTES_MAX: usize = DEVICE_BODY_BYTES_MAX;

    fn decode(raw: RawFrame<'_>) -> Result<Option<DeviceFrame>, ProtocolError> {
        DeviceFrame::decode(raw)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.encode(out).expect("what was read keeps to the limits");
    }
}

impl Frame for ServerFrame {
    const BODY_BYTES_MAX: usize = SERVER_BODY_BYTES_MAX;

    fn decode(raw: RawFrame<'_>) -> Result<Option<ServerFrame>, ProtocolError> {
        ServerFrame::decode(raw)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

/// What is read of a stream: its frames, each with its length, up to what is no frame, or not whole.
#[derive(Debug, PartialEq)]
struct Heard<F> {
    frames: Vec<(F, usize)>,
    error: Option<ProtocolError>,
}

fn check_frames<F: Frame>(stream: &[u8], piece_bytes: usize) -> Vec<F> {
    let heard = Heard::<F>::at_once(stream);
    assert_eq!(heard, Heard::in_pieces(stream, piece_bytes), "in pieces of {piece_bytes}");
    let check = |(frame, bytes)| {
        check_written(&frame, bytes);
        frame
    };
    heard.frames.into_iter().map(check).collect()
}

impl<F: Frame> Heard<F> {
    fn at_once(stream: &[u8]) -> Heard<F> {
        Heard::in_pieces(stream, stream.len().max(1))
    }

    fn in_pieces(stream: &[u8], piece_bytes: usize) -> Heard<F> {
        let mut heard = Heard { frames: Vec::new(), error: None };
        let mut gathered = Vec::new();
        for piece in stream.chunks(piece_bytes) {
            gathered.extend_from_slice(piece);
            match heard.take(&gathered) {
                Ok(used) => drop(gathered.drain(..used)),
                Err(error) => return Heard { error: Some(error), ..heard },
            }
            assert!(gathered.len() < FRAME_HEAD_BYTES_MAX + F::BODY_BYTES_MAX, "a frame without end");
        }
        heard
    }

    /// Takes the frames at the front of `gathered`, and says how many bytes they have.
    fn take(&mut self, gathered: &[u8]) -> Result<usize, ProtocolError> {
        let mut used = 0;
        while let Some((raw, bytes)) = wire1::split_frame(&gathered[used..], F::BODY_BYTES_MAX)? {
            self.frames.extend(F::decode(raw)?.map(|frame| (frame, bytes)));
            used += bytes;
        }
        Ok(used)
    }
}

fn check_written<F: Frame>(frame: &F, read_bytes: usize) {
    let mut written = Vec::new();
    frame.encode(&mut written);
    assert!(written.len() <= read_bytes, "{frame:?} has {} bytes, not {read_bytes}", written.len());
    let (raw, used) = whole(wire1::split_frame(&written, F::BODY_BYTES_MAX));
    assert_eq!(used, written.len());
    assert_eq!(F::decode(raw).as_ref().map(Option::as_ref), Ok(Some(frame)));
}

fn whole<T>(split: Result<Option<T>, ProtocolError>) -> T {
    split.expect("well-formed").expect("whole")
}

fn check_packed_broadcasts(broadcast: &Broadcast) {
    let live = &broadcast.payloads;
    catch_up::check(live, broadcast.level, |missing: Missing, top: Level| {
        let (frame, reached) = wire1::encode_broadcast(missing, top, live, IMAGE)?;
        let read = read_broadcast(&frame);
        assert_eq!(read.reached, reached);
        Some(read)
    });
}

fn read_broadcast(frame: &[u8]) -> catch_up::Part {
    let (raw, used) = whole(wire1::split_frame(frame, SERVER_BODY_BYTES_MAX));
    assert_eq!(used, frame.len());
    match ServerFrame::decode(raw) {
        Ok(Some(ServerFrame::Broadcast(part))) if part.channel == ChannelId::SYSTEM => {
            catch_up::Part { payloads: part.payloads, reached: part.level }
        }
        other => panic!("packed as a broadcast, read as {other:?}"),
    }
}
