//! What an authority is shown while it looks whether a name is ours: tokens over http, certificates by ALPN; and which
//! names still wait for their first certificate.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::server::Acceptor;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::PrivateKeyDer;

/// Where an authority looks over http (RFC 8555 section 8.3).
pub const PATH: &str = "/.well-known/acme-challenge/";

/// What it asks for in the handshake (RFC 8737 section 4): this and nothing else.
const ALPN: &[u8] = b"acme-tls/1";

/// Shown to the authorities now. As many as there are orders under way; nobody else adds to it.
#[derive(Debug, Default)]
pub struct Challenges {
    /// How many there are of each, so that nobody asks for a lock while there is none.
    tokens: AtomicUsize,
    names: AtomicUsize,
    waiting: AtomicUsize,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    /// Key authorizations by token.
    tokens: HashMap<String, String>,
    /// By the name that the authority asks for.
    certificates: HashMap<String, Arc<ServerConfig>>,
    /// Names without a certificate, and whether there is none at all.
    waiting: Vec<String>,
    is_bare: bool,
}

/// A challenge's certificate cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the certificate for tls-alpn-01: {0}")]
pub struct ChallengeError(String);

/// Takes a challenge away again when it is dropped.
#[derive(Debug)]
pub struct ShownChallenge {
    challenges: Arc<Challenges>,
    token: Option<String>,
    name: Option<String>,
}

impl Challenges {
    /// Answers for `token` over http, as long as the result lives: authorities ask several times, from several places.
    pub fn show_token(self: &Arc<Self>, token: &str, key_authorization: &str) -> ShownChallenge {
        let mut shown = self.shown.lock();
        shown.tokens.insert(token.to_owned(), key_authorization.to_owned());
        self.tokens.store(shown.tokens.len(), Ordering::Release);
        ShownChallenge { challenges: Arc::clone(self), token: Some(token.to_owned()), name: None }
    }

    /// Shows a certificate with `digest` of the key authorization to those who ask for `domain` by `acme-tls/1`.
    ///
    /// # Errors
    /// [`ChallengeError`].
    pub fn show_certificate(
        self: &Arc<Self>,
        domain: &str,
        digest: &[u8],
        provider: &Arc<CryptoProvider>,
    ) -> Result<ShownChallenge, ChallengeError> {
        let config = certificate(domain, digest, provider).map_err(ChallengeError)?;
        let name = asked_for(domain);
        let mut shown = self.shown.lock();
        shown.certificates.insert(name.clone(), Arc::new(config));
        self.names.store(shown.certificates.len(), Ordering::Release);
        Ok(ShownChallenge { challenges: Arc::clone(self), token: None, name: Some(name) })
    }

    /// The answer to `GET path`, where an authority asks for a token that is ours.
    pub fn answer(&self, path: &str) -> Option<String> {
        if self.tokens.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.shown.lock().tokens.get(path.strip_prefix(PATH)?).cloned()
    }

    /// Is anybody's handshake to be looked at?
    pub fn has_certificates(&self) -> bool {
        self.names.load(Ordering::Acquire) > 0
    }

    /// What to show to whoever sent `hello`, if that is an authority: one that offers `acme-tls/1` alone.
    pub fn certificate_for(&self, mut hello: &[u8]) -> Option<Arc<ServerConfig>> {
        let mut acceptor = Acceptor::default();
        while !hello.is_empty() {
            acceptor.read_tls(&mut hello).ok()?;
            if let Ok(Some(accepted)) = acceptor.accept() {
                let hello = accepted.client_hello();
                let mut offered = hello.alpn()?;
                if (offered.next(), offered.next()) != (Some(ALPN), None) {
                    return None;
                }
                let name = hello.server_name()?.to_ascii_lowercase();
                return self.shown.lock().certificates.get(&name).cloned();
            }
        }
        None
    }

    /// These names have no certificate yet; `is_bare` where none has.
    pub fn wait_for(&self, names: Vec<String>, is_bare: bool) {
        let mut shown = self.shown.lock();
        self.waiting.store(names.len(), Ordering::Release);
        (shown.waiting, shown.is_bare) = (names, is_bare);
    }

    /// Does `host` wait for its first certificate?
    pub fn is_waiting(&self, host: &str) -> bool {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return false;
        }
        let host = host.strip_suffix('.').unwrap_or(host).trim_start_matches('[').trim_end_matches(']');
        let shown = self.shown.lock();
        let covers = |name: &String| match name.strip_prefix("*.") {
            Some(suffix) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(suffix)),
            None => name.eq_ignore_ascii_case(host),
        };
        shown.is_bare || shown.waiting.iter().any(covers)
    }
}

impl Drop for ShownChallenge {
    fn drop(&mut self) {
        let mut shown = self.challenges.shown.lock();
        self.token.as_ref().map(|token| shown.tokens.remove(token));
        self.name.as_ref().map(|name| shown.certificates.remove(name));
        self.challenges.tokens.store(shown.tokens.len(), Ordering::Release);
        self.challenges.names.store(shown.certificates.len(), Ordering::Release);
    }
}

/// The name that an authority asks for by SNI: addresses as the DNS has them in reverse (RFC 8738 section 6).
fn asked_for(domain: &str) -> String {
    match domain.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(ip)) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
        Err(_) => domain.to_ascii_lowercase(),
    }
}

/// One name, and the digest in a critical extension (RFC 8737 section 3).
fn certificate(domain: &str, digest: &[u8], provider: &Arc<CryptoProvider>) -> Result<ServerConfig, String> {
    let text = |error: rcgen::Error| error.to_string();
    let mut params = CertificateParams::new(vec![domain.to_owned()]).map_err(text)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(text)?;
    let certificate = params.self_signed(&key).map_err(text)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let key = any_supported_type(&key).map_err(|error| error.to_string())?;
    // Put together by hand: who looks whether a certificate can be trusted refuses its critical extension.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_shown_while_they_are_held() {
        let challenges = Arc::new(Challenges::default());
        let shown = challenges.show_token("abc", "abc.key");
        assert_eq!(challenges.answer("/.well-known/acme-challenge/abc").as_deref(), Some("abc.key"));
        for other in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/abcd", "/abc", ""] {
            assert_eq!(challenges.answer(other), None, "{other}");
        }
        drop(shown);
        assert_eq!(challenges.answer("/.well-known/acme-challenge/abc"), None);
    }

    #[test]
    fn addresses_are_asked_for_in_reverse() {
        assert_eq!(asked_for("127.0.0.1"), "1.0.0.127.in-addr.arpa");
        assert_eq!(asked_for("Example.COM"), "example.com");
        let v6 = asked_for("2001:db8::1");
        assert!(v6.starts_with("1.0.0.0.") && v6.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
    }

    #[test]
    fn names_wait_until_they_do_not() {
        let challenges = Challenges::default();
        assert!(!challenges.is_waiting("a.com"));
        challenges.wait_for(vec!["a.com".to_owned(), "*.b.com".to_owned()], false);
        for (host, is_waiting) in
            [("a.com", true), ("A.com.", true), ("x.b.com", true), ("b.com", false), ("c.com", false)]
        {
            assert_eq!(challenges.is_waiting(host), is_waiting, "{host}");
        }
        challenges.wait_for(vec!["a.com".to_owned()], true);
        assert!(challenges.is_waiting("127.0.0.1"));
    }
}
