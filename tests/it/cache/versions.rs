//! Promise: who is told that his change is done sees it, of Next.js 15 and 16, of both routers, by `next start` and as a
//! standalone build, and after a crash too.

use std::fs::read_to_string;

use tempfile::TempDir;

use super::next::{FORMS, PAGE, actions, change, made, millis};
use super::restarts::crash;
use super::{text, warm};
use crate::harness::client::ask;
use crate::harness::{Door, door, eventually, next};

/// Of the Pages Router.
const OTHER_PAGE: &str = "/kept-pages";

/// An app with a door before it; the door ends first.
struct Site {
    door: Door,
    app: TempDir,
}

/// An address, and the headers by which it means something else.
type Ask = (String, &'static [(&'static str, &'static str)]);

impl Site {
    fn start(version: u8, is_standalone: bool) -> Site {
        let app = next::own_app_of(version, is_standalone);
        let config = format!(
            "[app]\ndir = \"{}\"\nrestart_delay = \"10ms\"\nrestart_delay_max = \"10ms\"\n[cache]\npaths = [\"*\"]\n",
            app.path().display()
        );
        let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
        door.wait_for_log(|line| {
            line["message"].as_str().is_some_and(|message| message.starts_with("the app says what it declares old"))
        });
        Site { door, app }
    }

    /// The payload of the page, where its router asks for it.
    async fn payload(&self) -> Ask {
        let headers: Ask = (PAGE.to_owned(), &[("rsc", "1")]);
        let answer = ask(self.door.http(), "GET", PAGE, headers.1, "").await;
        (if answer.status == 307 { answer.header("location") } else { headers.0 }, headers.1)
    }

    fn data(&self) -> Ask {
        let build = read_to_string(self.app.path().join(".next/BUILD_ID")).unwrap();
        (format!("/_next/data/{}{OTHER_PAGE}.json", build.trim()), &[])
    }

    /// Has each of `addresses` kept; then all are to be newer than when this was called, once `change` is done.
    async fn sees(&self, addresses: &[&Ask], is_crashing: bool, what: &str, change: impl AsyncFnOnce()) {
        for (target, headers) in addresses {
            warm(&self.door, target, headers).await;
        }
        let before = millis();
        change().await;
        if is_crashing {
            crash(&self.door);
        }
        for (target, headers) in addresses {
            let body = text(&self.door, target, headers).await;
            // In a page, in a payload, or in JSON.
            let digits =
                body.split("made").nth(1).expect(&body).trim_start_matches(|char: char| !char.is_ascii_digit());
            let made: u128 = digits.split(|char: char| !char.is_ascii_digit()).next().unwrap().parse().expect(&body);
            assert!(made >= before, "{what}: {target} of {made} before {before}");
        }
    }

    /// What an edge route handler declares old is heard in Next.js 16 at once, and in 15 a moment later; so is what is
    /// declared behind an answer. First of all: Next.js 15 itself takes no word of an edge route handler for a tag that
    /// another has declared old before.
    async fn others(&self, version: u8) {
        let page = (PAGE.to_owned(), &[][..]);
        for (target, is_soon) in [("/rows/edge", version > 15), ("/api/kept?by=after", false)] {
            let post =
                async || assert_eq!(ask(self.door.http(), "POST", target, &[], "").await.status, 200, "{target}");
            if is_soon {
                self.sees(&[&page], false, target, post).await;
                continue;
            }
            warm(&self.door, PAGE, &[]).await;
            let before = millis();
            post().await;
            eventually(target, async || made(&text(&self.door, PAGE, &[]).await) >= before).await;
        }
    }

    /// Each way to declare something old; the first with a crash before the next read, so that the others are said by a
    /// process that has been told of it.
    async fn rounds(&self) {
        let door = &self.door;
        let (page, payload) = ((PAGE.to_owned(), &[][..]), self.payload().await);
        let (other, data) = ((OTHER_PAGE.to_owned(), &[][..]), self.data());
        let actions = actions(&text(door, FORMS, &[]).await);
        for round in 0..5 {
            let is_crashing = round == 0;
            let what = format!("round {round}");
            self.sees(&[&page, &payload], is_crashing, &what, async || change(door, round, &actions).await).await;
        }
        for is_crashing in [false, true] {
            self.sees(&[&other, &data], is_crashing, "res.revalidate", async || {
                let answer = ask(door.http(), "POST", "/api/kept-pages", &[], "").await;
                assert_eq!(answer.status, 200);
                answer.bytes().await;
            })
            .await;
        }
    }
}

#[tokio::test]
async fn of_next_15_as_a_standalone_build() {
    Site::start(15, true).rounds().await;
}

#[tokio::test]
async fn of_next_15_by_next_start() {
    let site = Site::start(15, false);
    site.others(15).await;
    site.rounds().await;
}

#[tokio::test]
async fn of_next_16_as_a_standalone_build() {
    Site::start(16, true).rounds().await;
}

#[tokio::test]
async fn of_next_16_by_next_start() {
    let site = Site::start(16, false);
    site.others(16).await;
    site.rounds().await;
}
