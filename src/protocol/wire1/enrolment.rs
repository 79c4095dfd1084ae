//! ENROL and ENROLLED: a one-time code becomes a device (spec: ENROL, ENROLLED). What a code opens is
//! the server's business.

use super::connect::{device_id, extensions};
use super::reader::{Reader, put_short};
use super::{API_BYTES_MAX, ProtocolError};
use crate::base::{CodeSecret, Credential, DeviceId};

/// What the server makes of a code: the device's id, and what it proves itself with from now on.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its id, from the server.
    pub device: DeviceId,
    /// To be kept where only the user can read it.
    pub credential: Credential,
    /// The base URL of the server's HTTP API; empty if the server does not know it. At most
    /// [`API_BYTES_MAX`] bytes.
    pub api: String,
}

/// Two credentials are the same if their digests are, which tells nothing by its time.
impl PartialEq for Enrolled {
    fn eq(&self, other: &Enrolled) -> bool {
        let is_same_secret = self.credential.digest() == other.credential.digest();
        self.device == other.device && self.api == other.api && is_same_secret
    }
}

impl Eq for Enrolled {}

pub(super) fn decode_code(body: &[u8]) -> Result<CodeSecret, ProtocolError> {
    let mut reader = Reader::new(body);
    let code = CodeSecret(reader.array("code")?);
    extensions(reader)?;
    Ok(code)
}

impl Enrolled {
    pub(super) fn decode(body: &[u8]) -> Result<Enrolled, ProtocolError> {
        let mut reader = Reader::new(body);
        let enrolled = Enrolled {
            device: device_id(reader.short("device id")?)?,
            credential: Credential::new(reader.array("credential")?),
            api: api(reader.short("api")?)?,
        };
        extensions(reader)?;
        Ok(enrolled)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        assert!(self.api.len() <= API_BYTES_MAX, "whoever configures a URL holds it to that");
        let mut body = Vec::new();
        put_short(&mut body, self.device.as_str().as_bytes());
        body.extend_from_slice(self.credential.as_bytes());
        put_short(&mut body, self.api.as_bytes());
        body
    }
}

fn api(bytes: &[u8]) -> Result<String, ProtocolError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtocolError::BadValue("api"))
}
