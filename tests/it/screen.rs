//! Promise: whoever types `doorway DIR` on a terminal sees what it does, why it failed, and at last where to look.

use std::path::Path;

use crate::harness::Stub;
use crate::harness::terminal::Screen;

const LISTEN: &str = "[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";

/// A project with a config, and what Next.js would have left besides its manifests.
fn project() -> Stub {
    let project = Stub::new();
    project.write("proxy.toml", LISTEN);
    project.write(".next/static/a.js", "");
    project
}

fn start(project: &Stub) -> Screen {
    Screen::start(project.path(), &["."], &project.search_path())
}

/// The screen without what differs from run to run: time, ports, processes and folders. The app's lines come by two pipes,
/// between ours: they stand last, in the order of the alphabet.
fn stable(screen: &str, folder: &Path) -> String {
    let real = folder.canonicalize().unwrap();
    let screen = screen.replace(&*real.to_string_lossy(), "DIR");
    let (mut app, mut ours) = (Vec::new(), Vec::new());
    for line in screen.lines() {
        let line = line.trim_start_matches("^C");
        let line = match line.split_once(' ') {
            Some((time, rest)) if time.starts_with("20") && time.ends_with('Z') => rest.trim_start(),
            _ => line,
        };
        if line.contains(" app | ") { app.push(numbers(line)) } else { ours.push(numbers(line)) }
    }
    app.sort();
    // Looked for by a task of its own, which is now earlier and now later.
    ours.retain(|line| !line.starts_with("INFO static files are answered from disk"));
    ours.into_iter().chain(app).map(|line| line + "\n").collect()
}

/// Long numbers, and those of processes, as `N`.
fn numbers(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(begin);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        text.push_str(before);
        text.push_str(if end >= 4 || text.ends_with("pid=") { "N" } else { &from[..end] });
        rest = &from[end..];
    }
    text + rest
}

const HEAD: &str = "\
INFO starting version=VERSION config=./proxy.toml
INFO listening kind=admin address=127.0.0.1:N inherited=false
INFO listening kind=http address=127.0.0.1:N inherited=false
INFO limits max_connections=N open_files=N
";

fn expected(rest: &str) -> String {
    HEAD.replace("VERSION", env!("CARGO_PKG_VERSION")) + rest
}

#[test]
fn a_start_builds_says_where_to_look_and_ends_by_ctrl_c() {
    let project = project();
    let mut screen = start(&project);
    screen.wait_for("open at http://127.0.0.1:");
    screen.press('\u{3}');
    let (code, seen) = screen.end();
    assert_eq!(code, Some(0), "{seen}");
    assert_eq!(
        stable(&seen, project.path()),
        expected(
            "\
INFO building: there is no build in DIR/.next: it has no BUILD_ID
INFO preparing the app command=\"node DIR/node_modules/next/dist/bin/next build\" directory=DIR
INFO starting the app command=\"node DIR/node_modules/next/dist/bin/next start -H localhost -p N --keepAliveTimeout N\"
INFO app started pid=N address=http://127.0.0.1:N
INFO the app answers
INFO ready open=http://127.0.0.1:N app=. realtime=/api/ws
INFO open at http://127.0.0.1:N
INFO draining why=SIGINT under_way=0 timeout=25s
INFO stopped cut=0
INFO app | Creating an optimized production build ... step=build
INFO app | it listens step=run
"
        )
    );
}

/// The app says that it is ready when it has been asked, which is when the door says so too: where to look stands last.
#[test]
fn where_to_look_stands_below_what_the_app_says() {
    let project = project();
    project.write("chatty", "");
    let mut screen = start(&project);
    screen.wait_for("open at http://127.0.0.1:");
    screen.press('\u{3}');
    let (_, seen) = screen.end();
    let at = |words: &str| {
        seen.lines().position(|line| line.contains(words)).unwrap_or_else(|| panic!("no {words}: {seen}"))
    };
    assert!(at("app | Ready in 1 ms") < at("open at http://"), "{seen}");
    assert_eq!(at("draining why=SIGINT"), at("open at http://") + 1, "nothing between them: {seen}");
}

#[test]
fn a_build_that_fails_says_why_and_ends() {
    let project = project();
    project.write("broken", "");
    let (code, seen) = start(&project).end();
    assert_eq!(code, Some(1), "{seen}");
    assert_eq!(
        stable(&seen, project.path()),
        expected(
            "\
INFO building: there is no build in DIR/.next: it has no BUILD_ID
INFO preparing the app command=\"node DIR/node_modules/next/dist/bin/next build\" directory=DIR
ERROR \"node DIR/node_modules/next/dist/bin/next build\" failed in DIR (exit status: 1): its last lines above say why
INFO app | Creating an optimized production build ... step=build
INFO app | Type error: the test broke it step=build
"
        )
    );
}

#[test]
fn a_missing_app_is_said_and_the_door_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("proxy.toml"), LISTEN.to_owned() + "[app]\nurl = \"http://127.0.0.1:9\"\n")
        .unwrap();
    let mut screen = Screen::start(folder.path(), &[], &std::env::var("PATH").unwrap());
    screen.wait_for("ready open=http");
    screen.wait_for("nothing answers at");
    screen.press('\u{3}');
    let (code, seen) = screen.end();
    assert_eq!(code, Some(0), "{seen}");
    let seen = stable(&seen, folder.path());
    let expected = expected("").replace("./proxy.toml", "proxy.toml");
    assert!(seen.starts_with(&expected), "{seen}");
    // Asked by a task of its own, while the rest is opened.
    let mut rest: Vec<_> = seen[expected.len()..].lines().collect();
    rest[..2].sort_unstable();
    assert_eq!(
        rest,
        [
            "INFO ready open=http://127.0.0.1:N app=http://127.0.0.1:9 realtime=/api/ws",
            "WARN nothing answers at http://127.0.0.1:9 (connection refused): start the app, or name its folder: doorway DIR",
            "INFO draining why=SIGINT under_way=0 timeout=25s",
            "INFO stopped cut=0",
        ]
    );
}

#[test]
fn a_folder_without_an_app_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("proxy.toml"), LISTEN).unwrap();
    let (code, seen) = Screen::start(folder.path(), &["."], &std::env::var("PATH").unwrap()).end();
    assert_eq!(code, Some(1), "{seen}");
    let seen = stable(&seen, folder.path());
    assert!(seen.starts_with(&expected("ERROR . is not an app: ")), "{seen}");
    assert!(seen.contains("it has no package.json"), "{seen}");
}
