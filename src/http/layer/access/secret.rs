//! What of a path nobody may read who reads the log: clients of the hub that come by ordinary requests name their
//! connection in it by its private key, and whoever has that has the connection.

use std::borrow::Cow;

/// The parts of such a key: its connection's name, and the secret behind the sign.
const SIGN: char = '!';
const NAME_LEN: usize = 12;
const SECRET_LEN: usize = 22;

/// `path` with an ellipsis in place of each segment that is the key of a connection.
pub fn without_keys(path: &str) -> Cow<'_, str> {
    if !path.contains(SIGN) && !path.contains("%21") {
        return Cow::Borrowed(path);
    }
    let segments: Vec<&str> = path.split('/').map(|segment| if is_key(segment) { "…" } else { segment }).collect();
    Cow::Owned(segments.join("/"))
}

fn is_key(segment: &str) -> bool {
    let parts = segment.split_once(SIGN).or_else(|| segment.split_once("%21"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    parts.is_some_and(|(name, secret)| {
        name.len() == NAME_LEN && secret.len() == SECRET_LEN && name.bytes().chain(secret.bytes()).all(is_plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_left_out_and_nothing_else() {
        let key = format!("{}!{}", "a".repeat(NAME_LEN), "B-_9".repeat(6).split_at(SECRET_LEN).0);
        assert_eq!(without_keys(&format!("/comet/{key}/recv")), "/comet/…/recv");
        assert_eq!(
            without_keys(&format!("/api/ws:443/comet/{}/send", key.replace('!', "%21"))),
            "/api/ws:443/comet/…/send"
        );
        for path in ["/", "/wow!", "/a!b/c", "/!!!/x", "/hello%21/there"] {
            assert_eq!(without_keys(path), path);
        }
    }
}
