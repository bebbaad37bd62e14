//! A certificate of our own making, for development; kept from one start to the next, so that it need be trusted once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use tracing::{debug, warn};

use super::identity::{Identity, IdentityError, Pair};
use crate::disk;
use crate::settings::state_folder;

/// Browsers refuse more than 398 days from those they trust; a developer's should not need more.
const LIFETIME: Duration = Duration::from_secs(397 * DAY);
/// With less left than this it is made anew.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 24 * 60 * 60;

const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const FILE: &str = "self-signed.pem";
/// The certificate alone, for those who are to trust it.
const TRUSTED: &str = "self-signed.crt";

/// It could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A certificate for `localhost` and `names`: the one kept from an earlier start, else a new one.
///
/// # Errors
/// [`SelfSignedError`]; never because it cannot be kept, which is only logged.
pub fn identity(names: &[String]) -> Result<Identity, SelfSignedError> {
    let file = state_folder().map(|folder| folder.join(FILE));
    let now = SystemTime::now();
    if let Some(kept) = file.as_deref().and_then(|file| kept(file, names, now)) {
        return Ok(kept);
    }
    let made = make(names, now)?;
    if let Some(file) = file {
        match keep(&file, &made.pem) {
            Ok(()) => debug!(file = %file.display(), "the self-signed certificate is kept"),
            Err(error) => {
                warn!(file = %file.display(), %error, "the self-signed certificate cannot be kept: the next start makes another")
            }
        }
    }
    Ok(made.identity)
}

/// The file with the certificate alone, where one is kept; for `curl --cacert` and `NODE_EXTRA_CA_CERTS`.
pub fn trusted_file() -> Option<PathBuf> {
    state_folder().map(|folder| folder.join(TRUSTED)).filter(|file| file.is_file())
}

/// A file beside the certificate that holds it and what `own` holds, for those who take one file alone. It has a name for
/// each `own`, so that two doors of one user do not write into one.
///
/// # Errors
/// Those of reading `own`, and of writing.
pub fn trusted_with(own: &Path) -> io::Result<Option<PathBuf>> {
    let Some(trusted) = trusted_file() else { return Ok(None) };
    let mut hasher = DefaultHasher::new();
    own.hash(&mut hasher);
    let both = trusted.with_file_name(format!("self-signed-and-{:016x}.crt", hasher.finish()));
    let text = format!("{}\n{}", std::fs::read_to_string(own)?.trim_end(), std::fs::read_to_string(&trusted)?);
    if std::fs::read_to_string(&both).ok().as_ref() != Some(&text) {
        disk::replace(&both, text.as_bytes(), 0o644)?;
    }
    Ok(Some(both))
}

/// A certificate for `names` that wait for their first real one: never kept, and trusted by nobody.
///
/// # Errors
/// [`SelfSignedError`] when a name is not one.
pub fn placeholder(names: &[String]) -> Result<Identity, SelfSignedError> {
    let made = make(names, SystemTime::now())?;
    Ok(Identity { label: "placeholder".to_owned(), names: names.to_vec(), ..made.identity })
}

/// A new certificate, and the PEM of it and its key.
pub struct Made {
    pub identity: Identity,
    pem: String,
}

/// Makes one that is valid from yesterday, for clocks that differ.
///
/// # Errors
/// [`SelfSignedError`] when a name is not one.
pub fn make(names: &[String], now: SystemTime) -> Result<Made, SelfSignedError> {
    let mut params = CertificateParams::new(all(names))?;
    params.distinguished_name.push(DnType::CommonName, "Doorway, for development");
    params.not_before = (now - Duration::from_secs(DAY)).into();
    params.not_after = (now + LIFETIME).into();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let mut identity =
        Identity::new(vec![certificate.der().clone()], key.serialize_der().try_into().expect("PKCS #8"), &nowhere())?;
    identity.label = LABEL.to_owned();
    Ok(Made { identity, pem: format!("{}{}{}", header(names), certificate.pem(), key.serialize_pem()) })
}

pub const LABEL: &str = "self-signed";

/// Stands for the files of what was never in one.
fn nowhere() -> Pair {
    Pair { certificate: LABEL.into(), key: LABEL.into() }
}

fn all(names: &[String]) -> Vec<String> {
    let mut all: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
    for name in names.iter().map(|name| name.to_ascii_lowercase()) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// The first line of the file that is kept: which names it is for.
fn header(names: &[String]) -> String {
    format!("Made by Doorway for development: {}\n", all(names).join(" "))
}

fn kept(file: &Path, names: &[String], now: SystemTime) -> Option<Identity> {
    let text = std::fs::read_to_string(file).ok()?;
    if !text.starts_with(&header(names)) {
        return None;
    }
    let mut identity = Identity::load(&Pair { certificate: file.into(), key: file.into() }).ok()?;
    identity.label = LABEL.to_owned();
    if identity.not_after <= now + RENEW_BEFORE {
        return None;
    }
    let trusted = file.with_file_name(TRUSTED);
    if std::fs::read_to_string(&trusted).ok() != certificate(&text)
        && let Err(error) = disk::replace(&trusted, certificate(&text).unwrap_or_default().as_bytes(), 0o644)
    {
        warn!(file = %trusted.display(), %error, "the self-signed certificate cannot be written for those who are to trust it");
    }
    Some(identity)
}

/// The first certificate of `pem`.
fn certificate(pem: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = &pem[pem.find("-----BEGIN CERTIFICATE-----")?..];
    Some(format!("{}\n", &text[..text.find(END)? + END.len()]))
}

/// The key for nobody else to read.
fn keep(file: &Path, pem: &str) -> io::Result<()> {
    std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    disk::replace(file, pem.as_bytes(), 0o600)?;
    disk::replace(&file.with_file_name(TRUSTED), certificate(pem).unwrap_or_default().as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_certificate_serves_the_same_names_until_old() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state").join(FILE);
        let now = SystemTime::now();
        let names = vec!["app.test".to_owned()];
        let made = make(&names, now).unwrap();
        keep(&file, &made.pem).unwrap();
        let again = kept(&file, &names, now).unwrap();
        assert_eq!(again.certified.cert, made.identity.certified.cert);
        let trusted = std::fs::read_to_string(file.with_file_name(TRUSTED)).unwrap();
        assert!(
            made.pem.contains(trusted.trim_end()) && trusted.starts_with("-----BEGIN C") && !trusted.contains("KEY")
        );
        std::fs::remove_file(file.with_file_name(TRUSTED)).unwrap();
        kept(&file, &names, now).unwrap();
        assert_eq!(std::fs::read_to_string(file.with_file_name(TRUSTED)).unwrap(), trusted, "it is written anew");
        assert!(kept(&file, &[], now).is_none(), "other names");
        assert!(kept(&file, &names, now + LIFETIME - RENEW_BEFORE / 2).is_none(), "old");
        std::fs::write(&file, format!("{}nonsense", header(&names))).unwrap();
        assert!(kept(&file, &names, now).is_none(), "broken");
    }
}
