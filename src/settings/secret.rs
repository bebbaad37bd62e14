//! Secrets that a section gives in one of three ways, so that none has to stand in the file.

use std::path::PathBuf;

use super::{Section, variable};

/// A secret as it was given, and by which key.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenSecret {
    pub key: &'static str,
    pub text: String,
}

/// It was given wrongly, which is said already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadlyGiven;

impl Section<'_> {
    /// The secret in `secret`, in the file `secret_file`, or in the variable `secret_env`. Spaces around it are none of it.
    ///
    /// # Errors
    /// [`BadlyGiven`] where it is given more than once, or not where it is said to be.
    pub fn secret(&self) -> Result<Option<GivenSecret>, BadlyGiven> {
        let inline: Option<String> = self.optional("secret");
        let file: Option<PathBuf> = self.optional("secret_file");
        let name: Option<String> = self.optional("secret_env");
        let (key, text) = match (inline, file, name) {
            (None, None, None) => return Ok(None),
            (Some(text), None, None) => ("secret", text),
            (None, Some(file), None) => ("secret_file", self.text_of("secret_file", &file).ok_or(BadlyGiven)?),
            (None, None, Some(name)) => match variable(&name) {
                Some(text) => ("secret_env", text),
                None => {
                    let what = format!("neither the environment nor the project's .env files have {name}");
                    self.problem("secret_env", what, None);
                    return Err(BadlyGiven);
                }
            },
            _ => {
                let help = Some("give one of secret, secret_file and secret_env");
                self.problem("secret", "a secret is given once", help);
                return Err(BadlyGiven);
            }
        };
        Ok(Some(GivenSecret { key, text: text.trim().to_owned() }))
    }
}
