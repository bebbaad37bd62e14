//! Promise: a build is found where the app's own config puts it, without a word in the door's.

use crate::harness::{Door, Stub, client, door, eventually, wire};

async fn build_of(door: &Door) -> String {
    let page: serde_json::Value = serde_json::from_str(wire::body(&wire::get(door.http(), "/").await)).unwrap();
    page["build"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn it_is_asked_of_next_and_stays_for_later_builds() {
    let project = Stub::new();
    project.write("distDir", "build/web");
    project.write("next.config.mjs", "export default { distDir: await somewhere() };");
    project.write("build/web/static/a.js", "of the build");
    let door = door().config(project.config()).start();
    assert_eq!(build_of(&door).await, "first");
    let said = door.wait_for_log(|line| line["dist"].is_string());
    assert_eq!(said["dist"], "build/web");
    assert_eq!(project.read(".next/BUILD_ID"), "", "nothing is built elsewhere");
    // Its files are those of that place, too.
    let file = client::get(door.http(), "/_next/static/a.js", &[]).await;
    assert_eq!((file.status, file.header("cache-control").contains("immutable")), (200, true));
    assert_eq!(file.bytes().await, "of the build");

    // A deploy.
    project.write("build/web/BUILD_ID", "second");
    door.signal("HUP");
    eventually("the new build answers", || async { build_of(&door).await == "second" }).await;
}

/// The word may be in another file than the config, which a plug-in reads: asked where the usual place has no build.
#[tokio::test]
async fn a_second_start_finds_the_build_of_the_first() {
    let project = Stub::new();
    project.write("distDir", "elsewhere");
    project.write("next.config.js", "module.exports = require('./shared')");
    let first = door().config(project.config()).start();
    assert_eq!(build_of(&first).await, "first");
    drop(first);
    let second = door().config(project.config()).start();
    assert_eq!(build_of(&second).await, "first");
    let built = second.log().iter().filter(|line| line["step"] == "build").count();
    assert_eq!(built, 0, "{}", second.output());
}

#[tokio::test]
async fn what_the_doors_config_says_comes_first() {
    let project = Stub::new();
    project.write("distDir", "named");
    let door = door().config(project.config() + "dist = \"named\"\n").start();
    assert_eq!(build_of(&door).await, "first");
    assert!(!door.log().iter().any(|line| line["dist"].is_string()), "nobody was asked: {}", door.output());
}
