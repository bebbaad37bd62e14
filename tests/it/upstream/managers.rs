//! Promise: packages are installed by the package manager that the project means, and where that cannot be, one sentence
//! says what to do.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Stub, door};

/// A package manager of the test's own.
fn tool(project: &Stub, name: &str, script: &str) {
    project.write(&format!("tools/{name}"), &format!("#!/bin/sh\necho \"{name} $@\" >> npm-was-called\n{script}\n"));
    let file = project.path().join("tools").join(name);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

const INSTALL: &str = "cp -r \"$(dirname \"$0\")/node_modules\" .";

/// Starts the door on `project`; it must end with one error that has each of `words`.
fn refused(project: &Stub, words: &[&str]) {
    let mut door = door().config(project.config()).env("PATH", path(project)).spawn();
    assert_eq!(door.wait().code(), Some(1), "{}", door.output());
    let errors: Vec<_> = door.log().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{}", door.output());
    for word in words {
        assert!(errors[0]["message"].as_str().unwrap().contains(word), "{word:?} is not in {}", errors[0]);
    }
}

/// The tools above, Node.js, and what a shell needs: no package manager of this machine's.
fn path(project: &Stub) -> String {
    let tools = project.path().join("tools");
    if !tools.join("node").exists() {
        let node = std::process::Command::new("sh").args(["-c", "command -v node"]).output().unwrap().stdout;
        std::os::unix::fs::symlink(String::from_utf8(node).unwrap().trim(), tools.join("node")).unwrap();
        for name in ["cp", "dirname", "sh", "sleep"] {
            let found = ["/bin", "/usr/bin"].map(|folder| std::path::Path::new(folder).join(name));
            let found = found.iter().find(|file| file.exists()).expect("a tool of the system");
            std::os::unix::fs::symlink(found, tools.join(name)).unwrap();
        }
    }
    tools.display().to_string()
}

#[test]
fn each_lock_file_has_its_program() {
    for (lock, text, name, said) in [
        ("pnpm-lock.yaml", "", "pnpm", "pnpm install --frozen-lockfile"),
        ("yarn.lock", "# yarn lockfile v1", "yarn", "yarn install --frozen-lockfile"),
        ("yarn.lock", "__metadata:\n  version: 8", "yarn", "yarn install --immutable"),
        ("bun.lock", "{}", "bun", "bun install --frozen-lockfile"),
    ] {
        let project = Stub::fresh();
        project.write(lock, text);
        refused(&project, &[lock, &format!("asks for {name}"), "install"]);
        tool(&project, name, INSTALL);
        drop(door().config(project.config()).env("PATH", path(&project)).start());
        assert_eq!(project.read("npm-was-called").lines().next(), Some(said));
    }
}

#[test]
fn the_manifest_may_name_it_too() {
    let project = Stub::fresh();
    project.write("package.json", r#"{ "dependencies": { "next": "16.4.6" }, "packageManager": "pnpm@10.1.0" }"#);
    refused(&project, &["packageManager in package.json asks for pnpm", "corepack enable"]);
    tool(&project, "pnpm", INSTALL);
    drop(door().config(project.config()).env("PATH", path(&project)).start());
    assert_eq!(project.read("npm-was-called"), "pnpm install\n");
}

#[test]
fn a_lock_file_out_of_step_is_one_sentence() {
    let project = Stub::fresh();
    let lock = r#"{ "lockfileVersion": 3, "packages": { "": { "dependencies": { "next": "16.4.6" } } } }"#;
    project.write("package-lock.json", lock);
    project.write("package.json", r#"{ "dependencies": { "next": "16.4.6", "left-pad": "1" } }"#);
    refused(&project, &["package-lock.json is out of step with package.json", "left-pad", "`npm install`"]);
    assert_eq!(project.read("npm-was-called"), "", "it is not even tried");
    for (lock, name, said) in [
        ("pnpm-lock.yaml", "pnpm", " ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with \\\"frozen-lockfile\\\""),
        ("yarn.lock", "yarn", "error Your lockfile needs to be updated, but yarn was run with --frozen-lockfile"),
        ("bun.lock", "bun", "error: lockfile had changes, but lockfile is frozen"),
    ] {
        let project = Stub::fresh();
        project.write(lock, "");
        tool(&project, name, &format!("echo \"{said}\" >&2; exit 1"));
        refused(&project, &[&format!("{lock} is out of step with package.json: run `{name} install`")]);
    }
}

#[test]
fn plug_and_play_is_said_to_be_none_of_ours() {
    let project = Stub::fresh();
    project.write("yarn.lock", "__metadata:\n  version: 8");
    tool(&project, "yarn", "echo pnp > .pnp.cjs");
    refused(&project, &["Plug'n'Play", "nodeLinker: node-modules"]);
}

#[test]
fn the_root_of_a_workspace_names_its_apps() {
    let project = Stub::new();
    project.write("package.json", r#"{ "workspaces": ["apps/*", "packages/*"] }"#);
    project.write("apps/web/package.json", r#"{ "dependencies": { "next": "16" } }"#);
    project.write("apps/docs/package.json", r#"{ "dependencies": { "next": "16" } }"#);
    project.write("packages/ui/package.json", r#"{ "dependencies": { "react": "19" } }"#);
    let root = project.path().canonicalize().unwrap();
    let web = format!("doorway {}", root.join("apps/web").display());
    let docs = format!("doorway {}", root.join("apps/docs").display());
    refused(&project, &["is the root of a workspace", &web, &docs]);
    let mut door = door().config(project.config()).spawn();
    door.wait();
    assert!(!door.output().contains("packages/ui"), "{}", door.output());
}
