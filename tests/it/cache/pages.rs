//! Promise: pages that Next.js keeps itself are kept with no word in the config, but for those that something of the app
//! looks at first.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{is_hit, said, text};
use crate::harness::client::{Answer, ask};
use crate::harness::{Door, door, eventually, next};

/// A door with the test app, of whose cache the config says no more than `section`.
fn start(section: &str) -> (TempDir, Door) {
    let app = next::own_test_app();
    let config = format!("[app]\ndir = {:?}\n{section}\n", app.path());
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    (app, door)
}

async fn get(door: &Door, target: &str, headers: &[(&str, &str)]) -> Answer {
    ask(door.http(), "GET", target, headers, "").await
}

/// Waits until the door knows the build, and keeps `/kept`.
async fn known(door: &Door) {
    eventually("the page is kept", || async { is_hit(&get(door, "/kept", &[]).await) }).await;
}

#[tokio::test]
async fn a_page_costs_the_app_one_request() {
    let (_app, door) = start("");
    known(&door).await;
    let fetched = "cache_fetches_total{outcome=\"kept\"}";
    let before = door.metric(fetched).await;
    for (page, status) in [("/kept/first", 200), ("/kept/second", 200), ("/kept/none", 404)] {
        let first = get(&door, page, &[]).await;
        assert_eq!((first.status, said(&first)), (status, "Doorway; fwd=uri-miss; stored".to_owned()), "{page}");
        let body = first.bytes().await;
        let again = get(&door, page, &[("cookie", "session=a")]).await;
        assert!(is_hit(&again), "{page}: {}", said(&again));
        assert_eq!((again.status, again.bytes().await), (status, body), "{page}");
    }
    assert_eq!(door.metric(fetched).await, before + 3.0);
    let away = get(&door, "/kept/away", &[]).await;
    // Next.js says it twice where it makes the answer.
    assert_eq!((away.status, away.headers["location"].to_str().unwrap()), (307, "/moved"));
}

#[tokio::test]
async fn what_somebody_of_the_app_looks_at_goes_past_it() {
    let (_app, door) = start("");
    known(&door).await;
    for page in ["/", "/isr", "/cookies"] {
        for _ in 0..2 {
            let answer = get(&door, page, &[]).await;
            assert_eq!(said(&answer), "Doorway; fwd=bypass; detail=proxy", "{page}");
            assert_eq!(answer.header("x-app-proxy"), "seen", "{page}");
        }
    }
    for _ in 0..2 {
        for (cookie, status) in [("beta=1", 307), ("alpha=1", 200)] {
            let answer = get(&door, "/kept/rule", &[("cookie", cookie)]).await;
            assert_eq!((answer.status, said(&answer)), (status, "Doorway; fwd=bypass; detail=rule".to_owned()));
        }
    }
    assert_eq!(door.metric("cache_bypasses_total{reason=\"proxy\"}").await, 6.0);
    assert_eq!(door.metric("cache_bypasses_total{reason=\"rule\"}").await, 4.0);
    for who in ["a", "b", "a"] {
        let page = text(&door, "/kept/who", &[("cookie", &format!("session={who}"))]).await;
        assert!(page.contains(&format!("who:{who};")) || page.contains(&format!("{who}<!-- -->;")), "{page}");
    }
    assert!(text(&door, "/kept/who", &[]).await.contains("nobody"));
    // A draft, whatever its cookie says, and who says who it is.
    for (name, value, reason) in
        [("cookie", "__prerender_bypass=x", "preview"), ("authorization", "Basic YTpi", "authorization")]
    {
        let answer = get(&door, "/kept", &[(name, value)]).await;
        assert_eq!(said(&answer), format!("Doorway; fwd=bypass; detail={reason}"));
    }
}

#[tokio::test]
async fn a_payload_is_kept_beside_its_page() {
    let (_app, door) = start("");
    known(&door).await;
    let rsc: &[_] = &[("rsc", "1")];
    // The address that Next.js itself leads to.
    let led = get(&door, "/kept", rsc).await;
    let place = if led.status == 307 { led.header("location") } else { "/kept".to_owned() };
    eventually("the payload is kept", || async { is_hit(&get(&door, &place, rsc).await) }).await;
    let (payload, page) = (get(&door, &place, rsc).await, get(&door, &place, &[]).await);
    assert_eq!(payload.header("content-type"), "text/x-component");
    assert!(page.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn nothing_is_kept_where_that_is_off_or_nothing_is_heard() {
    for (section, clause) in [("[cache]\npages = false", "[cache] pages is off"), ("[cache]\nhook = false", "hears")] {
        let (_app, door) = start(section);
        for _ in 0..3 {
            assert!(!get(&door, "/kept", &[]).await.headers.contains_key("cache-status"), "{section}");
        }
        let listing: Value = serde_json::from_str(&admin(&door, "GET", "/cache").await).unwrap();
        assert!(listing["pages"].as_str().unwrap().contains(clause), "{listing}");
    }
}

async fn admin(door: &Door, method: &str, path: &str) -> String {
    let answer = ask(door.admin(), method, path, &[("host", "localhost")], "").await;
    assert_eq!(answer.status, 200, "{path}");
    String::from_utf8(answer.bytes().await.to_vec()).unwrap()
}

#[tokio::test]
async fn the_operator_is_told_which_pages_and_why() {
    let (_app, door) = start("");
    known(&door).await;
    let listing: Value = serde_json::from_str(&admin(&door, "GET", "/cache").await).unwrap();
    let pages = listing["pages"].as_str().unwrap();
    assert!(pages.contains("that Next.js makes before anybody asks, a proxy.ts looks at "), "{pages}");
    assert!(pages.ends_with("a rule of next.config looks at 1"), "{pages}");
    for (url, would, words) in [
        ("/kept", true, "good for"),
        ("/isr", false, "proxy.ts"),
        ("/kept/rule", false, "next.config"),
        ("/kept/who", false, "none that Next.js keeps itself"),
    ] {
        let why: Value = serde_json::from_str(&admin(&door, "GET", &format!("/cache/why?url={url}")).await).unwrap();
        assert_eq!(why["would_be_kept"], would, "{url}: {why}");
        assert!(why["why"].as_str().unwrap().contains(words), "{url}: {why}");
    }
}

/// Another build by its marks, in which the proxy looks at every path.
fn look_at_all(app: &Path) {
    let dist = app.join(".next");
    let manifest = dist.join("server/functions-config-manifest.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    value["functions"]["/_middleware"]["matchers"] =
        serde_json::json!([{ "regexp": "^.*$", "originalSource": "/:path*" }]);
    fs::write(&manifest, value.to_string()).unwrap();
    let name = dist.join("BUILD_ID");
    let text = fs::read(&name).unwrap();
    fs::remove_file(&name).unwrap();
    fs::write(&name, text).unwrap();
}

#[tokio::test]
async fn another_build_is_judged_by_its_own_manifests() {
    let (app, door) = start("skew = \"0s\"");
    known(&door).await;
    look_at_all(app.path());
    let outcome = admin(&door, "POST", "/reload").await;
    eventually("the build with its proxy answers", || async {
        get(&door, "/kept", &[]).await.headers.contains_key("x-app-proxy")
    })
    .await;
    for _ in 0..3 {
        let answer = get(&door, "/kept", &[]).await;
        assert_eq!(answer.header("x-app-proxy"), "seen", "{outcome}");
        assert!(!is_hit(&answer));
    }
    eventually("its manifests are known", || async {
        let answer = get(&door, "/kept", &[]).await;
        answer.headers.contains_key("cache-status") && said(&answer).ends_with("detail=proxy")
    })
    .await;
}
