//! Which certificate a client is shown: by the name it asks for, else the first.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::identity::Identity;

/// Every identity by its names. Never empty.
#[derive(Debug)]
pub struct Certificates {
    identities: Vec<Identity>,
    /// Indices by whole name; several where one name has keys of several kinds.
    exact: HashMap<String, Vec<usize>>,
    /// Indices by what follows `*.`.
    wildcard: HashMap<String, Vec<usize>>,
}

impl Certificates {
    /// `None` when there are no identities.
    pub fn new(identities: Vec<Identity>) -> Option<Certificates> {
        let (mut exact, mut wildcard) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (index, identity) in identities.iter().enumerate() {
            for name in &identity.names {
                match name.strip_prefix("*.") {
                    Some(suffix) => wildcard.entry(suffix.to_owned()).or_default().push(index),
                    None => exact.entry(name.clone()).or_default().push(index),
                }
            }
        }
        (!identities.is_empty()).then_some(Certificates { identities, exact, wildcard })
    }

    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Those that fit `name`, the one from the first file first. A wildcard stands for one label (RFC 6125 section 6.4.3).
    fn fitting(&self, name: &str) -> &[usize] {
        let by_wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(by_wildcard).map_or(&[0], Vec::as_slice)
    }
}

thread_local! {
    static ASKED_FOR: Cell<Option<String>> = const { Cell::new(None) };
}

/// The name that the last client on this thread asked for (SNI), if one did since this was called last. The interface
/// without buffers has no other way to tell: it is for whoever just gave rustls what this client sent.
pub fn name_asked_for() -> Option<String> {
    ASKED_FOR.take()
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED_FOR.set(hello.server_name().map(str::to_ascii_lowercase));
        let fitting = self.fitting(hello.server_name().unwrap_or_default());
        // Where a name has an RSA and an ECDSA key, the first one that the client can check.
        let can_check =
            |index: &&usize| self.identities[**index].certified.key.choose_scheme(hello.signature_schemes()).is_some();
        let chosen = fitting.iter().find(can_check).or(fitting.first())?;
        Some(Arc::clone(&self.identities[*chosen].certified))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::self_signed;
    use super::*;

    fn certificates(names: &[&[&str]]) -> Certificates {
        let identities = names.iter().map(|names| {
            let mut identity = self_signed::make(&[], SystemTime::now()).unwrap().identity;
            identity.names = names.iter().map(|name| (*name).to_owned()).collect();
            identity
        });
        Certificates::new(identities.collect()).unwrap()
    }

    #[test]
    fn whole_name_wins_over_wildcard_and_first_is_default() {
        let certificates = certificates(&[&["example.com"], &["*.example.com"], &["www.example.com", "other.test"]]);
        let cases = [
            ("example.com", 0),
            ("api.example.com", 1),
            ("www.example.com", 2),
            ("a.b.example.com", 0),
            ("other.test", 2),
            ("unknown.test", 0),
            ("", 0),
            ("com", 0),
        ];
        for (name, expected) in cases {
            assert_eq!(certificates.fitting(name), [expected], "{name}");
        }
    }

    #[test]
    fn nothing_to_show_is_no_certificates() {
        assert!(Certificates::new(Vec::new()).is_none());
    }
}
