//! Certificates as large as those that the figures are for.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType, IsCa,
    KeyPair,
};

/// The name of the server, in its certificate and in what devices ask for.
pub const NAME: &str = "push.example.org";
/// What a server's self-made certificate has, in bytes.
const SMALL_BYTES: usize = 325;
/// What a public authority's ECDSA certificate for a server has, with its timestamps and addresses.
const LEAF_BYTES: usize = 1_050;
/// What the certificate of such an authority has that a server must send along.
const INTERMEDIATE_BYTES: usize = 1_120;
/// Where padding goes: an extension that nobody knows (of the arc for examples).
const PADDING_OID: [u64; 7] = [2, 999, 1, 2, 3, 4, 5];

/// What a server shows and what devices trust, in PEM.
pub struct Made {
    pub chain: String,
    pub key: String,
    pub trusted: String,
    /// How many bytes each certificate in the chain has.
    pub sizes: Vec<String>,
}

/// One self-signed certificate, as `serve` makes it, filled up to 325 bytes.
pub fn small() -> Made {
    let key = KeyPair::generate().expect("P-256");
    let certificate = exactly(SMALL_BYTES, |fill| {
        let mut params = leaf();
        params.distinguished_name.push(DnType::CommonName, "x".repeat(fill));
        let certificate = params.self_signed(&key).expect("valid");
        (certificate.der().len(), certificate)
    });
    let pem = certificate.pem();
    let sizes = vec![certificate.der().len().to_string()];
    Made { chain: pem.clone(), key: key.serialize_pem(), trusted: pem, sizes }
}

/// The server's own certificate and the one of the authority between it and the trusted root.
pub fn chain_of_two() -> Made {
    let root = authority("Root", 0);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().expect("P-256")).expect("valid");
    let intermediate = exactly(INTERMEDIATE_BYTES, |fill| {
        let key = KeyPair::generate().expect("P-256");
        let made = CertifiedIssuer::signed_by(authority("Intermediate", fill), key, &root).expect("valid");
        (made.der().len(), made)
    });
    let key = KeyPair::generate().expect("P-256");
    let leaf = exactly(LEAF_BYTES, |fill| {
        let mut params = leaf();
        params.custom_extensions.push(padding(fill));
        let certificate = params.signed_by(&key, &intermediate).expect("valid");
        (certificate.der().len(), certificate)
    });
    Made {
        chain: leaf.pem() + &intermediate.pem(),
        key: key.serialize_pem(),
        trusted: root.pem(),
        sizes: [&leaf, intermediate.as_ref()].map(|made| made.der().len().to_string()).into(),
    }
}

fn leaf() -> CertificateParams {
    let mut params = CertificateParams::new([NAME.to_owned()]).expect("a valid name");
    params.distinguished_name = DistinguishedName::new();
    params
}

fn authority(name: &str, fill: usize) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.custom_extensions.push(padding(fill));
    params
}

fn padding(bytes: usize) -> CustomExtension {
    CustomExtension::from_oid_content(&PADDING_OID, vec![0; bytes])
}

/// What `make` gives with the fill that brings it to so many bytes. Signatures differ in length, so the
/// same fill may not do twice.
fn exactly<T>(bytes: usize, make: impl Fn(usize) -> (usize, T)) -> T {
    let mut fill = 1;
    loop {
        let (made_bytes, made) = make(fill);
        match made_bytes {
            enough if enough == bytes => return made,
            few if few < bytes => fill += (bytes - few).div_ceil(2),
            much => fill -= (much - bytes).min(fill - 1),
        }
    }
}
