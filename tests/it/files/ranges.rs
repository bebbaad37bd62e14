//! Promise: a part is exactly the part that was asked for, and what the client holds is not sent again.

use crate::harness::{App, Door, Project, client, door};

const CHUNK: &str = "/_next/static/media/alphabet.txt";
const TEXT: &str = "abcdefghijklmnopqrstuvwxyz";

struct Site {
    door: Door,
    _app: App,
    _project: Project,
}

async fn site() -> Site {
    let app = App::saying("not asked").await;
    let project = Project::new();
    let file = project.write("media/alphabet.txt", TEXT);
    // As a build of some time ago: a date is a validator only when the second it names is over.
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().append(true).open(file).unwrap().set_modified(then).unwrap();
    let door = door().config(project.config(&app, "")).start();
    Site { door, _app: app, _project: project }
}

impl Site {
    async fn get(&self, headers: &[(&str, &str)]) -> client::Answer {
        client::get(self.door.http(), CHUNK, headers).await
    }
}

#[tokio::test]
async fn one_range_is_answered_with_that_part() {
    let site = site().await;
    for (range, said, text) in [
        ("bytes=0-0", "bytes 0-0/26", "a"),
        ("bytes=2-4", "bytes 2-4/26", "cde"),
        ("bytes=23-", "bytes 23-25/26", "xyz"),
        ("bytes=-2", "bytes 24-25/26", "yz"),
        ("bytes=-100", "bytes 0-25/26", TEXT),
        ("bytes=20-99999999999999999999", "bytes 20-25/26", "uvwxyz"),
        ("Bytes=0-1", "bytes 0-1/26", "ab"),
    ] {
        let answer = site.get(&[("range", range)]).await;
        assert_eq!((answer.status, answer.header("content-range")), (206, said.to_owned()), "{range}");
        assert_eq!(answer.header("content-length"), text.len().to_string());
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert!(!answer.header("etag").is_empty());
        assert_eq!(answer.bytes().await, text, "{range}");
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_416_and_says_the_length() {
    let site = site().await;
    for range in ["bytes=26-", "bytes=26-30", "bytes=-0", "bytes=99999999999999999999-"] {
        let answer = site.get(&[("range", range)]).await;
        assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */26".to_owned()), "{range}");
        let said = String::from_utf8(answer.bytes().await.to_vec()).unwrap();
        assert!(said.contains("no such range: Content-Range says how long"), "{said}");
    }
}

#[tokio::test]
async fn everything_else_is_answered_whole() {
    let site = site().await;
    for range in [
        "bytes=0-1,5-6",
        "bytes=0-1, 2-3",
        "bytes=4-2",
        "bytes=a-b",
        "bytes=",
        "bytes",
        "bytes=-",
        "bytes=1-2-3",
        "bytes=+1-2",
        "items=0-1",
        "bytes=0x1-2",
        "bytes 0-1",
        "=0-1",
        "bytes==0-1",
        "bytes=0-1;q=1",
    ] {
        let answer = site.get(&[("range", range)]).await;
        assert_eq!((answer.status, answer.header("content-range")), (200, String::new()), "{range}");
        assert_eq!(answer.bytes().await, TEXT, "{range}");
    }
    let twice = site.get(&[("range", "bytes=0-1"), ("range", "bytes=2-3")]).await;
    assert_eq!((twice.status, twice.bytes().await), (200, TEXT.into()));
    let head = client::ask(site.door.http(), "HEAD", CHUNK, &[("range", "bytes=0-1")], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, "26".to_owned()), "ranges are for GET");
}

#[tokio::test]
async fn what_the_client_holds_is_304() {
    let site = site().await;
    let first = site.get(&[]).await;
    let (tag, modified) = (first.header("etag"), first.header("last-modified"));
    let weak = format!("W/{tag}");
    let listed = format!("\"other\", {tag}");
    for headers in [
        vec![("if-none-match", tag.as_str())],
        vec![("if-none-match", weak.as_str())],
        vec![("if-none-match", listed.as_str())],
        vec![("if-none-match", "*")],
        vec![("if-modified-since", modified.as_str())],
        vec![("if-none-match", tag.as_str()), ("range", "bytes=0-1")],
        vec![("if-none-match", tag.as_str()), ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
    ] {
        let answer = site.get(&headers).await;
        assert_eq!(answer.status, 304, "{headers:?}");
        assert_eq!(answer.header("etag").trim_start_matches("W/"), tag);
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        for absent in ["content-type", "content-length", "content-encoding"] {
            assert_eq!(answer.header(absent), "", "{absent}");
        }
        assert_eq!(answer.bytes().await, "");
        let head = client::ask(site.door.http(), "HEAD", CHUNK, &headers, "").await;
        assert_eq!(head.status, 304, "HEAD {headers:?}");
    }
    for headers in [
        vec![("if-none-match", "\"other\"")],
        vec![("if-none-match", "\"other\""), ("if-modified-since", modified.as_str())],
        vec![("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
        vec![("if-modified-since", "yesterday")],
        vec![("if-match", tag.as_str())],
        vec![("if-match", "*")],
        vec![("if-unmodified-since", modified.as_str())],
    ] {
        assert_eq!(site.get(&headers).await.status, 200, "{headers:?}");
    }
    for headers in [
        vec![("if-match", "\"other\"")],
        vec![("if-match", weak.as_str())],
        vec![("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
    ] {
        let answer = site.get(&headers).await;
        assert_eq!(answer.status, 412, "{headers:?}");
        let said = String::from_utf8(answer.bytes().await.to_vec()).unwrap();
        assert!(said.contains("not the version that If-Match or If-Unmodified-Since names"), "{said}");
    }
}

#[tokio::test]
async fn a_download_goes_on_only_where_it_is_the_same_file() {
    let site = site().await;
    let first = site.get(&[]).await;
    let (tag, modified) = (first.header("etag"), first.header("last-modified"));
    let weak = format!("W/{tag}");
    for (validator, status) in [
        (tag.as_str(), 206),
        (modified.as_str(), 206),
        (weak.as_str(), 200),
        ("\"other\"", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("nonsense", 200),
    ] {
        let answer = site.get(&[("range", "bytes=20-"), ("if-range", validator)]).await;
        assert_eq!(answer.status, status, "{validator}");
        assert_eq!(answer.bytes().await, if status == 206 { &TEXT[20..] } else { TEXT });
    }
}

#[tokio::test]
async fn a_part_of_a_compressed_form_is_a_part_of_that_form() {
    let app = App::saying("not asked").await;
    let project = Project::new();
    let text = "All the world's a stage. ".repeat(400);
    project.write("media/alphabet.txt", &text);
    let site = Site { door: door().config(project.config(&app, "")).start(), _app: app, _project: project };
    let accept = ("accept-encoding", "gzip");
    crate::harness::eventually("the form is made", || async {
        !site.get(&[accept]).await.header("etag").starts_with("W/")
    })
    .await;
    let whole = site.get(&[accept]).await;
    let tag = whole.header("etag");
    let whole = whole.bytes().await;
    let part = site.get(&[accept, ("range", "bytes=10-19"), ("if-range", &tag)]).await;
    assert_eq!((part.status, part.header("content-encoding"), part.header("etag")), (206, "gzip".into(), tag.clone()));
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", whole.len()));
    assert_eq!(part.bytes().await, whole.slice(10..20));
    let plain = site.get(&[("range", "bytes=0-2"), ("if-range", &tag)]).await;
    assert_eq!(plain.status, 200, "the plain form is another representation");
    let held = site.get(&[accept, ("if-none-match", &tag)]).await;
    assert_eq!((held.status, held.header("etag")), (304, tag.clone()));
    let plain_tag = site.get(&[]).await.header("etag");
    let held = site.get(&[accept, ("if-none-match", &plain_tag)]).await;
    assert_eq!((held.status, held.header("etag")), (304, plain_tag.clone()), "it holds a form it may use");
    let held = site.get(&[("if-none-match", &tag)]).await;
    assert_eq!(held.status, 200, "it holds a form that it does not accept now");
}
