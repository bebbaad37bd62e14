//! Targets and names of hosts: each has one form, and the form of the form is itself.

use doorway::http::authority;
use doorway::http::path::{canonical, may_mean, resolved};
use doorway::http::target::{encoded, encoded_length, is_absolute_form, is_origin_form};
use http::uri::Scheme;

pub fn holds(bytes: &[u8]) {
    if let Ok(name) = authority::parse(bytes, &Scheme::HTTPS) {
        assert_eq!(authority::parse(name.as_str().as_bytes(), &Scheme::HTTPS).as_ref(), Ok(&name));
        assert!(name.port_u16() != Some(443) && !name.as_str().contains(['/', '@', ',', ' ', '%']));
    }
    let given = bytes;
    let bytes = &*encoded(given);
    if is_absolute_form(given) {
        assert_eq!(encoded_length(given), Some(bytes.len()));
        let uri = http::Uri::try_from(bytes).expect("what the door accepts is a URI");
        assert!(bytes.iter().all(u8::is_ascii_graphic) && !bytes.contains(&b'#'), "{uri}");
    }
    assert_eq!(is_origin_form(given), is_origin_form(bytes));
    if !is_origin_form(bytes) {
        return;
    }
    let uri = http::Uri::try_from(bytes).expect("what the door accepts is a URI");
    let Ok(spelling) = canonical(uri.path()) else { return };
    assert_eq!(canonical(&spelling).as_deref(), Ok(&*spelling));
    assert!(is_origin_form(spelling.as_bytes()), "{spelling}");
    assert!(!spelling.contains("//") && spelling.starts_with('/'), "{spelling}");
    assert!(spelling.split('/').all(|segment| segment != "." && segment != ".."), "{spelling}");
    assert!(may_mean(uri.path(), &spelling) && may_mean(&spelling, uri.path()));
    // What is sent on means what was decided by.
    let Ok(resolved) = resolved(uri.path()) else { return };
    assert_eq!(canonical(&resolved).as_deref(), Ok(&*spelling));
    assert!(is_origin_form(resolved.as_bytes()), "{resolved}");
    assert!(resolved.split('/').all(|segment| segment != "." && segment != ".."), "{resolved}");
}
