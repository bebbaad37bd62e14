//! The PROXY header: it is judged by its own bytes alone, neither sooner nor otherwise when more follows.

use doorway::listen::proxy_protocol::{Verdict, judge};

pub fn holds(bytes: &[u8]) {
    match judge(bytes) {
        Verdict::Header(length, client) => {
            assert!(length <= bytes.len());
            assert_eq!(judge(&bytes[..length]), Verdict::Header(length, client));
            for short in 0..length {
                assert_eq!(judge(&bytes[..short]), Verdict::Unfinished, "{short} of {length}");
            }
            let mut more = bytes[..length].to_vec();
            more.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!(judge(&more), Verdict::Header(length, client));
        }
        Verdict::Other => {
            let more = [bytes, b"\r\n"].concat();
            assert_eq!(judge(&more), Verdict::Other);
        }
        Verdict::Unfinished | Verdict::Malformed => {}
    }
}
