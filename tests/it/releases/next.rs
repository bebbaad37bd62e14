//! Promise: builds of the real Next.js that were made elsewhere are released, and rolled back, while it is asked.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::site::Site;
use serde_json::Value;

use crate::harness::{Door, client, next};

/// The page, and the first chunk that it names.
async fn page(door: &Door) {
    let answer = client::get(door.http(), "/isr", &[]).await;
    assert_eq!(answer.status, 200, "{}", door.output());
    let text = String::from_utf8_lossy(&answer.bytes().await).into_owned();
    let chunk = text.split("\"/_next/static/chunks/").nth(1).and_then(|rest| rest.split(['"', '?']).next());
    let chunk = format!("/_next/static/chunks/{}", chunk.expect("a chunk"));
    assert_eq!(client::get(door.http(), &chunk, &[]).await.status, 200, "{chunk}");
}

#[tokio::test]
async fn builds_of_next_made_elsewhere_are_released() {
    let (site, elsewhere, app) = (Site::new(), tempfile::tempdir().unwrap(), next::test_app());
    for name in ["package.json", "next.config.ts", "tsconfig.json"] {
        fs::copy(app.join(name), elsewhere.path().join(name)).unwrap();
    }
    symlink(app.join("node_modules"), elsewhere.path().join("node_modules")).unwrap();
    let copied = Command::new("cp").arg("-R").arg(app.join(".next")).arg(elsewhere.path().join(".next")).status();
    assert!(copied.unwrap().success());
    let folder = elsewhere.path().to_str().unwrap();
    let door = site.door("check = [\"/isr\"]").env("NEXT_TELEMETRY_DISABLED", "1").start();
    let mut ids = Vec::new();
    for number in 0..2 {
        let said = site.run(&["deploy", "--no-build", folder]).await.well();
        assert!(said.contains("its build was made already\n"), "{said}");
        // The first takes nobody's place.
        assert_eq!(said.contains("asking the new app for /isr\n"), number > 0, "{said}");
        ids.push(site.live().unwrap());
        page(&door).await;
    }
    // What runs is the folder of its own, though both builds have one name.
    let runs = |release: &str| {
        let folder = site.folder(release).canonicalize().unwrap().display().to_string();
        let is_now = |line: &Value| line["now"].as_str().unwrap_or_default().contains(&folder);
        door.wait_for_log(|line| line["message"] == "app replaced" && is_now(line));
    };
    runs(&ids[1]);
    // Nothing was written where it was made.
    assert!(!elsewhere.path().join(".doorway-release.json").exists());
    site.run(&["rollback"]).await.well();
    assert_eq!(site.live(), Some(ids[0].clone()));
    runs(&ids[0]);
    page(&door).await;
}
