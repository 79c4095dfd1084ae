//! The id by which deployed devices are known on wire 0: made from the machine's.

use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA224, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::DeviceId;

/// Where a system keeps its machine's id.
const PLACES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// The id of this machine as a device, if it has one.
pub fn device_id() -> Option<DeviceId> {
    device_id_in(&PLACES.map(Path::new))
}

fn device_id_in(places: &[&Path]) -> Option<DeviceId> {
    places.iter().find_map(|place| of_machine_id(&fs::read_to_string(place).ok()?))
}

/// The base64 of the SHA-224 of the bytes that `text` writes in hexadecimal.
fn of_machine_id(text: &str) -> Option<DeviceId> {
    let digits = text.trim();
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    let bytes = bytes.filter(|bytes| !bytes.is_empty())?;
    STANDARD.encode(digest(&SHA224, &bytes)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_makes_a_device_id() {
        let expected = "59EsWk/dOlQ2rqmuP89c6GhodsMk64IQYiKJcg==".parse().expect("valid");
        assert_eq!(of_machine_id("00112233445566778899aabbccddeeff\n"), Some(expected));
        for nonsense in ["", "\n", "0", "0011x", "zz", "äö"] {
            assert_eq!(of_machine_id(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_first_place_that_has_one_counts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        assert_eq!(device_id_in(&[&first, &second]), None);
        fs::write(&second, "01\n").expect("writable");
        let id = device_id_in(&[&first, &second]);
        assert!(id.is_some());
        fs::write(&first, "02\n").expect("writable");
        assert_ne!(device_id_in(&[&first, &second]), id);
    }
}
