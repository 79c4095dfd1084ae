//! The certificates that the server shows, and the files they are loaded from, at start and again
//! when they were renewed.

use std::path::Path;
use std::sync::Arc;

use log::{error, info, warn};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use super::config::{CertificateFiles, ConfigError};
use crate::tls::{self, Certificates};

/// A certificate that is shown, and where it came from.
#[derive(Clone)]
pub struct Shown {
    files: CertificateFiles,
    certificates: Arc<Certificates>,
}

impl Shown {
    /// Loads a chain and its key. An error names the file whose fault it is.
    pub fn load(files: CertificateFiles) -> Result<Shown, ConfigError> {
        let (chain, key) = (files.chain.read()?, files.key.read()?);
        let certificates = Certificates::new(&chain, &key).map_err(|error| blame(&files, &error))?;
        Ok(Shown { files, certificates })
    }

    /// What handshakes ask.
    pub fn certificates(&self) -> Arc<Certificates> {
        self.certificates.clone()
    }

    /// Loads the files again. If they cannot be used, what was shown before is shown on.
    pub fn reload(&self) {
        match self.try_reload() {
            Ok(()) => info!("certificate loaded from {}", self.path().display()),
            Err(error) => error!("the certificate in use stays: {error}"),
        }
    }

    fn try_reload(&self) -> Result<(), ConfigError> {
        let (chain, key) = (self.files.chain.read()?, self.files.key.read()?);
        self.certificates.replace(&chain, &key).map_err(|error| blame(&self.files, &error))
    }

    /// Warns if devices that look for `domain` in the certificate would not find it.
    pub fn warn_unless_for(&self, domain: &str) {
        let is_for_domain = self.files.chain.read().is_ok_and(|chain| is_for(&chain, domain));
        if !is_for_domain {
            warn!("{} is not for {domain}: devices that check will not connect", self.path().display());
        }
    }

    fn path(&self) -> &Path {
        self.files.chain.path()
    }
}

fn blame(files: &CertificateFiles, error: &tls::ConfigError) -> ConfigError {
    let file = match error {
        tls::ConfigError::KeyPem(_) => &files.key,
        _ => &files.chain,
    };
    file.refuse(error.to_string())
}

/// Whether the first certificate in `chain` is for the host `domain`.
fn is_for(chain: &[u8], domain: &str) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_slice(chain) else { return false };
    let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(&certificate), ServerName::try_from(domain))
    else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::own_certificate::{chain_path, key_path, make_if_missing};
    use super::*;
    use std::fs;

    fn files(folder: &Path) -> CertificateFiles {
        CertificateFiles { chain: chain_path(folder).into(), key: key_path(folder).into() }
    }

    fn complaint(folder: &Path) -> String {
        Shown::load(files(folder)).err().expect("refused").to_string()
    }

    #[test]
    fn the_file_that_is_wrong_is_blamed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path();
        let (chain, key) = (chain_path(folder), key_path(folder));
        let missing = "cannot be read: No such file or directory (os error 2)";
        assert_eq!(complaint(folder), format!("{}: {missing}", chain.display()));

        make_if_missing(folder, &["push.example.org"]).expect("made");
        Shown::load(files(folder)).expect("a good pair");
        fs::rename(&key, folder.join("aside")).expect("there");
        assert_eq!(complaint(folder), format!("{}: {missing}", key.display()));

        fs::write(&key, "not a key").expect("writable");
        assert!(complaint(folder).starts_with(&format!("{}: not a private key in PEM", key.display())));

        fs::rename(folder.join("aside"), &key).expect("there");
        fs::write(&chain, "not a certificate").expect("writable");
        assert_eq!(complaint(folder), format!("{}: no certificate in it", chain.display()));
    }

    #[test]
    fn a_renewed_certificate_that_cannot_be_used_changes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        make_if_missing(folder.path(), &["push.example.org"]).expect("made");
        let shown = Shown::load(files(folder.path())).expect("a good pair");
        shown.try_reload().expect("still a good pair");
        fs::write(key_path(folder.path()), "not a key").expect("writable");
        shown.try_reload().expect_err("not a key");
    }

    #[test]
    fn the_name_in_a_certificate_is_looked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        make_if_missing(folder.path(), &["push.example.org"]).expect("made");
        let chain = fs::read(chain_path(folder.path())).expect("made");
        assert!(is_for(&chain, "push.example.org"));
        assert!(!is_for(&chain, "example.org"));
        assert!(!is_for(b"not a certificate", "example.org"));
    }
}
