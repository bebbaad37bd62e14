//! Who asks: `auth_key`, `auth_timestamp`, `auth_version`, `body_md5` and `auth_signature`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use http::request::Parts;
use md5::{Digest, Md5};
use percent_encoding::percent_decode_str;

use super::ApiError;
use crate::http::path::sent_path;
use crate::realtime::pusher::key::{AppKey, hex};

/// How far the two clocks may differ, in seconds: for so long a request can be sent again.
const TIMESTAMP_WINDOW: u64 = 600;

/// The parameters of a query, by name.
pub type Parameters = BTreeMap<String, String>;

/// A request whose signature is right; its body is still to be compared.
#[derive(Debug)]
pub struct Signed {
    pub parameters: Parameters,
}

impl Signed {
    /// # Errors
    /// 401 when the body is not the one that was signed.
    pub fn check_body(&self, body: &[u8]) -> Result<(), ApiError> {
        match self.parameters.get("body_md5") {
            None if body.is_empty() => Ok(()),
            None => Err(ApiError::unauthorised("Missing parameter: body_md5")),
            Some(md5) if md5.eq_ignore_ascii_case(&hex(&Md5::digest(body))) => Ok(()),
            Some(_) => Err(ApiError::unauthorised("Invalid body_md5: it is not that of this body")),
        }
    }
}

/// Checks that one of `keys` signed the request; `path` is its path from `/apps` on.
///
/// # Errors
/// 400 and 401.
pub fn check(keys: &[AppKey], head: &Parts, path: &str) -> Result<Signed, ApiError> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let sent = sent_path(&head.uri, &head.extensions);
    let suffix = sent.find("/apps/").map_or(sent, |place| &sent[place..]);
    let paths = [path, head.uri.path(), suffix, sent];
    check_at(keys, head.method.as_str(), &paths, head.uri.query().unwrap_or_default(), seconds)
}

/// `paths` are the spellings that may have been signed, the one to recommend first.
fn check_at(keys: &[AppKey], method: &str, paths: &[&str], query: &str, now: u64) -> Result<Signed, ApiError> {
    let raw: Parameters = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let parameters: Parameters = raw.iter().map(|(name, value)| (decode(name), decode(value))).collect();
    let needed = |name: &str| {
        let value = parameters.get(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| ApiError::unauthorised(format!("Missing parameter: {name}")))
    };
    let (id, signature) = (needed("auth_key")?, needed("auth_signature")?);
    let (timestamp, version) = (needed("auth_timestamp")?, needed("auth_version")?);
    if version != "1.0" {
        return Err(ApiError::bad("auth_version must be 1.0"));
    }
    let key = keys.iter().find(|key| key.id() == id);
    let key = key.ok_or_else(|| ApiError::unauthorised("Unknown auth_key"))?;
    let seconds: u64 = timestamp.parse().map_err(|_| ApiError::bad("auth_timestamp is a time in seconds"))?;
    // Libraries differ in whether they sign path and values as they are or as they travel.
    let is_signed = |path: &str| {
        [&parameters, &raw].iter().any(|values| key.verify(&[text(method, path, values).as_bytes()], signature))
    };
    let is_first = |place: usize| !paths[..place].contains(&paths[place]);
    if !(0..paths.len()).any(|place| is_first(place) && is_signed(paths[place])) {
        let expected = text(method, paths.first().copied().unwrap_or_default(), &parameters);
        let words = format!(
            "Invalid signature: you should have sent HmacSHA256Hex({expected:?}, your_secret_key), but you sent {signature:?}"
        );
        return Err(ApiError::unauthorised(words));
    }
    if seconds.abs_diff(now) > TIMESTAMP_WINDOW {
        let words = format!(
            "Timestamp expired: {seconds} is not within {TIMESTAMP_WINDOW} s of the server's time, which is {now}"
        );
        return Err(ApiError::unauthorised(words));
    }
    Ok(Signed { parameters })
}

/// What is signed.
fn text(method: &str, path: &str, parameters: &Parameters) -> String {
    let mut lowered: Vec<_> = parameters.iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    lowered.sort();
    let pairs = lowered.iter().filter(|(name, _)| name != "auth_signature");
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{method}\n{path}\n{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Pusher's own documentation.
    const PATH: &str = "/apps/3/events";
    const QUERY: &str = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&\
                         body_md5=ec365a775a4cd0599faeb73354201b6f&\
                         auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";

    fn keys() -> [AppKey; 2] {
        [AppKey::new("other", "x"), AppKey::new("278d425bdf160c739803", "7ad3773142a6692b25b8")]
    }

    fn status(method: &str, path: &str, query: &str, now: u64) -> Result<(), u16> {
        check_at(&keys(), method, &[path, path], query, now).map(drop).map_err(|no| no.status())
    }

    #[test]
    fn the_documented_request_is_let_in() {
        let signed = check_at(&keys(), "POST", &[PATH, PATH], QUERY, 1_353_088_179).unwrap();
        let body = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        assert_eq!(signed.check_body(body), Ok(()));
        assert_eq!(signed.check_body(b"{}").map_err(|no| no.status()), Err(401));
        assert_eq!(signed.check_body(b"").map_err(|no| no.status()), Err(401));
        let whole = "/api/ws/apps/3/events";
        assert!(check_at(&keys(), "POST", &[PATH, whole], QUERY, 1_353_088_179).is_ok(), "below another path");
    }

    #[test]
    fn whatever_is_changed_is_refused() {
        let then = 1_353_088_179;
        assert_eq!(status("POST", PATH, QUERY, then + 600), Ok(()));
        assert_eq!(status("POST", PATH, QUERY, then + 601), Err(401), "too old: sent again");
        assert_eq!(status("POST", PATH, QUERY, then - 601), Err(401), "of the future");
        assert_eq!(status("GET", PATH, QUERY, then), Err(401));
        assert_eq!(status("POST", "/apps/4/events", QUERY, then), Err(401));
        for (from, to, expected) in [
            ("ec365a", "ec365b", 401),
            ("da454824", "da454825", 401),
            ("1353088179", "1353088180", 401),
            ("1353088179", "yesterday", 400),
            ("278d425b", "278d425c", 401),
            ("auth_version=1.0", "auth_version=2.0", 400),
            ("auth_version=1.0", "auth_version=1.0&more=1", 401),
            ("auth_key=", "key=", 401),
            ("auth_signature=", "signature=", 401),
            ("auth_timestamp=", "timestamp=", 401),
        ] {
            assert_eq!(status("POST", PATH, &QUERY.replace(from, to), then), Err(expected), "{from} {to}");
        }
        assert_eq!(status("POST", PATH, "", then), Err(401));
        assert_eq!(status("POST", PATH, "&&=&a", then), Err(401));
    }

    #[test]
    fn values_may_be_signed_as_they_are_or_as_they_travel() {
        let key = AppKey::new("k", "s");
        for info in ["a,b", "a%2Cb"] {
            let signed = format!("auth_key=k&auth_timestamp=1&auth_version=1.0&info={info}");
            let signature = key.sign(&[format!("GET\n/apps/1/channels\n{signed}").as_bytes()]);
            let query = format!("auth_key=k&auth_timestamp=1&auth_version=1.0&info=a%2Cb&auth_signature={signature}");
            let signed = check_at(std::slice::from_ref(&key), "GET", &["/apps/1/channels"], &query, 1).unwrap();
            assert_eq!(signed.parameters["info"], "a,b");
        }
    }
}
