//! The certificate that the server shows where none is configured: made once, kept in the data
//! folder beside the queue, found again at every later start. Does not know who trusts it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use crate::files::write_whole;

/// Anyone may see a certificate; devices need it to know the server.
const CERTIFICATE_MODE: u32 = 0o644;
/// Whoever has the key can pass for the server.
const KEY_MODE: u32 = 0o600;

/// Why there is no certificate to show. The machine's fault, or its operator's.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file could not be written.
    #[error("{}: cannot be written: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key is gone, and devices may trust the certificate that is left.
    #[error(
        "{}: the key of {} is missing: put it back, or remove the certificate to get a new one",
        key.display(),
        certificate.display()
    )]
    KeyMissing {
        /// The certificate that is left.
        certificate: PathBuf,
        /// The key that is not there.
        key: PathBuf,
    },
    /// The names do not go into a certificate.
    #[error("no certificate can be made for these names: {0}")]
    Names(#[from] rcgen::Error),
}

/// Where a data folder has its certificate. Whoever must trust the server needs this file.
pub fn chain_path(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

/// Where a data folder has the certificate's key.
pub fn key_path(folder: &Path) -> PathBuf {
    folder.join("key.pem")
}

/// Makes a certificate for `names` unless `folder` has one; whether it did.
///
/// The key is written before the certificate: a crash in between leaves a key that nobody has seen
/// used, and the next start makes both anew.
pub fn make_if_missing(folder: &Path, names: &[&str]) -> Result<bool, CertificateError> {
    let (chain_path, key_path) = (chain_path(folder), key_path(folder));
    match (chain_path.exists(), key_path.exists()) {
        (true, true) => return Ok(false),
        (true, false) => return Err(CertificateError::KeyMissing { certificate: chain_path, key: key_path }),
        (false, _) => {}
    }
    let key = KeyPair::generate()?; // ECDSA P-256
    let certificate = parameters(names)?.self_signed(&key)?;
    write(&key_path, &key.serialize_pem(), KEY_MODE)?;
    write(&chain_path, &certificate.pem(), CERTIFICATE_MODE)?;
    Ok(true)
}

fn write(path: &Path, pem: &str, mode: u32) -> Result<(), CertificateError> {
    write_whole(path, pem.as_bytes(), mode)
        .map_err(|source| CertificateError::File { path: path.into(), source })
}

/// Valid for `names` and for this machine as it calls itself; without end, for nobody renews it.
fn parameters(names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let all: BTreeSet<&str> = names.iter().copied().chain(["localhost"]).collect();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let mut parameters = CertificateParams::new(all)?;
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    parameters.subject_alt_names.extend(loopback.map(SanType::IpAddress));
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "lomiri-push");
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rustls::client::verify_server_name;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::server::ParsedCertificate;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("made").permissions().mode() & 0o777
    }

    fn pems(folder: &Path) -> [String; 2] {
        [chain_path(folder), key_path(folder)].map(|path| fs::read_to_string(path).expect("made"))
    }

    #[test]
    fn a_certificate_is_made_once_and_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path();
        assert!(make_if_missing(folder, &["push.example.org"]).expect("made"));
        let made = pems(folder);
        assert!(!make_if_missing(folder, &["elsewhere.example.org"]).expect("kept"));
        assert_eq!(made, pems(folder));
        assert_eq!(mode(&chain_path(folder)), CERTIFICATE_MODE);
        assert_eq!(mode(&key_path(folder)), KEY_MODE);
        assert_eq!(fs::read_dir(folder).expect("readable").count(), 2, "nothing else is left");
    }

    #[test]
    fn it_names_the_domain_and_this_machine() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        make_if_missing(folder.path(), &["push.example.org", "host"]).expect("made");
        let [chain, _] = pems(folder.path());
        let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
        let parsed = ParsedCertificate::try_from(&certificate).expect("a certificate");
        for name in ["push.example.org", "host", "localhost", "127.0.0.1", "::1"] {
            let name = ServerName::try_from(name).expect("a name");
            verify_server_name(&parsed, &name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        }
        let other = ServerName::try_from("example.org").expect("a name");
        assert!(verify_server_name(&parsed, &other).is_err());
    }

    #[test]
    fn a_key_that_a_crash_left_alone_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path();
        fs::write(key_path(folder), "left").expect("writable");
        fs::write(folder.join("key.pem.new"), "unfinished").expect("writable");
        assert!(make_if_missing(folder, &["push.example.org"]).expect("made"));
        assert!(pems(folder)[1].starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(mode(&key_path(folder)), KEY_MODE);
    }

    #[test]
    fn a_certificate_whose_key_is_gone_is_not_silently_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path();
        make_if_missing(folder, &["push.example.org"]).expect("made");
        let [chain, _] = pems(folder);
        fs::remove_file(key_path(folder)).expect("made above");
        let error = make_if_missing(folder, &["push.example.org"]).expect_err("refused").to_string();
        assert!(error.starts_with(&key_path(folder).display().to_string()), "{error}");
        assert_eq!(fs::read_to_string(chain_path(folder)).expect("still there"), chain);
    }
}
