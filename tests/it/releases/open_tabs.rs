//! Promise: a page that is open of the release before goes on with it, after a deploy as after a rollback.

use serde_json::Value;

use super::site::{Site, build};
use crate::harness::{Door, client};

/// What the pages of a release call its build.
fn deployment(site: &Site, release: &str) -> String {
    let file = site.folder(release).join(".next/required-server-files.json");
    let written: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    written["config"]["deploymentId"].as_str().expect("a build of the door's has a name").to_owned()
}

/// The build that answers an open page.
async fn answers(door: &Door, deployment: &str) -> String {
    let answer = client::get(door.http(), "/", &[("x-deployment-id", deployment)]).await;
    let page: Value = serde_json::from_slice(&answer.bytes().await).unwrap();
    page["build"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_open_page_goes_on_with_its_release() {
    let site = Site::new();
    let door = site.door("").start();
    site.deploy("one").await.well();
    let one = site.live().unwrap();
    site.deploy("two").await.well();
    let two = site.live().unwrap();
    let (of_one, of_two) = (deployment(&site, &one), deployment(&site, &two));
    assert_ne!(of_one, of_two);
    assert_eq!(answers(&door, &of_one).await, "one");
    assert_eq!(answers(&door, &of_two).await, "two");
    assert_eq!(build(&door).await, "two");
    // Nothing changes for it where a deploy fails before it begins to start.
    site.app.write("broken", "");
    site.deploy("three").await.badly(&[]);
    assert_eq!(answers(&door, &of_one).await, "one");
    site.run(&["rollback"]).await.well();
    assert_eq!(build(&door).await, "one");
    assert_eq!(answers(&door, &of_two).await, "two");
    assert_eq!(answers(&door, &of_one).await, "one");
}
