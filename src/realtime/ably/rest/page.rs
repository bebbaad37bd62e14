//! Pages of what there is: which part is asked for, and links to the others.

use crate::http::query::parameter;
use crate::realtime::ably::wire::error::AblyError;

/// Items of a page that does not say how many.
const DEFAULT_LIMIT: usize = 100;

/// Items of a page, at most.
pub const MAX_LIMIT: usize = 1_000;

/// Where a page begins; it is ours to read.
const CURSOR: &str = "cursor";

/// Not in links: whoever follows them shows it again.
const LEFT_OUT: [&str; 5] = [CURSOR, "key", "access_token", "accessToken", "envelope"];

/// The part that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    pub limit: usize,
    pub backwards: bool,
    /// Milliseconds since the Unix epoch, both ends too.
    pub from_ms: u64,
    pub to_ms: u64,
    pub cursor: Option<String>,
}

impl PageRequest {
    /// # Errors
    /// 40000 for what is no number, direction or time.
    pub fn read(query: Option<&str>) -> Result<PageRequest, AblyError> {
        let bad = |what: String| AblyError::new(40000, 400, what);
        let number = |name: &str| -> Result<Option<u64>, AblyError> {
            let Some(text) = parameter(query, name).filter(|text| !text.is_empty()) else { return Ok(None) };
            text.parse().map(Some).map_err(|_| bad(format!("Invalid {name}: {text:?} is no whole number")))
        };
        let limit = number("limit")?.map_or(DEFAULT_LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(bad(format!("Invalid limit: 1 to {MAX_LIMIT}")));
        }
        let backwards = match parameter(query, "direction").as_deref() {
            None | Some("" | "backwards") => true,
            Some("forwards") => false,
            Some(other) => return Err(bad(format!("Invalid direction: backwards or forwards, not {other:?}"))),
        };
        let (from_ms, to_ms) = (number("start")?.unwrap_or(0), number("end")?.unwrap_or(u64::MAX));
        if from_ms > to_ms {
            return Err(bad("Invalid start: it is later than end".to_owned()));
        }
        Ok(PageRequest { limit, backwards, from_ms, to_ms, cursor: parameter(query, CURSOR) })
    }

    /// The header that leads to the pages: the first, this one, and the `next`, if there is one.
    pub fn links(&self, last_segment: &str, query: Option<&str>, next: Option<&str>) -> String {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !name.is_empty() && !LEFT_OUT.contains(&name)
        });
        // Clients take a comma for the end of a link.
        let base =
            pairs.map(|pair| pair.replace(',', "%2C").replace(['<', '>', '"'], "")).collect::<Vec<_>>().join("&");
        let link = |rel: &str, cursor: Option<&str>| {
            let cursor = cursor.map(|cursor| {
                let encoded = percent_encoding::utf8_percent_encode(cursor, percent_encoding::NON_ALPHANUMERIC);
                format!("{CURSOR}={encoded}")
            });
            let parts = [Some(base.clone()).filter(|base| !base.is_empty()), cursor];
            let query = parts.into_iter().flatten().collect::<Vec<_>>().join("&");
            format!("<./{last_segment}?{query}>; rel=\"{rel}\"")
        };
        let current = self.cursor.as_deref();
        let mut links = vec![link("first", None), link("current", current)];
        links.extend(next.map(|next| link("next", Some(next))));
        links.join(", ")
    }

    /// The items of the page, of all that are in its order, each with a name by which it is found again; and the name of
    /// the last, where there are more.
    pub fn cut<T>(&self, all: Vec<T>, name: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let start = self.cursor.as_ref().and_then(|cursor| all.iter().position(|item| name(item) == *cursor));
        let mut rest = all.into_iter().skip(start.map_or(0, |index| index + 1));
        let items: Vec<T> = rest.by_ref().take(self.limit).collect();
        let more = rest.next().is_some();
        let next = items.last().filter(|_| more).map(name);
        (items, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_checked() {
        let page = PageRequest::read(Some("start=5&end=9&direction=forwards&limit=2&cursor=x%2Cy")).unwrap();
        let cursor = Some("x,y".to_owned());
        assert_eq!(page, PageRequest { limit: 2, backwards: false, from_ms: 5, to_ms: 9, cursor });
        let all = PageRequest { limit: 100, backwards: true, from_ms: 0, to_ms: u64::MAX, cursor: None };
        assert_eq!(PageRequest::read(None), Ok(all.clone()));
        assert_eq!(PageRequest::read(Some("limit=&direction=")), Ok(all));
        for bad in ["limit=0", "limit=1001", "limit=x", "limit=-1", "start=x", "start=9&end=5", "direction=up"] {
            assert_eq!(PageRequest::read(Some(bad)).unwrap_err().code, 40000, "{bad}");
        }
    }

    #[test]
    fn links_are_as_clients_read_them() {
        let query = Some("key=a.b:c&limit=2&channels=a,b&cursor=1&envelope=json");
        let page = PageRequest::read(query).unwrap();
        let links = page.links("messages", query, Some("1-2"));
        let expected = "<./messages?limit=2&channels=a%2Cb>; rel=\"first\", \
                        <./messages?limit=2&channels=a%2Cb&cursor=1>; rel=\"current\", \
                        <./messages?limit=2&channels=a%2Cb&cursor=1%2D2>; rel=\"next\"";
        assert_eq!(links, expected);
        assert_eq!(
            PageRequest::read(None).unwrap().links("x", None, None),
            "<./x?>; rel=\"first\", <./x?>; rel=\"current\""
        );
    }

    #[test]
    fn a_page_goes_on_behind_the_one_before() {
        let name = |item: &u8| item.to_string();
        let page = |cursor: Option<&str>| PageRequest {
            cursor: cursor.map(Into::into),
            ..PageRequest::read(Some("limit=2")).unwrap()
        };
        assert_eq!(page(None).cut(vec![1, 2, 3], name), (vec![1, 2], Some("2".into())));
        assert_eq!(page(Some("2")).cut(vec![1, 2, 3], name), (vec![3], None));
        assert_eq!(page(None).cut(vec![1, 2], name), (vec![1, 2], None));
    }
}
