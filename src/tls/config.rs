//! The section `[tls]`.

use std::path::PathBuf;

use crate::settings::Section;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// PEM file with the certificate chain, leaf first. No default: TLS is off without one.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// Make a certificate for `localhost` at every start, for development. Default false.
    pub self_signed: bool,
}

impl Config {
    /// Looks at what the section names: both files must be there and readable.
    pub fn check(&self, section: &Section) {
        for (key, file) in [("certificate", &self.certificate), ("key", &self.key)] {
            let Some(file) = file else { continue };
            if let Err(error) = std::fs::read(file) {
                section.problem(key, format!("cannot read {}: {error}", file.display()), None);
            }
        }
    }

    pub fn read(section: &Section) -> Config {
        Config {
            certificate: section.optional("certificate"),
            key: section.optional("key"),
            self_signed: section.value("self_signed", false),
        }
    }
}
