//! One certificate with its key, read from PEM files, and what can be wrong with them.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Whoever renews a month ahead, as most do, has failed for two weeks by then.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What the door shows to prove who it is.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certified: Arc<CertifiedKey>,
    /// DNS names of the leaf, in lower case; wildcards as `*.example.com`.
    pub names: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// What people call it: its file, or "self-signed".
    pub label: String,
}

/// A certificate or a key that cannot be used, and whose fault that is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read the {part} {}: {source}", path.display())]
    Unreadable { part: Part, path: PathBuf, source: std::io::Error },
    #[error("{} is not PEM: {source}", path.display())]
    NotPem { part: Part, path: PathBuf, source: pem::Error },
    #[error("there is no certificate in {}", path.display())]
    NoCertificate { path: PathBuf },
    #[error("the certificate in {} cannot be understood: {why}", path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("there is no private key in {}", path.display())]
    NoKey { path: PathBuf },
    #[error("the private key in {} is encrypted, and nobody is there to type its passphrase", path.display())]
    EncryptedKey { path: PathBuf },
    #[error("the private key in {} is of a kind that is not supported: {source}", path.display())]
    UnsupportedKey { path: PathBuf, source: rustls::Error },
    #[error("the key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("the chain in {} is in the wrong order", certificate.display())]
    LeafNotFirst { certificate: PathBuf },
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Certificate,
    Key,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Certificate => "certificate",
            Part::Key => "key",
        })
    }
}

impl IdentityError {
    /// The key of the config that names the file at fault.
    pub fn key(&self) -> &'static str {
        match self {
            IdentityError::Unreadable { part: Part::Key, .. } | IdentityError::NotPem { part: Part::Key, .. } => "key",
            IdentityError::NoKey { .. }
            | IdentityError::EncryptedKey { .. }
            | IdentityError::UnsupportedKey { .. }
            | IdentityError::Mismatch { .. } => "key",
            _ => "certificate",
        }
    }

    /// Is one of the files simply not there?
    pub fn is_missing(&self) -> bool {
        matches!(self, IdentityError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            IdentityError::NoCertificate { .. } => Some("it must begin with -----BEGIN CERTIFICATE-----"),
            IdentityError::NoKey { .. } => {
                Some("it must begin with -----BEGIN PRIVATE KEY----- (PKCS #8, PKCS #1 or SEC 1)")
            }
            IdentityError::EncryptedKey { .. } => Some("decrypt it: openssl pkey -in old.pem -out new.pem"),
            IdentityError::LeafNotFirst { .. } => {
                Some("the certificate of the key comes first, then the one that signed it, and so on")
            }
            _ => None,
        }
    }
}

impl Identity {
    /// Reads both files and sees that they belong together.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file at fault. An expired certificate is not an error here.
    pub fn load(pair: &Pair) -> Result<Identity, IdentityError> {
        let chain = read_chain(&pair.certificate)?;
        let key = read_key(&pair.key)?;
        Identity::new(chain, key, pair)
    }

    /// Sees that `chain` and `key`, read from `pair`, belong together.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        pair: &Pair,
    ) -> Result<Identity, IdentityError> {
        let path = || pair.certificate.clone();
        let leaf = chain.first().ok_or_else(|| IdentityError::NoCertificate { path: path() })?;
        let leaf = read_leaf(leaf).map_err(|why| IdentityError::Malformed { path: path(), why })?;
        let key = any_supported_type(&key)
            .map_err(|source| IdentityError::UnsupportedKey { path: pair.key.clone(), source })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) if belongs_to_another(&certified) => {
                return Err(IdentityError::LeafNotFirst { certificate: path() });
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(IdentityError::Mismatch { certificate: path(), key: pair.key.clone() });
            }
            Err(error) => return Err(IdentityError::Malformed { path: path(), why: error.to_string() }),
        }
        Ok(Identity {
            certified: Arc::new(certified),
            names: leaf.names,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            label: pair.certificate.display().to_string(),
        })
    }

    /// How long it is still valid, once that is little: under 14 days, or under a quarter of a short life.
    pub fn time_left(&self, now: SystemTime) -> Option<Duration> {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        let left = self.not_after.duration_since(now).unwrap_or_default();
        (left < EXPIRES_SOON.min(life / 4)).then_some(left)
    }

    /// What is to be said of its age: that browsers refuse it now, or soon will.
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        self.complaint(now).or_else(|| {
            let left = in_words(self.time_left(now)?);
            Some(format!("the certificate {} expires in {left}", self.label))
        })
    }

    /// What browsers will hold against it now, if anything.
    pub fn complaint(&self, now: SystemTime) -> Option<String> {
        if self.not_after < now {
            let when = humantime::format_rfc3339_seconds(self.not_after);
            return Some(format!("the certificate {} expired on {when}", self.label));
        }
        if self.not_before > now {
            let when = humantime::format_rfc3339_seconds(self.not_before);
            return Some(format!("the certificate {} is not valid before {when}", self.label));
        }
        None
    }
}

/// `duration` for people: in whole hours, from two days on in days.
pub fn in_words(duration: Duration) -> String {
    let hours = duration.as_secs() / 3600;
    if hours < 48 { format!("{hours} hours") } else { format!("{} days", hours / 24) }
}

/// `text` without byte-order marks before what begins: editors of Windows write one at a file's beginning, which in a chain
/// of several files is its middle.
fn without_marks(text: Vec<u8>) -> Vec<u8> {
    const MARKED: &[u8] = b"\xef\xbb\xbf-----";
    let marks: Vec<usize> = memchr::memmem::find_iter(&text, MARKED).collect();
    let mut rest = text;
    for at in marks.into_iter().rev() {
        rest.drain(at..at + 3);
    }
    rest
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let part = Part::Certificate;
    let text = std::fs::read(path).map_err(|source| IdentityError::Unreadable { part, path: path.into(), source })?;
    let text = without_marks(text);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(IdentityError::NoCertificate { path: path.into() }),
        Ok(chain) => Ok(chain),
        Err(source) => Err(IdentityError::NotPem { part, path: path.into(), source }),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let part = Part::Key;
    let text = std::fs::read(path).map_err(|source| IdentityError::Unreadable { part, path: path.into(), source })?;
    let text = without_marks(text);
    let has = |needle: &[u8]| memchr::memmem::find(&text, needle).is_some();
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(_) if has(b"Proc-Type: 4,ENCRYPTED") => Err(IdentityError::EncryptedKey { path: path.into() }),
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if has(b"BEGIN ENCRYPTED PRIVATE KEY") => {
            Err(IdentityError::EncryptedKey { path: path.into() })
        }
        Err(pem::Error::NoItemsFound) => Err(IdentityError::NoKey { path: path.into() }),
        Err(_) if has(b"Proc-Type: 4,ENCRYPTED") => Err(IdentityError::EncryptedKey { path: path.into() }),
        Err(source) => Err(IdentityError::NotPem { part, path: path.into(), source }),
    }
}

/// Does the key fit a certificate further down the chain?
fn belongs_to_another(certified: &CertifiedKey) -> bool {
    certified.cert.iter().skip(1).any(|certificate| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
    })
}

struct Leaf {
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

fn read_leaf(der: &[u8]) -> Result<Leaf, String> {
    let (_, leaf) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let mut names: Vec<String> = match leaf.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(dns_name).collect(),
        Ok(None) => Vec::new(),
        Err(error) => return Err(error.to_string()),
    };
    if names.is_empty() {
        // Certificates from before 2000, and many made by hand, have their name only here.
        let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.filter(|name| is_name(name)).map(str::to_ascii_lowercase));
    }
    let validity = leaf.validity();
    Ok(Leaf {
        names,
        not_before: time(validity.not_before.timestamp()),
        not_after: time(validity.not_after.timestamp()),
    })
}

fn dns_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    }
}

fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// Is `name` a host name (also with `*.` before it) or an address?
pub fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let host = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && host.split('.').all(is_label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["localhost", "app.test", "*.app.test", "10.0.0.1", "fe80::1", "a-b.c_d"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "*", "*.", "a..b", "-a.test", "a b", "https://app.test", "app.test:443", "a*.test", "ä.test"]
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
