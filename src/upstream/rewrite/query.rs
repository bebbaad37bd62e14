//! Query parameters by which the parts of Next.js talk to each other end at the door.

use std::borrow::Cow;

use http::{Extensions, Uri};
use percent_encoding::percent_decode;

use crate::http::path;

const EXACT: &[&str] = &["nextInternalLocale", "__nextDataReq", "__nextLocale"];
const PREFIXES: &[&str] = &["nxtP", "nxtI"];

/// The target of a request as the app gets it.
pub fn sent_target<'a>(uri: &'a Uri, extensions: &'a Extensions) -> Cow<'a, str> {
    clean(path::resolved_target(uri, extensions))
}

/// `target` (a path with its query) without them; borrowed when there are none.
pub fn clean(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
    if !query.split('&').any(is_internal) {
        return Cow::Borrowed(target);
    }
    let mut cleaned = path.to_owned();
    let mut separator = '?';
    for parameter in query.split('&').filter(|parameter| !is_internal(parameter)) {
        cleaned.push(separator);
        cleaned.push_str(parameter);
        separator = '&';
    }
    Cow::Owned(cleaned)
}

/// By the name as Node decodes it. Next compares it letter by letter: `nxtpage` is the app's own.
fn is_internal(parameter: &str) -> bool {
    // Nearly every parameter ends here, by its first letter.
    if !matches!(parameter.as_bytes().first(), Some(b'n' | b'_' | b'%')) {
        return false;
    }
    let name = parameter.split('=').next().unwrap_or_default();
    let name: Cow<'_, [u8]> = percent_decode(name.as_bytes()).into();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
        || EXACT.iter().any(|exact| *name == *exact.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_parameters_are_stripped() {
        for (target, expected) in [
            ("/", "/"),
            ("/a?b=1&c", "/a?b=1&c"),
            ("/a?nxtPid=1", "/a"),
            ("/a?b=1&nxtIslug=2&c=3", "/a?b=1&c=3"),
            ("/a?nxtpage=2&NXTI=4&nextinternallocale=5&NxtP=1", "/a?nxtpage=2&NXTI=4&nextinternallocale=5&NxtP=1"),
            ("/a?%6extPid=1&b", "/a?b"),
            ("/a?nxt%50id=1&b", "/a?b"),
            ("/a?__nextDataReq=1&__nextLocale=de&nextInternalLocale=de", "/a"),
            ("/a?__nextDataReq", "/a"),
            ("/a?__nextdatareq", "/a?__nextdatareq"),
            ("/a?%6e%78%74%50=1&%4extP=2&__%6EextDataReq", "/a?%4extP=2"),
            ("/a?next=1&nx=2&name=nxtPid", "/a?next=1&nx=2&name=nxtPid"),
            ("/a?_rsc=1abc", "/a?_rsc=1abc"),
            ("/a?", "/a?"),
            ("/a?&&b", "/a?&&b"),
            ("/a?b=?nxtPid=1", "/a?b=?nxtPid=1"),
        ] {
            assert_eq!(clean(target), expected, "{target}");
        }
    }
}
