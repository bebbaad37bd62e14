//! Promise: of Next.js 16 with `cacheComponents`, of languages, images and what is declared old behind an answer: with no
//! word in the config but for images, what is everybody's is kept, and nobody is given another's.

use std::fs::read_to_string;

use tempfile::TempDir;

use super::next::{made, millis};
use super::rows::Fate::{Kept, Passed, Personal};
use super::rows::{PAYLOAD, PREFETCH, Row, nothing_else, round};
use super::{is_hit, said, text, warm};
use crate::harness::client::ask;
use crate::harness::{Door, door, eventually, next};

const IMAGE: &str = "/_next/image?url=%2Fdoor.png&w=64&q=75";

/// `BUILD` in an address is the name of the build.
const ROWS: &[Row] = &[
    // `use cache` alone, of the build and of the first who asks.
    ("/cached", &[], 200, Kept),
    ("/cached/known", &[], 200, Kept),
    ("/cached/new", &[], 200, Kept),
    ("/cached", PAYLOAD, 200, Kept),
    ("/cached", PREFETCH, 200, Kept),
    // A shell for everybody with a hole for whoever asks.
    ("/part", &[], 200, Personal),
    ("/part", PAYLOAD, 200, Personal),
    ("/part", &[("rsc", "1"), ("next-router-prefetch", "1")], 404, Passed),
    ("/moment", &[], 200, Personal),
    ("/api/who", &[], 200, Personal),
    // Languages: which one `/` is in is chosen by who asks.
    ("/", &[], 200, Passed),
    ("/de", &[], 200, Kept),
    ("/about", &[], 200, Kept),
    ("/de/about", &[], 200, Kept),
    ("/_next/data/BUILD/de/about.json", &[], 200, Kept),
    (IMAGE, &[("accept", "image/webp,*/*")], 200, Kept),
    (IMAGE, &[("accept", "image/png")], 200, Kept),
];

/// A door with an app of its own, of which the manifests are known; the door ends first.
async fn start() -> (TempDir, Door) {
    let app = next::own_components_app();
    let config = format!("[app]\ndir = {:?}\n[cache]\npaths = [\"/_next/image\"]\n", app.path());
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    let known = [("host", "known.test")];
    eventually("a page is kept", async || is_hit(&ask(door.http(), "GET", "/cached", &known, "").await)).await;
    (app, door)
}

#[tokio::test]
async fn what_is_everybodys_is_kept() {
    let (app, door) = start().await;
    let build = read_to_string(app.path().join(".next/BUILD_ID")).unwrap().trim().to_owned();
    for (host, order) in [("signed-in-first.test", [0, 1]), ("signed-in-second.test", [1, 0])] {
        round(&door, ROWS, host, &build, order).await;
    }
    nothing_else(&door, ROWS, &build).await;
    // Of pages that the build names the first who asks gets what is kept.
    for page in ["/cached", "/about", "/de"] {
        let first = ask(door.http(), "GET", page, &[("host", "new.test")], "").await;
        assert_eq!(said(&first), "Doorway; fwd=uri-miss; stored", "{page}");
    }
}

#[tokio::test]
async fn a_language_is_chosen_for_each() {
    let (_app, door) = start().await;
    for turn in 0..3 {
        for (headers, status, body) in [
            (&[("accept-language", "de")][..], 307, "/de"),
            (&[("accept-language", "en")], 200, "home:en;"),
            (&[("accept-language", "en"), ("cookie", "NEXT_LOCALE=de")], 307, "/de"),
            (&[], 200, "home:en;"),
        ] {
            let answer = ask(door.http(), "GET", "/", headers, "").await;
            assert_eq!(said(&answer), "Doorway; fwd=bypass; detail=language", "{turn} {headers:?}");
            assert_eq!(answer.status, status, "{turn} {headers:?}");
            let place = answer.header("location");
            let shown = String::from_utf8(answer.bytes().await.to_vec()).unwrap();
            assert!(place == body || shown.contains(body), "{turn} {headers:?}: {place} {shown}");
        }
    }
    // Which language a page is in, its address says.
    for (target, body) in [("/about", "about:en;"), ("/de/about", "about:de;")] {
        warm(&door, target, &[]).await;
        assert!(text(&door, target, &[("accept-language", "de")]).await.contains(body), "{target}");
    }
}

#[tokio::test]
async fn each_kind_of_image_has_its_own() {
    let (_app, door) = start().await;
    let kinds = [("image/webp,*/*", "image/webp"), ("image/png", "image/png")];
    for (accept, _) in kinds {
        warm(&door, IMAGE, &[("accept", accept)]).await;
    }
    for (accept, kind) in kinds {
        let first = ask(door.http(), "GET", IMAGE, &[("accept", accept)], "").await;
        assert!(is_hit(&first), "{accept}: {}", said(&first));
        assert_eq!(first.header("content-type"), kind);
        let tag = first.header("etag");
        let again = ask(door.http(), "GET", IMAGE, &[("accept", accept), ("if-none-match", &tag)], "").await;
        assert_eq!((again.status, is_hit(&again)), (304, true), "{accept} {tag}");
    }
}

#[tokio::test]
async fn what_is_declared_old_behind_an_answer_is_heard() {
    let (_app, door) = start().await;
    for target in ["/cached", "/cached/known"] {
        warm(&door, target, &[]).await;
        let before = millis();
        ask(door.http(), "POST", "/api/after", &[], "").await.bytes().await;
        eventually("it is made anew", async || {
            let page = text(&door, target, &[]).await;
            made(&page.replace("known:", "")) >= before
        })
        .await;
    }
}
