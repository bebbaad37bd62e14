//! Promise: an app with `output: "export"` is built, and served from disk by the door itself.

use crate::harness::socket::connect;
use crate::harness::{Stub, client, door};

#[tokio::test]
async fn an_export_is_built_and_served_without_a_process() {
    let project = Stub::new();
    project.write("export", "");
    let door = door().config(project.config()).start();
    assert!(!door.output().contains("app started"), "{}", door.output());
    let page = client::get(door.http(), "/about", &[]).await;
    assert_eq!((page.status, page.header("cache-control")), (200, "public, max-age=0, must-revalidate".to_owned()));
    assert_eq!(page.bytes().await, "<h1>About</h1>");
    let slash = client::get(door.http(), "/about/?a=1", &[]).await;
    assert_eq!((slash.status, slash.header("location")), (308, "/about?a=1".to_owned()));
    for path in ["/nothing", "/_next/static/nothing.js", "/.next/BUILD_ID"] {
        assert_eq!(client::get(door.http(), path, &[]).await.status, 404, "{path}");
    }
    let mut socket = connect(&door, "/api/ws").await;
    socket.say("hello").await;
    while socket.hear_json().await["data"] != "hello" {}
    drop(door);

    // A second start builds nothing, unless somebody took the pages away.
    let built = |output: &str| output.contains("\"building: ");
    let second = self::door().config(project.config()).start();
    assert!(!built(&second.output()), "{}", second.output());
    drop(second);
    std::fs::remove_dir_all(project.path().join("out")).unwrap();
    let third = self::door().config(project.config()).start();
    assert!(built(&third.output()), "{}", third.output());
    assert_eq!(client::get(third.http(), "/about", &[]).await.status, 200);
}
