//! Promise: a deploy that fails at any step changes nothing, says why with the last lines of what failed, and ends with 1.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::site::{Site, build, ended};
use crate::harness::eventually;

/// What is there after a failure is what was there before.
struct Before {
    live: Option<String>,
    on_disk: Vec<String>,
}

impl Before {
    fn of(site: &Site) -> Before {
        Before { live: site.live(), on_disk: site.on_disk() }
    }

    fn is_so(&self, site: &Site) {
        assert_eq!((&site.live(), &site.on_disk()), (&self.live, &self.on_disk));
    }
}

#[tokio::test]
async fn what_fails_changes_nothing_and_says_why() {
    let site = Site::new();
    let door = site.door("check = [\"/\", \"/check\"]\nhook = \"./hook\"").start();
    site.app.write("hook", "#!/bin/sh\nexit 0\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(site.app.path().join("hook"), executable).unwrap();
    site.deploy("one").await.well();
    let (before, live) = (Before::of(&site), site.live().unwrap());
    let stays = format!("{live} stays live");

    site.app.write("unreachable", "");
    site.deploy("two").await.badly(&["npm error network", "not deployed: \"npm install\" failed"]);
    site.app.remove("unreachable");
    before.is_so(&site);

    site.app.write("broken", "");
    let said = site.deploy("two").await.badly(&["the test broke it", "not deployed: ", "failed in "]);
    assert!(said.find("the test broke it") < said.find("not deployed"), "{said}");
    site.app.remove("broken");
    before.is_so(&site);

    site.app.write("hook", "#!/bin/sh\necho migrating in $PWD with $NODE_ENV\necho no such table >&2\nexit 4\n");
    let hook = "not deployed: the hook \"./hook\" failed (exit status: 4)";
    let said =
        site.deploy("two").await.badly(&["migrating in ", " with production\n", "  no such table\n", hook, &stays]);
    assert_eq!(said.matches("no such table").count(), 1, "once: {said}");
    site.app.write("hook", "#!/bin/sh\nexit 0\n");
    before.is_so(&site);

    site.app.write("crash", "");
    site.deploy("two").await.badly(&["  cannot start: the test says so\n", "ended before it answered", &stays]);
    site.app.remove("crash");
    before.is_so(&site);

    site.app.write("status", "503");
    site.deploy("two").await.badly(&["not deployed: the new app is not well: /check answers 503", &stays]);
    site.app.remove("status");
    before.is_so(&site);
    assert_eq!(build(&door).await, "one");

    site.deploy("two").await.well();
    assert_eq!(build(&door).await, "two");
    for (outcome, count) in [("build", 2.0), ("hook", 1.0), ("start", 2.0), ("watch", 0.0), ("live", 2.0)] {
        assert_eq!(door.metric(&format!("deploys_total{{outcome=\"{outcome}\"}}")).await, count, "{outcome}");
    }
}

#[tokio::test]
async fn a_hook_is_heard_while_it_runs() {
    let site = Site::new();
    let hook = "echo step one; while [ -e hold-hook ]; do sleep 0.05; done; echo step two";
    // One that nobody hears ends this test, too.
    let _door = site.door(&format!("hook = {hook:?}\nhook_timeout = \"30s\"")).start();
    site.app.write("hold-hook", "");
    let mut command = site.command(&["deploy"]);
    let mut deploy = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(deploy.stderr.take().unwrap()).lines();
    let heard = tokio::task::spawn_blocking(move || {
        assert!(lines.any(|line| line.unwrap() == "  step one"));
        lines
    });
    let mut lines = heard.await.unwrap();
    fs::remove_file(site.folder(&site.on_disk()[0]).join("hold-hook")).unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        assert!(lines.any(|line| line.unwrap() == "  step two"));
        deploy.wait().unwrap()
    });
    assert!(ended.await.unwrap().success());
}

#[tokio::test]
async fn one_deploy_at_a_time() {
    let site = Site::new();
    let door = site.door("").start();
    site.app.write("hold-build", "");
    site.app.write("source", "one");
    let first = tokio::spawn(ended(site.command(&["deploy"])));
    let has_begun = || async { site.root.path().join("releases").is_dir() && site.on_disk().len() == 2 };
    eventually("the first has begun", has_begun).await;
    site.run(&["deploy"]).await.badly(&["another deploy is under way in "]);
    site.run(&["rollback"]).await.badly(&["another deploy is under way in "]);
    let release = site.on_disk().remove(0);
    let held = site.folder(&release).join("hold-build");
    eventually("it is copied", || async { held.exists() }).await;
    fs::remove_file(held).unwrap();
    first.await.unwrap().well();
    assert_eq!(build(&door).await, "one");
}

#[tokio::test]
async fn a_build_without_memory_is_refused_with_what_to_do() {
    let site = Site::new();
    let door = site.door("build_memory = \"1000TiB\"").start();
    site.deploy("one").await.badly(&["of memory are free", "doorway deploy -`"]);
    assert_eq!((site.live(), site.on_disk().len()), (None, 0));
    // One that was made elsewhere needs none.
    super::contents::build_in(&site, "two");
    site.run(&["deploy", "--no-build"]).await.well();
    assert_eq!(build(&door).await, "two");
}

#[tokio::test]
async fn a_full_disk_ends_in_a_sentence() {
    let site = Site::new();
    super::contents::build_in(&site, "one");
    let script = "mount -t tmpfs -o size=2m none \"$ROOT\" || exit 77\n\
        doorway deploy --no-build --root \"$ROOT\" || exit 2\n\
        head -c 4000000 /dev/zero > large\n\
        doorway deploy --no-build --root \"$ROOT\" && exit 3\n\
        tar -cf - . | doorway deploy --no-build --root \"$ROOT\" - && exit 3\n\
        rm large\n\
        ls \"$ROOT/releases\" > left\n\
        doorway deploy --no-build --root \"$ROOT\" || exit 4\n\
        doorway releases --root \"$ROOT\"";
    let mut command = std::process::Command::new("unshare");
    site.prepare(&mut command);
    command.args(["-Urm", "sh", "-c", script]).env("ROOT", site.root());
    let Ok(status) = std::process::Command::new("unshare").args(["-Urm", "true"]).status() else { return };
    if !status.success() {
        eprintln!("not tried: this machine lets nobody mount a small file system");
        return;
    }
    let done = ended(command).await;
    if done.code == Some(77) {
        eprintln!("not tried: this machine lets nobody mount a small file system");
        return;
    }
    let said = done.well();
    assert_eq!(said.matches("not deployed: the disk is full: ").count(), 2, "{said}");
    assert_eq!(site.app.read("left").lines().count(), 1, "{said}");
    assert_eq!(said.matches(" live ").count(), 1, "{said}");
}

#[tokio::test]
async fn a_deploy_without_releases_says_what_is_missing() {
    let site = Site::new();
    site.run(&["deploy"]).await.badly(&["no door with releases runs here", "--root ROOT"]);
    site.run(&["releases"]).await.badly(&["no door with releases runs here"]);
    let _door = site.door("").start();
    site.run(&["deploy", "nothing-of-that-name"]).await.badly(&["neither a folder, nor an archive, nor what the git"]);
    site.run(&["deploy", "--root", "/nowhere/at/all"]).await.badly(&["there is no folder /nowhere/at/all"]);
}
