//! The section `[tls.acme]`: certificates that the door orders by itself, and where it keeps them.

use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use http::uri::Scheme;
use toml::de::DeValue;

use super::identity::{Pair, is_name};
use super::sealing::{self, SealingKey};
use crate::settings::{Expected, Section, Setting, keywords, state_folder};

/// The authority that `directory` names, by a word or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(String);

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
const ZERO_SSL: &str = "https://acme.zerossl.com/v2/DV90";

impl Directory {
    /// Where its orders can be tried without being counted, as far as we know.
    fn usual_staging(&self) -> Option<Directory> {
        (self.0 == LETS_ENCRYPT).then(|| Directory(LETS_ENCRYPT_STAGING.to_owned()))
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.0
    }

    /// What people call it: its host.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// The name of its folder: two directories on one host are two authorities.
    fn folder(&self) -> String {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        rest.trim_end_matches('/')
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || ".:[]_".contains(c) { c } else { '-' })
            .collect()
    }
}

impl Setting for Directory {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        let words = "\"letsencrypt\", \"letsencrypt-staging\", \"zerossl\", or an https address, as in \
                     \"https://ca.example.com/acme/acme/directory\"";
        let url = match value.as_str() {
            Some("letsencrypt") => LETS_ENCRYPT.to_owned(),
            Some("letsencrypt-staging") => LETS_ENCRYPT_STAGING.to_owned(),
            Some("zerossl") => ZERO_SSL.to_owned(),
            Some(text) => text.to_owned(),
            None => return Err(Expected(words.into())),
        };
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.scheme() == Some(&Scheme::HTTPS));
        let is_one = uri.is_some_and(|uri| uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none());
        if is_one && !url.contains('@') { Ok(Directory(url)) } else { Err(Expected(words.into())) }
    }
}

/// How the authority is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    /// What the listeners allow: http-01, and tls-alpn-01 after a failure; dns-01 for wildcards.
    Auto,
    Http01,
    TlsAlpn01,
    Dns01,
}

keywords!(ChallengeKind { "auto" => Auto, "http-01" => Http01, "tls-alpn-01" => TlsAlpn01, "dns-01" => Dns01 });

/// The section `[tls.acme]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AcmeConfig {
    /// The authority. Default Let's Encrypt.
    pub directory: Directory,
    /// Another one, where an order is tried first once two have failed, so that the limits of `directory` are not used up.
    /// Default: Let's Encrypt's own for Let's Encrypt, else none.
    pub staging: Option<Directory>,
    /// One that is asked where `directory` gives no certificate for long. Default none.
    pub fallback: Option<Directory>,
    /// As `eab_key_id`, for that one. No default.
    pub fallback_eab_key_id: Option<String>,
    /// As `eab_key_file`, for that one. No default.
    pub fallback_eab_key_file: Option<PathBuf>,
    /// Where the authority may write to about expiry and its terms; sent nowhere else. No default.
    pub email: Option<String>,
    /// The number of an account elsewhere, for authorities that ask for one (RFC 8555 section 7.3.4). No default.
    pub eab_key_id: Option<String>,
    /// A file with the key of that account, in base64url. No default.
    pub eab_key_file: Option<PathBuf>,
    /// Default `auto`.
    pub challenge: ChallengeKind,
    /// A program that puts records into the DNS: `present NAME VALUE`, `cleanup NAME VALUE`; needed for wildcards.
    pub dns_hook: Option<PathBuf>,
    /// The kind of certificate, of those that the authority offers. `auto` asks for `shortlived` for addresses, else for none.
    pub profile: String,
    /// PEM with the root of an authority of one's own, trusted besides those that this machine trusts. No default.
    pub ca_file: Option<PathBuf>,
    /// Where accounts, keys and certificates are kept. Default `acme` in the state folder.
    pub storage: Option<PathBuf>,
    /// Made of the secret that doors which share a Redis have for their certificates (`secret`, `secret_file` or
    /// `secret_env`, 32 characters at least). No default: each door orders its own.
    pub sealing_key: Option<SealingKey>,
}

impl Default for AcmeConfig {
    fn default() -> Self {
        AcmeConfig {
            directory: Directory(LETS_ENCRYPT.to_owned()),
            staging: None,
            fallback: None,
            fallback_eab_key_id: None,
            fallback_eab_key_file: None,
            email: None,
            eab_key_id: None,
            eab_key_file: None,
            challenge: ChallengeKind::Auto,
            dns_hook: None,
            profile: "auto".to_owned(),
            ca_file: None,
            storage: None,
            sealing_key: None,
        }
    }
}

impl AcmeConfig {
    pub fn read(section: &Section) -> AcmeConfig {
        let default = AcmeConfig::default();
        let config = AcmeConfig {
            directory: section.value("directory", default.directory),
            staging: section.optional("staging"),
            fallback: section.optional("fallback"),
            fallback_eab_key_id: section.optional("fallback_eab_key_id"),
            fallback_eab_key_file: section.optional("fallback_eab_key_file"),
            email: section.optional("email"),
            eab_key_id: section.optional("eab_key_id"),
            eab_key_file: section.optional("eab_key_file"),
            challenge: section.value("challenge", default.challenge),
            dns_hook: section.optional("dns_hook"),
            profile: section.value("profile", default.profile),
            ca_file: section.optional("ca_file"),
            storage: section.optional("storage"),
            sealing_key: read_sealing_key(section),
        };
        config.agree(section);
        config
    }

    fn agree(&self, section: &Section) {
        for (id, file) in [("eab_key_id", "eab_key_file"), ("fallback_eab_key_id", "fallback_eab_key_file")] {
            if section.has(id) != section.has(file) {
                let key = if section.has(id) { id } else { file };
                section.problem(key, format!("tls.acme.{id} and tls.acme.{file} go together"), None);
            }
        }
        if self.fallback.as_ref() == Some(&self.directory) {
            section.problem(
                "fallback",
                "tls.acme.fallback is tls.acme.directory itself",
                Some("name another authority"),
            );
        }
        if section.has("fallback_eab_key_id") && !section.has("fallback") {
            section.problem("fallback_eab_key_id", "tls.acme.fallback_eab_key_id needs tls.acme.fallback", None);
        }
        if self
            .email
            .as_ref()
            .is_some_and(|email| !email.contains('@') || email.contains(|c: char| c.is_whitespace() || c == ':'))
        {
            section.problem("email", "tls.acme.email must be an address, as in \"me@example.com\"", None);
        }
        if self.challenge == ChallengeKind::Dns01 && self.dns_hook.is_none() {
            section.problem("challenge", "dns-01 needs tls.acme.dns_hook", Some("dns_hook = \"/etc/doorway/dns\""));
        }
        if self.profile.is_empty() {
            section.problem("profile", "tls.acme.profile must be a name, or \"auto\"", None);
        }
    }

    /// Looks at what the section names.
    pub fn check(&self, section: &Section) {
        // Asks for its keys again.
        AcmeConfig::read(section);
        let files = [
            ("eab_key_file", &self.eab_key_file),
            ("fallback_eab_key_file", &self.fallback_eab_key_file),
            ("ca_file", &self.ca_file),
            ("dns_hook", &self.dns_hook),
        ];
        for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?))) {
            if let Err(error) = std::fs::File::open(file) {
                section.problem(key, format!("tls.acme.{key}: cannot read {}: {error}", file.display()), None);
            }
        }
    }

    /// What speaks against ordering a certificate for `domain`, and what to do instead.
    pub fn objection(&self, domain: &str) -> Option<(String, &'static str)> {
        if !is_name(domain) {
            return Some((
                format!("{domain:?} in tls.domains is neither a host name nor an address"),
                "as in \"example.com\"",
            ));
        }
        // An authority of one's own knows names of one's own.
        if self.ca_file.is_none() && is_private(domain) {
            let what = format!("{domain:?} in tls.domains is private: no public authority gives a certificate for it");
            return Some((
                what,
                "self_signed = true makes one for development; tls.acme.ca_file names an authority of one's own",
            ));
        }
        let is_web = matches!(self.challenge, ChallengeKind::Http01 | ChallengeKind::TlsAlpn01);
        if domain.starts_with("*.") && (self.dns_hook.is_none() || is_web) {
            let what = format!("{domain:?} in tls.domains is a wildcard: only dns-01 shows that it is yours");
            return Some((
                what,
                "give tls.acme.dns_hook, a program that writes TXT records, and challenge = \"dns-01\" or \"auto\"",
            ));
        }
        if domain.parse::<IpAddr>().is_ok() && self.challenge == ChallengeKind::Dns01 {
            return Some((
                format!("{domain:?} in tls.domains is an address, which dns-01 cannot show"),
                "challenge = \"auto\"",
            ));
        }
        None
    }

    /// Where all is kept. `None` where there is neither a home nor a state folder.
    pub fn folder(&self) -> Option<PathBuf> {
        self.storage.clone().or_else(|| Some(state_folder()?.join("acme")))
    }

    /// The folder of the authority, within that.
    pub fn authority_folder(&self) -> Option<PathBuf> {
        Some(self.folder()?.join(self.directory.folder()))
    }

    /// The same, for an order that is only tried. `None` where there is nowhere to try it.
    pub fn for_staging(&self) -> Option<AcmeConfig> {
        let directory = self.staging.clone().or_else(|| self.directory.usual_staging())?;
        (directory != self.directory).then(|| AcmeConfig { directory, ..self.clone() })
    }

    /// The same, for an order at the other authority. `None` where there is none.
    pub fn for_fallback(&self) -> Option<AcmeConfig> {
        Some(AcmeConfig {
            directory: self.fallback.clone()?,
            staging: None,
            fallback: None,
            eab_key_id: self.fallback_eab_key_id.clone(),
            eab_key_file: self.fallback_eab_key_file.clone(),
            // Names of profiles are each authority's own.
            profile: "auto".to_owned(),
            ..self.clone()
        })
    }

    /// The folder of one name.
    pub fn name_folder(&self, domain: &str) -> Option<PathBuf> {
        // A star means something to shells.
        Some(self.authority_folder()?.join(domain.replacen("*.", "+.", 1)))
    }

    /// The files of one name's certificate, there or not.
    pub fn pair(&self, domain: &str) -> Option<Pair> {
        let live = self.name_folder(domain)?.join("live");
        Some(Pair { certificate: live.join("fullchain.pem"), key: live.join("privkey.pem") })
    }

    /// The name of the profile to ask for.
    pub fn profile_for(&self, domain: &str) -> Option<&str> {
        match self.profile.as_str() {
            "auto" => domain.parse::<IpAddr>().is_ok().then_some("shortlived"),
            profile => Some(profile),
        }
    }
}

fn read_sealing_key(section: &Section) -> Option<SealingKey> {
    let given = section.secret().ok().flatten()?;
    let key = SealingKey::of(&given.text);
    if key.is_none() {
        let what = format!("the secret of tls.acme has at least {} characters", sealing::SHORTEST);
        section.problem(given.key, what, Some("as of: openssl rand -base64 32"));
    }
    key
}

/// Names that no public authority knows: of this machine, of a house, or for examples (RFC 6761, RFC 8375).
fn is_private(domain: &str) -> bool {
    if let Ok(address) = domain.parse::<IpAddr>() {
        return match address {
            IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
            IpAddr::V6(ip) => {
                ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified()
            }
        };
    }
    let last = domain.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    const PRIVATE: [&str; 10] =
        ["localhost", "local", "test", "internal", "invalid", "example", "lan", "home", "corp", "localdomain"];
    !domain.contains('.') || PRIVATE.contains(&last) || domain.ends_with(".home.arpa")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_names_are_told_from_public_ones() {
        for name in
            ["localhost", "app", "app.test", "a.internal", "192.168.1.5", "10.0.0.1", "::1", "fd00::1", "x.home.arpa"]
        {
            assert!(is_private(name), "{name}");
        }
        for name in ["example.com", "a.b.co.uk", "203.0.113.5", "2001:db8::1", "test.dev"] {
            assert!(!is_private(name), "{name}");
        }
    }

    #[test]
    fn a_folder_for_each_authority_and_name() {
        let storage = Some(PathBuf::from("/s"));
        let config = AcmeConfig { storage, ..AcmeConfig::default() };
        let folder = config.name_folder("*.example.com").unwrap();
        assert_eq!(folder, PathBuf::from("/s/acme-v02.api.letsencrypt.org-directory/+.example.com"));
        let pair = config.pair("example.com").unwrap();
        assert!(pair.certificate.ends_with("example.com/live/fullchain.pem"), "{pair:?}");
        assert_eq!((config.profile_for("example.com"), config.profile_for("203.0.113.5")), (None, Some("shortlived")));
    }

    #[test]
    fn directories() {
        let parse = |text: &str| Directory::parse(&DeValue::String(text.into())).ok();
        assert_eq!(parse("letsencrypt").unwrap().host(), "acme-v02.api.letsencrypt.org");
        assert_eq!(parse("https://127.0.0.1:14000/dir").unwrap().folder(), "127.0.0.1:14000-dir");
        for wrong in ["", "letsencript", "http://ca.test/dir", "https://", "https://a@b/c", "https://a/b?c"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
