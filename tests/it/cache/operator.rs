//! Promise: who runs the door sees what is kept and why, and declares it old.

use serde_json::{Value, json};

use super::{Script, is_hit, keeping, warm};
use crate::harness::client::{Answer, ask};
use crate::harness::{App, Door, response};

const PAGE: &str = "/a?cache-control=s-maxage%3D600&cache-tag=one";

async fn asked(door: &Door, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let host = door.admin().to_string();
    let headers = [headers, &[("host", host.as_str())]].concat();
    ask(door.admin(), method, path, &headers, "").await
}

async fn why(door: &Door, url: &str) -> Value {
    let answer =
        asked(door, "GET", &format!("/cache/why?url={}", url.replace('%', "%25").replace('&', "%26")), &[]).await;
    assert_eq!(answer.status, 200, "{url}");
    serde_json::from_slice(&answer.bytes().await).unwrap()
}

#[tokio::test]
async fn why_says_what_the_app_says() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"/a\", \"/b\"]");
    for (url, would, words) in [
        (PAGE, true, "good for "),
        ("/a?cache-control=private", false, "declare"),
        ("/a?cache-control=no-store,%20s-maxage%3D5", false, "declare"),
        ("/a", false, "s-maxage"),
        ("/a?cache-control=s-maxage%3D5&set-cookie=a%3Db", false, "sets a cookie"),
        ("/a?cache-control=s-maxage%3D5&vary=cookie", false, "Vary"),
        ("/a?cache-control=s-maxage%3D5&status=201", false, "status"),
        ("/a?cache-control=s-maxage%3D5&status=500", false, "no proper answer"),
        ("/a?cache-control=s-maxage%3D5&x-nextjs-cache=STALE", false, "no proper answer"),
        ("/a?cache-control=s-maxage%3D5&content-type=text/x-component", false, "another kind"),
        ("/c", false, "no pattern"),
    ] {
        let told = why(&door, url).await;
        assert_eq!(told["would_be_kept"], json!(would), "{url}: {told}");
        assert!(told["why"].as_str().unwrap().contains(words), "{url}: {told}");
        assert_eq!(told["kept"], json!([]), "{url}: nothing is kept by being asked about");
    }
    warm(&door, PAGE, &[("host", "site.test")]).await;
    assert_eq!(why(&door, PAGE).await["kept"][0]["tags"], json!(["one"]));
    assert_eq!(why(&door, &format!("http://site.test{PAGE}")).await["kept"][0]["state"], "fresh");
    assert_eq!(why(&door, &format!("http://other.test{PAGE}")).await["kept"], json!([]));
    for url in ["", "a", "http://", "/%zz"] {
        let answer = asked(&door, "GET", &format!("/cache/why?url={url}"), &[]).await;
        assert!(answer.status == 400 || answer.status == 200, "{url}: {}", answer.status);
    }
    assert_eq!(asked(&door, "GET", "/cache/why", &[]).await.status, 400);
}

#[tokio::test]
async fn one_is_declared_old() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    let own = format!("http://{}", door.admin());
    for (method, target, origin, status, is_gone) in [
        ("GET", "/cache/purge?path=/a", None, 405, false),
        ("POST", "/cache/purge", None, 400, false),
        ("POST", "/cache/purge?path=a", None, 400, false),
        ("POST", "/cache/purge?path=/a&tag=one", None, 400, false),
        ("POST", "/cache/purge?path=/a", Some("http://evil.test"), 403, false),
        ("POST", "/cache/purge?path=/a", Some("null"), 403, false),
        ("POST", "/cache/purge?path=/b", None, 200, false),
        ("POST", "/cache/purge?path=%2Fa", None, 200, true),
        ("POST", "/cache/purge?path=/a", Some(own.as_str()), 200, true),
        ("POST", "/cache/purge?tag=one", None, 200, true),
        ("POST", "/cache/purge?all=1", None, 200, true),
    ] {
        warm(&door, PAGE, &[]).await;
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        assert_eq!(asked(&door, method, target, &headers).await.status, status, "{method} {target} {origin:?}");
        let is_kept = is_hit(&ask(door.http(), "GET", PAGE, &[], "").await);
        assert_eq!(!is_kept, is_gone, "{method} {target} {origin:?}");
    }
}

#[tokio::test]
async fn a_page_shows_it_to_people() {
    let app = App::start(|_| async {
        let mut answer = response(200, "page");
        answer.headers_mut().insert("cache-control", "s-maxage=600".parse().unwrap());
        answer.headers_mut().insert("cache-tag", "<b>x".parse().unwrap());
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"/a*\"]");
    warm(&door, "/a'b?c", &[]).await;
    let html = [("accept", "text/html,*/*;q=0.8")];
    let page = asked(&door, "GET", "/cache?url=/nothing", &html).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let text = String::from_utf8(page.bytes().await.to_vec()).unwrap();
    for words in ["1 answers", "&lt;b&gt;", "path=%2Fa%27b", "/a'b?c", "would not be kept"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("<b>x") && !text.contains("<script>"), "{text}");
    let answer = asked(&door, "POST", "/cache/purge?path=%2Fa%27b", &html).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/cache".to_owned()));
}
