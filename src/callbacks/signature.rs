//! Signatures as Standard Webhooks 1.0 says, so that the app checks them with the npm library `standardwebhooks`.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PREFIX: &str = "whsec_";

/// The key that signs callbacks. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Not a secret as Standard Webhooks writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is \"whsec_\" and 24 to 64 bytes in base64")]
pub struct BadSecret;

impl Secret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// [`BadSecret`] when it is not base64, or not 24 to 64 bytes long.
    pub fn parse(text: &str) -> Result<Secret, BadSecret> {
        let key = text.trim().strip_prefix(PREFIX).ok_or(BadSecret)?;
        let key = STANDARD.decode(key).map_err(|_| BadSecret)?;
        if (24..=64).contains(&key.len()) { Ok(Secret(key)) } else { Err(BadSecret) }
    }

    /// A new secret of 32 random bytes.
    pub fn generate() -> Secret {
        let mut key = vec![0; 32];
        SystemRandom::new().fill(&mut key).expect("the system gives random bytes");
        Secret(key)
    }

    /// As the app's environment gets it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The value of `x-doorway-callback`, in base64: by it an app's route knows the door without reading the body.
    ///
    /// The door takes this header from whatever comes from outside, so its being there would do for an app that is
    /// reached through the door alone. That it is made of the secret makes it hold on a port that others reach too; and
    /// both sides know it as soon as they share the secret: a supervised app from its environment, one that somebody
    /// else starts from the same setting, through reloads, deploys and restarts of either side, with nothing more to
    /// configure. It gives nothing of the secret away, and forges no signature.
    pub fn badge(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        STANDARD.encode(hmac::sign(&key, b"x-doorway-callback").as_ref())
    }

    /// The value of `webhook-signature` for one attempt. `timestamp` in seconds since the Unix epoch.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign().as_ref()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// A new `webhook-id`.
pub fn message_id() -> String {
    format!("msg_{}", uuid::Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn it_signs_as_the_reference_does() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_read_back_and_bad_ones_are_refused() {
        let secret = Secret::generate();
        assert_eq!(Secret::parse(&secret.reveal()), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        for bad in ["", "whsec_", "whsec_!!!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ="] {
            assert_eq!(Secret::parse(bad), Err(BadSecret), "{bad}");
        }
    }
}
