//! Promise: a release is made from a folder, an archive or a commit, and a build made elsewhere is taken as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::site::{Site, build, ended};

/// Builds `name` in the app's own folder, as on another machine.
pub fn build_in(site: &Site, name: &str) {
    site.app.write("source", name);
    for arguments in [&["install"][..], &["run", "build"]] {
        let mut npm = Command::new("npm");
        site.prepare(&mut npm);
        assert!(npm.args(arguments).stdout(Stdio::null()).status().unwrap().success());
    }
    site.app.remove("npm-was-called");
}

/// Runs a line of the shell beside the app.
async fn shell(site: &Site, line: &str) -> super::site::Ended {
    let mut command = Command::new("sh");
    site.prepare(&mut command);
    command.args(["-e", "-c", line]);
    ended(command).await
}

#[tokio::test]
async fn builds_made_elsewhere_are_taken_from_archives_and_input() {
    let site = Site::new();
    let door = site.door("").start();
    let packed = site.root.path().join("packed");
    for (name, line) in [
        ("plain", "tar -cf $TO --exclude=tools . && doorway deploy $TO"),
        ("gzip", "tar -czf $TO --exclude=tools . && doorway deploy $TO"),
        ("input", "tar -cf - --exclude=tools . | doorway deploy -"),
    ] {
        build_in(&site, name);
        let said = shell(&site, &format!("TO={}; {line}", packed.display())).await.well();
        assert!(said.contains("its build was made already\n"), "{said}");
        assert_eq!(build(&door).await, name);
        assert!(!site.folder(&site.live().unwrap()).join("npm-was-called").exists(), "nothing was installed or built");
    }
    // Of sources alone it is built here.
    site.app.write("source", "sources");
    let line = "tar -cf - --exclude=tools --exclude=node_modules --exclude=.next . | doorway deploy -";
    let said = shell(&site, line).await.well();
    assert!(said.contains("installing and building\n"), "{said}");
    assert_eq!(build(&door).await, "sources");
    shell(&site, "echo nonsense | doorway deploy -").await.badly(&["no .tar, .tar.gz or .tar.zst"]);
    shell(&site, "true | doorway deploy -").await.badly(&["the archive is empty"]);
    // What was cut off on its way is not taken for whole.
    shell(&site, "tar -cf - . | head -c 20000 | doorway deploy -").await.badly(&["the archive is not whole"]);
    assert_eq!(build(&door).await, "sources");
}

/// The hook as the guide has it.
fn post_receive() -> String {
    let guide = include_str!("../../../src/releases/README.md");
    let (_, hook) = guide.split_once("```sh\nwhile ").expect("the hook");
    format!("#!/bin/sh\nwhile {}", hook.split("```").next().unwrap())
}

#[tokio::test]
async fn commits_are_deployed_by_name_and_by_push() {
    let site = Site::new();
    let door = site.door("").start();
    let bare = site.root.path().join("site.git");
    let name = "git -c user.name=a -c user.email=a@example.com commit -qam";
    let set_up = format!(
        "git init -q -b main . && echo committed > source && printf committed > source && git add . && {name} first\n\
        git init -q --bare -b main {bare} && git remote add box {bare}",
        bare = bare.display()
    );
    shell(&site, &set_up).await.well();
    // What is not committed does not go along.
    site.app.write("source", "not committed");
    let said = shell(&site, "doorway deploy main").await.well();
    assert!(said.contains(" from main (commit "), "{said}");
    assert_eq!(build(&door).await, "committed");

    let hook = bare.join("hooks/post-receive");
    fs::write(&hook, post_receive()).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    site.app.write("source", "pushed");
    let said = shell(&site, &format!("{name} second && git push -q box main")).await.well();
    assert!(said.contains("remote: live: "), "{said}");
    assert_eq!(build(&door).await, "pushed");
    // Another branch is none of its business.
    let line = format!("git checkout -q -b side && printf side > source && {name} side && git push -q box side");
    assert!(!shell(&site, &line).await.well().contains("live: "));
    assert_eq!(build(&door).await, "pushed");
}

#[tokio::test]
async fn another_machine_is_reached_by_ssh() {
    let site = Site::new();
    let door = site.door("").start();
    // The other machine is this one.
    site.app.write("tools/ssh", "#!/bin/sh\necho \"to $1\" >&2\nexec sh -c \"$2\"\n");
    fs::set_permissions(site.app.path().join("tools/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    build_in(&site, "one");
    let said = site.run(&["deploy", "--no-build", "--host", "me@box"]).await.well();
    assert!(said.contains("to me@box\n") && said.contains("live: "), "{said}");
    assert_eq!(build(&door).await, "one");
    site.app.write("source", "two");
    site.run(&["deploy", "--host", "me@box"]).await.well();
    assert_eq!(build(&door).await, "two");
    site.app.write("crash", "");
    site.run(&["deploy", "--host", "me@box"]).await.badly(&["not deployed: the app ended before it answered"]);
}

#[tokio::test]
async fn shared_files_are_in_each_release_and_old_ones_go() {
    let site = Site::new();
    let door = site.door("keep = 2").start();
    fs::create_dir_all(site.root.path().join("shared/uploads")).unwrap();
    fs::write(site.root.path().join("shared/.env"), "SECRET=shared\n").unwrap();
    fs::write(site.root.path().join("shared/uploads/kept"), "kept").unwrap();
    site.app.write(".env", "SECRET=own\n");
    for name in ["one", "two", "three", "four"] {
        site.deploy(name).await.well();
        let release = site.folder(&site.live().unwrap());
        assert_eq!(fs::read_to_string(release.join(".env")).unwrap(), "SECRET=shared\n");
        assert_eq!(fs::read_to_string(release.join("uploads/kept")).unwrap(), "kept");
    }
    // Two, and the one from which a process may still have run when the last was made.
    let left = site.on_disk();
    assert!(left.len() == 2 || left.len() == 3, "{left:?}");
    assert!(left.contains(&site.live().unwrap()));
    assert_eq!(fs::read_to_string(site.root.path().join("shared/uploads/kept")).unwrap(), "kept");
    assert_eq!(build(&door).await, "four");
}
