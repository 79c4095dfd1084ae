//! A server that has shaken hands with the peer, with our record layer or with rustls'.

use lomiri_push::tls::{RecordError, Status, Tls, TlsError};

use super::direction::{ALERT, APPLICATION_DATA, Direction, HANDSHAKE};
use super::handshake::Handshake;
use super::peer::Peer;

const FATAL: u8 = 2;

pub struct Server {
    tls: Tls,
    down: Direction,
    /// Our record layer has refused something, of which the peer is told. rustls does not always tell.
    must_tell: bool,
    written: Vec<u8>,
    /// What has come, and was not compared yet.
    pub plaintext: Vec<u8>,
    out: Vec<u8>,
}

impl Server {
    pub fn new(is_slim: bool, handshake: &Handshake, piece: usize) -> Server {
        let down = Direction::new(handshake.suite, handshake.secrets[1].clone());
        let (tls, written, plaintext) = (handshake.begin(is_slim, piece), Vec::new(), Vec::new());
        Server { tls, down, must_tell: false, written, plaintext, out: Vec::new() }
    }

    /// Whether it could.
    pub fn write(&mut self, bytes: usize) -> bool {
        let plaintext: Vec<u8> = (self.written.len()..).take(bytes).map(|at| at as u8).collect();
        let is_written = self.tls.write(&plaintext, &mut self.out).is_ok();
        if is_written {
            self.written.extend(plaintext);
        }
        is_written
    }

    pub fn close(&mut self) {
        self.tls.close(&mut self.out);
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    pub fn read(&mut self, bytes: &mut [u8], peer: &mut Peer) -> Result<Status, TlsError> {
        let read = self.tls.read(bytes, &mut self.plaintext, &mut self.out);
        if let Err(error) = &read {
            let has_heard = matches!(error, TlsError::Record(RecordError::AlertReceived(_)));
            self.must_tell = matches!(error, TlsError::Record(_)) && !has_heard;
            self.assert_over(peer);
        }
        read
    }

    /// The other one has refused at the front of a record or message what this one refuses when it is whole, or when
    /// something else comes in its place.
    pub fn assert_refuses_in_the_end(&mut self, peer: &mut Peer, because: &TlsError) {
        let plaintext = self.plaintext.len();
        let is_refused =
            self.read(&mut peer.rest(), peer).is_err() || self.read(&mut peer.late_data(), peer).is_err();
        assert_eq!(self.plaintext.len(), plaintext, "this came after what the other one refused: {because}");
        assert!(is_refused, "the other one has refused this: {because}");
    }

    /// Nothing more is taken, and nothing more is said.
    fn assert_over(&mut self, peer: &mut Peer) {
        let said = self.out.len();
        self.tls.read(&mut peer.late_data(), &mut self.plaintext, &mut self.out).expect("ignored");
        assert!(matches!(self.tls.write(b"more", &mut self.out), Err(TlsError::Over)));
        self.tls.close(&mut self.out);
        assert_eq!(self.out.len(), said, "it says more after its last alert");
    }

    /// What it has said is what was written, under one number after the other; and why it failed, if it did.
    pub fn assert_decipherable(mut self) {
        let (mut rest, mut heard, mut alert) = (&self.out[..], Vec::new(), None);
        while !rest.is_empty() {
            assert_eq!(alert, None, "nothing follows an alert");
            let inner = self.down.open(&mut rest);
            match inner.meaning() {
                (APPLICATION_DATA, content) => heard.extend_from_slice(content),
                (HANDSHAKE, content) => {
                    assert_eq!(content, [24, 0, 0, 1, 0]);
                    self.down.update();
                }
                (ALERT, content) => alert = Some(content.to_vec()),
                (kind, _) => panic!("a record of type {kind}"),
            }
        }
        assert!(heard == self.written, "the server wrote something else");
        if self.must_tell {
            assert_eq!(alert.expect("it says why").first(), Some(&FATAL));
        }
    }
}
