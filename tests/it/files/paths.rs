//! Promise: no path leaves the folder of static files, however it is spelt.

use crate::harness::{App, Project, door, response, wire};

const SECRET: &str = "the-secret-of-the-app";

#[tokio::test]
async fn no_spelling_of_a_path_reaches_another_file() {
    let app = App::start(|_| async { response(404, "the app knows no such page") }).await;
    let project = Project::new();
    project.write("chunks/main.js", "main");
    project.write(".hidden.js", SECRET);
    project.write_at(".next/BUILD_ID", SECRET);
    project.write_at(".next/server/app.js", SECRET);
    project.write_at(".next/static-but-not.js", SECRET);
    project.write_at(".env", SECRET);
    let outside = project.write_at("outside.js", SECRET);
    std::os::unix::fs::symlink(&outside, project.path().join(".next/static/link.js")).unwrap();
    std::os::unix::fs::symlink(project.path(), project.path().join(".next/static/folder")).unwrap();
    std::os::unix::fs::symlink("chunks/main.js", project.path().join(".next/static/inside.js")).unwrap();
    nix_pipe(&project.path().join(".next/static/pipe.js"));
    let door = door().config(project.config(&app, "public = [\"/images/\"]")).start();
    let get = async |path: &[u8]| {
        let request = [b"GET ", path, b" HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n"].concat();
        wire::exchange(door.http(), request).await
    };
    let fine = get(b"/_next/static/inside.js").await;
    assert!(wire::status(&fine) == 200 && fine.ends_with("main"), "links within are followed: {fine}");
    for path in [
        "/_next/static/../BUILD_ID",
        "/_next/static/chunks/../../BUILD_ID",
        "/_next/static/%2e%2e/BUILD_ID",
        "/_next/static/%2E%2E/BUILD_ID",
        "/_next/static/.%2e/BUILD_ID",
        "/_next/static/..%2fBUILD_ID",
        "/_next/static/..%2FBUILD_ID",
        "/_next/static/%2e%2e%2fBUILD_ID",
        "/_next/static/..%5cBUILD_ID",
        "/_next/static/..\\BUILD_ID",
        "/_next/static/%252e%252e/BUILD_ID",
        "/_next/static/%252e%252e%252fBUILD_ID",
        "/_next/static/..%252fBUILD_ID",
        "/_next/static/%c0%ae%c0%ae/BUILD_ID",
        "/_next/static/..%c0%afBUILD_ID",
        "/_next/static/%ef%bc%8e%ef%bc%8e/BUILD_ID",
        "/_next/static//../BUILD_ID",
        "/_next/static/./../BUILD_ID",
        "/_next/static/chunks/..%00/BUILD_ID",
        "/_next/static/../BUILD_ID%00.js",
        "/_next/static/..;/BUILD_ID",
        "/_next/static/....//BUILD_ID",
        "/_next/static//etc/passwd",
        "/_next/static/%2fetc/passwd",
        "/_next/static//",
        "/_next/static/.hidden.js",
        "/_next/static/%2ehidden.js",
        "/_next/static/link.js",
        "/_next/static/folder/.env",
        "/_next/static/folder/outside.js",
        "/_next/static/pipe.js",
        "/_next/static/chunks",
        "/_next/static/chunks/",
        "/_next/static/../static-but-not.js",
        "/_next/static-but-not.js",
        "/_next/staticchunks/main.js",
        "/x/../_next/static/../../.env",
        "/images/../outside.js",
        "/images/%2e%2e/outside.js",
        "/images/..%2f..%2foutside.js",
        "/images/..\\..\\outside.js",
    ] {
        let answer = get(path.as_bytes()).await;
        assert!(!answer.contains(SECRET), "{path}: {answer}");
        assert!(matches!(wire::status(&answer), 400 | 404), "{path}: {answer}");
    }
    for path in [&b"/_next/static/\xff\xfe"[..], b"/_next/static/../\x80BUILD_ID", b"/_next/static/a\x00b"] {
        let answer = get(path).await;
        assert!(!answer.contains(SECRET), "{}", String::from_utf8_lossy(path));
    }
    // It still answers, and has not hung on the pipe.
    assert_eq!(wire::status(&get(b"/_next/static/chunks/main.js").await), 200);
}

/// A named pipe: whoever opens it for reading waits for a writer.
fn nix_pipe(path: &std::path::Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success());
}

#[tokio::test]
async fn two_spellings_of_one_name_are_one_file() {
    let app = App::saying("not asked").await;
    let project = Project::new();
    project.write("chunks/app/blog/[slug]/page-1.js", "the page");
    project.write("chunks/100%.js", "percent");
    let door = door().config(project.config(&app, "")).start();
    for (path, expected) in [
        ("/_next/static/chunks/app/blog/%5Bslug%5D/page-1.js", "the page"),
        ("/_next/static/chunks/app/blog/[slug]/page-1.js", "the page"),
        ("/_next/static/chunks/app/blog/%5bslug%5D/p%61ge-1.js?dpl=abc", "the page"),
        ("/_next/static/chunks/100%25.js", "percent"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n");
        let answer = wire::exchange(door.http(), request).await;
        assert!(wire::status(&answer) == 200 && answer.ends_with(expected), "{path}: {answer}");
    }
    let held = door.metric("files_memory_bytes").await;
    assert!(held < 3.0 * 2100.0, "two files, not four: {held}");
}
