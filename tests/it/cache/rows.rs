//! Promise: of each kind of answer that Next.js gives, what is everybody's is kept, and nobody is given another's.

use std::fs::read_to_string;

use serde_json::Value;

use super::{is_hit, kept, said};
use crate::harness::client::ask;
use crate::harness::{Door, door, next};

/// What becomes of a kind of answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Everybody is given the same.
    Kept,
    /// The app is asked each time.
    Passed,
    /// The same, since it says who asks.
    Personal,
}
use Fate::{Kept, Passed, Personal};

type Headers = &'static [(&'static str, &'static str)];

/// An address, the headers by which it means something else, the status of its answer, and what becomes of that.
pub type Row = (&'static str, Headers, u16, Fate);

pub const PAYLOAD: Headers = &[("rsc", "1")];
pub const PREFETCH: Headers =
    &[("rsc", "1"), ("next-router-prefetch", "1"), ("next-router-segment-prefetch", "/_tree")];

/// `BUILD` in an address is the name of the build.
const ROWS: &[Row] = &[
    ("/rows/static", &[], 200, Kept),
    ("/kept", &[], 200, Kept),
    ("/rows/missing", &[], 404, Kept),
    ("/rows/moved", &[], 307, Kept),
    ("/rows/cookies", &[], 200, Personal),
    ("/rows/query?q=1", &[], 200, Passed),
    ("/nothing", &[], 404, Passed),
    ("/rows/handler-static", &[], 200, Kept),
    ("/rows/handler-own", &[], 200, Kept),
    ("/rows/handler-cookie", &[], 200, Passed),
    ("/rows/handler-dynamic", &[], 200, Personal),
    ("/rows/handler-private", &[], 200, Personal),
    ("/rows/edge", &[], 200, Personal),
    ("/rows/edge-own", &[], 200, Kept),
    ("/kept-pages", &[], 200, Kept),
    ("/rows-props", &[], 200, Personal),
    ("/rows-plain", &[], 200, Passed),
    ("/_next/data/BUILD/kept-pages.json", &[], 200, Kept),
    ("/_next/data/BUILD/rows-props.json", &[], 200, Personal),
    ("/_next/data/another/kept-pages.json", &[], 404, Passed),
    ("/rows/static", PAYLOAD, 200, Kept),
    ("/rows/cookies", PAYLOAD, 200, Personal),
    ("/rows/static", PREFETCH, 200, Kept),
    ("/rows/cookies", PREFETCH, 200, Passed),
];

/// One who is signed in, and one who is not.
const VISITORS: [(&str, Headers); 2] = [("zoe-7", &[("cookie", "who=zoe-7")]), ("nobody", &[])];

/// One round in which `first` asks before `second`, at a host of its own.
pub async fn round(door: &Door, rows: &[Row], host: &'static str, build: &str, [first, second]: [usize; 2]) {
    for (target, headers, status, fate) in rows {
        let mut target = target.replace("BUILD", build);
        let by = |visitor: usize| [*headers, VISITORS[visitor].1, &[("host", host)]].concat();
        let probe = ask(door.http(), "GET", &target, &by(first), "").await;
        // The address that Next.js' own router would have asked for.
        if !headers.is_empty() && probe.status == 307 {
            target = probe.header("location");
        }
        probe.bytes().await;
        let row = format!("{target} {headers:?} at {host}");
        let answers = [first, second, first, second];
        for (turn, visitor) in answers.into_iter().enumerate() {
            let answer = ask(door.http(), "GET", &target, &by(visitor), "").await;
            assert_eq!(answer.status, *status, "{row}");
            assert!(!answer.headers.contains_key("x-doorway-entry"), "{row}");
            let (did, is_hit, cookie) = (said(&answer), is_hit(&answer), answer.header("set-cookie"));
            let body = String::from_utf8_lossy(&answer.bytes().await).into_owned();
            if *fate == Kept {
                assert!(turn == 0 || is_hit, "{row}: {did}");
                assert!(cookie.is_empty(), "{row}: {cookie}");
                kept(door, &target, &by(visitor)).await;
            } else {
                assert!(!is_hit, "{row}: {did}");
            }
            if *fate == Personal {
                let (name, other) = (VISITORS[visitor].0, VISITORS[1 - visitor].0);
                assert!(body.contains(name) && !body.contains(other), "{row}: {name} is told so");
            }
        }
    }
}

/// Drafts are for him who has the cookie, and neither they nor what clears a wrong one are kept.
async fn drafts(door: &Door, host: &'static str) {
    let page = "/rows/static";
    let by = |cookie: &'static str| [("host", host), ("cookie", cookie)];
    let enabled = ask(door.http(), "GET", "/api/draft", &[("host", host)], "").await;
    let cookie = enabled.header("set-cookie");
    let cookie = cookie.split(';').next().unwrap();
    assert!(cookie.starts_with("__prerender_bypass="), "{cookie}");
    for (cookie, expected) in
        [(cookie, "a draft"), ("__prerender_bypass=wrong", "for everybody"), ("who=zoe-7", "for everybody")]
    {
        let answer = ask(door.http(), "GET", page, &[("host", host), ("cookie", cookie)], "").await;
        assert_eq!(is_hit(&answer), cookie == "who=zoe-7", "{cookie}");
        let body = String::from_utf8(answer.bytes().await.to_vec()).unwrap();
        assert!(body.contains(expected), "{cookie}: {body}");
        kept(door, page, &by("who=zoe-7")).await;
    }
}

/// What a Server Action is answered is his who sent it, a page that is kept stays, and so it does of one that is not there.
async fn actions(door: &Door, host: &'static str) {
    let origin = format!("http://{host}");
    for (id, statuses) in [("40".repeat(21), [404, 409]), (String::new(), [405, 405])] {
        let mut headers =
            vec![("host", host), ("origin", origin.as_str()), ("content-type", "text/plain;charset=UTF-8")];
        if !id.is_empty() {
            headers.push(("next-action", &id));
        }
        let answer = ask(door.http(), "POST", "/rows/static", &headers, "[]").await;
        assert!(statuses.contains(&answer.status), "{}", answer.status);
        assert!(!is_hit(&answer));
        answer.bytes().await;
        kept(door, "/rows/static", &[("host", host)]).await;
    }
}

/// Nothing but those of `rows` that are to be has come to be kept behind anybody's back.
pub async fn nothing_else(door: &Door, rows: &[Row], build: &str) {
    let own = door.admin().to_string();
    let listing = ask(door.admin(), "GET", "/cache", &[("host", &own)], "").await.bytes().await;
    let listing: Value = serde_json::from_slice(&listing).unwrap();
    for entry in listing["entries"].as_array().unwrap() {
        let target = entry["target"].as_str().unwrap().split('?').next().unwrap().replace(build, "BUILD");
        let is_kept = rows.iter().any(|(row, _, _, fate)| *fate == Kept && row.split('?').next() == Some(&target));
        assert!(is_kept, "{entry}");
    }
}

async fn table(version: u8) {
    let app = next::own_app_of(version, true);
    let build = read_to_string(app.path().join(".next/BUILD_ID")).unwrap().trim().to_owned();
    // "Not found" is looked at more than once.
    let section = "[cache]\npaths = [\"*\"]\nmax_not_found = \"1h\"\n";
    let config = format!("[app]\ndir = \"{}\"\n{section}", app.path().display());
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    for (host, order) in [("signed-in-first.test", [0, 1]), ("signed-in-second.test", [1, 0])] {
        round(&door, ROWS, host, &build, order).await;
        drafts(&door, host).await;
        actions(&door, host).await;
    }
    nothing_else(&door, ROWS, &build).await;
}

#[tokio::test]
async fn of_next_15_what_is_everybodys_is_kept() {
    table(15).await;
}

#[tokio::test]
async fn of_next_16_what_is_everybodys_is_kept() {
    table(16).await;
}
