//! The section `[tls]`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::automatic::AcmeConfig;
use super::identity::{Identity, Pair, is_name};
use crate::settings::{Section, keywords};

/// The section `[tls]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// PEM file with the certificate chain, leaf first: shown where no other one fits. No default: TLS is off without
    /// one.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key (PKCS #8, PKCS #1 or SEC 1), not encrypted.
    pub key: Option<PathBuf>,
    /// More of them, chosen by the name that the client asks for (SNI). Default none.
    pub certificates: Vec<Pair>,
    /// Names, and addresses, for which certificates are ordered and renewed: to give them is the consent to the
    /// authority's terms. Default none.
    pub domains: Vec<String>,
    /// How that is done.
    pub acme: AcmeConfig,
    /// Make a certificate for `localhost`, for development. Default false.
    pub self_signed: bool,
    /// Names and addresses in it besides `localhost`, `127.0.0.1` and `::1`. Default none.
    pub self_signed_names: Vec<String>,
    /// The oldest TLS that is spoken. Default 1.2.
    pub min_version: MinVersion,
    /// From the client's connection to the end of the handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// Handshakes under way at the same time, each from a client's first whole message on; more wait in line, within
    /// their time-out. One client has no more than it leaves free ([`shares`](crate::shares)). Default 1024.
    pub max_handshakes: usize,
}

/// The oldest version of TLS that is spoken. Older ones than these are broken (RFC 8996) and not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinVersion {
    Tls12,
    Tls13,
}

keywords!(MinVersion { "1.2" => Tls12, "1.3" => Tls13 });

impl Default for Config {
    fn default() -> Self {
        Config {
            certificate: None,
            key: None,
            certificates: Vec::new(),
            domains: Vec::new(),
            acme: AcmeConfig::default(),
            self_signed: false,
            self_signed_names: Vec::new(),
            min_version: MinVersion::Tls12,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 1024,
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let domains = section.value("domains", default.domains);
        let config = Config {
            certificate: section.optional("certificate"),
            key: section.optional("key"),
            certificates: section.sections("certificates").iter().filter_map(Pair::read).collect(),
            acme: AcmeConfig::read(&section.section("acme")),
            domains: domains.iter().map(|domain| domain.trim_end_matches('.').to_ascii_lowercase()).collect(),
            self_signed: section.value("self_signed", default.self_signed),
            self_signed_names: section.value("self_signed_names", default.self_signed_names),
            min_version: section.value("min_version", default.min_version),
            handshake_timeout: section.value("handshake_timeout", default.handshake_timeout),
            max_handshakes: section.value("max_handshakes", default.max_handshakes),
        };
        config.agree(section);
        config
    }

    /// What the keys say together.
    fn agree(&self, section: &Section) {
        if section.has("certificate") && !section.has("key") {
            section.problem("certificate", "tls.certificate needs tls.key", Some("key = \"privkey.pem\""));
        }
        if section.has("key") && !section.has("certificate") {
            section.problem("key", "tls.key needs tls.certificate", Some("certificate = \"fullchain.pem\""));
        }
        if self.self_signed && (section.has("certificate") || section.has("certificates")) {
            section.problem(
                "self_signed",
                "tls.self_signed stands beside a real certificate",
                Some("take one of them"),
            );
        }
        for (index, domain) in self.domains.iter().enumerate() {
            if let Some((what, help)) = self.acme.objection(domain) {
                section.problem("domains", what, Some(help));
            }
            if self.domains[..index].contains(domain) {
                section.problem("domains", format!("{domain:?} is named twice in tls.domains"), None);
            }
        }
        if self.max_handshakes == 0 {
            section.problem("max_handshakes", "tls.max_handshakes must be at least 1", None);
        }
        if self.handshake_timeout.is_zero() {
            section.problem("handshake_timeout", "tls.handshake_timeout must be longer than 0", None);
        }
        for name in &self.self_signed_names {
            if !is_name(name) {
                let what = format!("{name:?} in tls.self_signed_names is neither a host name nor an address");
                section.problem(
                    "self_signed_names",
                    what,
                    Some("as in \"app.test\", \"*.app.test\" or \"192.168.1.5\""),
                );
            }
        }
    }

    /// Looks at what the section names: the certificates and their keys.
    pub fn check(&self, section: &Section) {
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            Pair { certificate: certificate.clone(), key: key.clone() }.check(section);
        }
        self.acme.check(&section.section("acme"));
        for entry in section.sections("certificates") {
            if let Some(pair) = Pair::read(&entry) {
                pair.check(&entry);
            }
        }
    }

    /// Certificates that can be used and that clients refuse all the same, for their dates; a sentence each.
    pub fn outdated(&self) -> Vec<String> {
        let identities = self.pairs().into_iter().filter_map(|pair| Identity::load(&pair).ok());
        identities.filter_map(|identity| identity.complaint(SystemTime::now())).collect()
    }

    /// Is there anything to show a client?
    pub fn is_configured(&self) -> bool {
        self.self_signed || self.certificate.is_some() || !self.certificates.is_empty() || !self.domains.is_empty()
    }

    /// The files of each name for which certificates are ordered, there or not yet.
    pub fn ordered(&self) -> Vec<(String, Pair)> {
        let pair = |domain: &String| Some((domain.clone(), self.acme.pair(domain)?));
        self.domains.iter().filter_map(pair).collect()
    }

    /// Every file that is looked at.
    pub fn files(&self) -> Vec<PathBuf> {
        let pairs = self.pairs().into_iter().chain(self.ordered().into_iter().map(|(_, pair)| pair));
        pairs.flat_map(|pair| [pair.certificate, pair.key]).collect()
    }

    /// Every certificate with its key, the one shown by default first.
    pub fn pairs(&self) -> Vec<Pair> {
        let first = self.certificate.clone().zip(self.key.clone()).map(|(certificate, key)| Pair { certificate, key });
        first.into_iter().chain(self.certificates.iter().cloned()).collect()
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        if self.max_handshakes == started.max_handshakes { Vec::new() } else { vec!["tls.max_handshakes"] }
    }
}

impl Pair {
    fn read(section: &Section) -> Option<Pair> {
        let (certificate, key) = (section.optional("certificate"), section.optional("key"));
        for missing in ["certificate", "key"].into_iter().filter(|key| !section.has(key)) {
            section.problem(missing, format!("an entry of tls.certificates needs `{missing}`"), None);
        }
        Some(Pair { certificate: certificate?, key: key? })
    }

    fn check(&self, section: &Section) {
        if let Err(wrong) = Identity::load(self) {
            section.problem(wrong.key(), wrong.to_string(), wrong.help());
        }
    }
}
