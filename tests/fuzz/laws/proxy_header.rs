//! The PROXY header: it is judged by its own bytes alone, neither sooner nor otherwise when more follows.

use doorway::listen::proxy_protocol::{HeaderVerdict, judge};

pub fn holds(bytes: &[u8]) {
    match judge(bytes) {
        HeaderVerdict::Header(length, client) => {
            assert!(length <= bytes.len());
            assert_eq!(judge(&bytes[..length]), HeaderVerdict::Header(length, client));
            for short in 0..length {
                assert_eq!(judge(&bytes[..short]), HeaderVerdict::Unfinished, "{short} of {length}");
            }
            let mut more = bytes[..length].to_vec();
            more.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!(judge(&more), HeaderVerdict::Header(length, client));
        }
        HeaderVerdict::Other => {
            let more = [bytes, b"\r\n"].concat();
            assert_eq!(judge(&more), HeaderVerdict::Other);
        }
        HeaderVerdict::Unfinished | HeaderVerdict::Malformed => {}
    }
}
