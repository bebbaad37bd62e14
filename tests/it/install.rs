//! Promise: `doorway install` makes a service of systemd of this program, whole or not at all, and again with other words
//! changes it; `doorway uninstall` takes it away. Tried on a system in a folder, which does not run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const UNIT: &str = "etc/systemd/system/doorway.service";
const DROP_IN: &str = "etc/systemd/system/doorway.service.d/10-install.conf";
const WANTED: &str = "etc/systemd/system/multi-user.target.wants/doorway.service";

/// A system that does not run, with an app in /srv/app.
struct System(TempDir);

impl System {
    fn new() -> System {
        let system = System(tempfile::tempdir().unwrap());
        system.write("srv/app/package.json", r#"{ "dependencies": { "next": "*" } }"#);
        system.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        system
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.0.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.path().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn doorway(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (command, rest) = arguments.split_first().unwrap();
        let root = self.path();
        run(env!("CARGO_BIN_EXE_doorway").as_ref(), &[&[*command, "--root", root.to_str().unwrap()], rest].concat())
    }

    fn installs(&self, arguments: &[&str]) -> String {
        let (code, said) = self.doorway(&[&["install"], arguments].concat());
        assert_eq!(code, Some(0), "{said}");
        said
    }

    /// Every file, with its length and the time of its last change.
    fn files(&self) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
        let (mut open, mut found) = (vec![self.path()], BTreeMap::new());
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                if metadata.is_dir() {
                    open.push(path);
                } else {
                    found.insert(path, (metadata.len(), metadata.modified().unwrap()));
                }
            }
        }
        found
    }

    /// What `systemd-analyze` says of the unit with all its drop-ins.
    fn analyze(&self, arguments: &[&str]) -> (bool, String) {
        let root = format!("--root={}", self.path().display());
        // What the unit calls, and what it is ordered by.
        self.write("usr/bin/kill", "");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.path().join("usr/bin/kill"), executable).unwrap();
        for target in ["basic", "multi-user", "network-online", "shutdown", "sysinit"] {
            self.write(&format!("usr/lib/systemd/system/{target}.target"), "[Unit]\n");
        }
        let mut command = Command::new("systemd-analyze");
        let output = command.args(arguments).arg(root).arg("doorway.service").env("PAGER", "cat").output();
        let Output { status, stdout, stderr } = output.expect("systemd-analyze runs: tests/run installs it");
        (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }
}

fn run(program: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program).args(arguments).env_remove("RUST_LOG").output();
    let Output { status, stdout, stderr } = output.unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn what_it_writes_is_right_and_hardened() {
    for words in [&["/srv/app", "--domain", "example.com"][..], &["/srv/app", "--user", "root"], &["--port", "80"], &[]]
    {
        let system = System::new();
        system.installs(words);
        let (right, said) = system.analyze(&["verify", "--man=no"]);
        // systemd 252 says so of the one line that it does not know, and then uses the line before.
        let complaints: Vec<_> = said.lines().filter(|line| !line.contains("ignoring: notify-reload")).collect();
        assert!(right && complaints.is_empty(), "{words:?}: {complaints:?}");
        // An exposure of at most 2.0 of 10; a unit without hardening has 9.6.
        let (right, said) = system.analyze(&["security", "--offline=true", "--threshold=20"]);
        assert!(right || words.contains(&"root"), "{words:?}: {said}");
    }
}

#[test]
fn an_app_may_write_where_it_lives() {
    let system = System::new();
    let said = system.installs(&["/srv/app", "--domain", "example.com", "--domain", "www.example.com"]);
    assert_eq!(system.read(UNIT), std::fs::read_to_string("systemd/doorway.service").unwrap());
    let drop_in = system.read(DROP_IN);
    for line in [
        "ExecStart=/usr/local/bin/doorway --domain example.com --domain www.example.com /srv/app",
        "ReadWritePaths=/srv/app",
        "MemoryDenyWriteExecute=no",
        "KillMode=mixed",
    ] {
        assert!(drop_in.lines().any(|found| found == line), "{line}: {drop_in}");
    }
    assert!(said.contains("writes below /srv/app\n"), "{said}");
    assert!(system.path().join(WANTED).is_symlink());
    let copied = std::fs::read(system.path().join("usr/local/bin/doorway")).unwrap();
    assert!(copied == std::fs::read(env!("CARGO_BIN_EXE_doorway")).unwrap(), "the very same program");
    assert!(!system.path().join("etc/doorway/proxy.toml").exists(), "an app needs no config");
}

#[test]
fn releases_and_workspaces_are_written_to_as_a_whole() {
    let system = System::new();
    system.write("srv/shop/releases/1/package.json", "{}");
    std::os::unix::fs::symlink("releases/1", system.path().join("srv/shop/current")).unwrap();
    system.installs(&["/srv/shop/current"]);
    let drop_in = system.read(DROP_IN);
    assert!(
        drop_in.contains("doorway /srv/shop/current\n") && drop_in.contains("ReadWritePaths=/srv/shop\n"),
        "{drop_in}"
    );

    system.write("srv/mono/pnpm-lock.yaml", "");
    system.write("srv/mono/apps/web/package.json", "{}");
    system.installs(&["/srv/mono/apps/web"]);
    assert!(system.read(DROP_IN).contains("ReadWritePaths=/srv/mono\n"));
}

#[test]
fn again_with_other_words_changes_and_with_the_same_nothing() {
    let system = System::new();
    system.installs(&["/srv/app", "--domain", "example.com"]);
    let before = system.files();
    let said = system.installs(&["/srv/app", "--domain", "example.com"]);
    assert!(said.contains("10-install.conf: unchanged\n") && !said.contains("replaced"), "{said}");
    assert_eq!(system.files(), before);

    let said = system.installs(&["/srv/app", "--port", "80"]);
    assert!(said.contains("10-install.conf: replaced\n"), "{said}");
    assert!(system.read(DROP_IN).contains("\nExecStart=/usr/local/bin/doorway --port 80 /srv/app\n"));

    // Without an app: the unit as it is shipped, and a config to be looked into, which is never overwritten.
    let said = system.installs(&[]);
    assert!(said.contains("10-install.conf: removed\n") && !system.path().join(DROP_IN).exists(), "{said}");
    assert_eq!(system.read("etc/doorway/proxy.toml"), std::fs::read_to_string("proxy.toml").unwrap());
    system.write("etc/doorway/proxy.toml", "[listen]\nhttp = \"127.0.0.1:8081\"\n");
    system.installs(&[]);
    assert!(system.read("etc/doorway/proxy.toml").contains("8081"));
}

#[test]
fn a_dry_run_prints_all_and_writes_nothing() {
    let system = System::new();
    let before = system.files();
    let said = system.installs(&["/srv/app", "--dry-run"]);
    assert_eq!(system.files(), before);
    for part in [
        "/usr/local/bin/doorway: a copy of this program\n",
        "\nWatchdogSec=30s\n",
        "\nExecStart=/usr/local/bin/doorway /srv/app\n",
        "\nu doorway - ",
        "\nsystemctl restart doorway.service\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    system.installs(&["/srv/app"]);
    let before = system.files();
    let (code, said) = system.doorway(&["uninstall", "--dry-run"]);
    assert!(code == Some(0) && said.contains("/usr/local/bin/doorway: would go\n"), "{said}");
    assert_eq!(system.files(), before);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_written() {
    let system = System::new();
    let before = system.files();
    let root = system.path();
    let wrong = [
        (vec!["/srv/nothing"], format!("doorway: there is no folder {}/srv/nothing\n", root.display())),
        (vec!["/srv/app", "--user", "a b"], "doorway: --user a b: that is no user's name\n".to_owned()),
        (vec!["/srv/app", "--domain", "shop.internal"], "of --domain".to_owned()),
    ];
    for (words, expected) in wrong {
        let (code, said) = system.doorway(&[&["install"], &words[..]].concat());
        assert!(code == Some(1) && said.contains(&expected), "{said}");
        assert_eq!(system.files(), before);
    }
    system.write("srv/app/proxy.toml", "[listen]\nhtpp = 1\n");
    let before = system.files();
    let (code, said) = system.doorway(&["install", "/srv/app"]);
    assert!(code == Some(1) && said.contains("htpp"), "{said}");
    assert_eq!(system.files(), before);

    // A full disk, or whatever else: what is a folder cannot be a file.
    system.write("srv/app/proxy.toml", "");
    system.write("etc/sysusers.d", "no folder");
    let before = system.files();
    let (code, said) = system.doorway(&["install", "/srv/app"]);
    assert!(code == Some(1) && said.contains("nothing is installed"), "{said}");
    assert_eq!(system.files(), before);
}

#[test]
fn uninstall_leaves_what_is_not_its_own() {
    let system = System::new();
    system.installs(&["/srv/app"]);
    system.write("etc/systemd/system/doorway.service.d/override.conf", "[Service]\n");
    system.write("etc/doorway/proxy.toml", "");
    let (code, said) = system.doorway(&["uninstall"]);
    assert!(code == Some(0) && said.contains("kept: /etc/doorway"), "{said}");
    for gone in [UNIT, DROP_IN, WANTED, "usr/local/bin/doorway", "etc/sysusers.d/doorway.conf"] {
        assert!(!system.path().join(gone).exists(), "{gone}");
    }
    assert!(system.path().join("etc/systemd/system/doorway.service.d/override.conf").exists());
    assert!(system.path().join("etc/doorway/proxy.toml").exists());
    let (code, said) = system.doorway(&["uninstall"]);
    assert_eq!((code, said.as_str()), (Some(0), "nothing to remove: doorway is not installed here\n"));
}

#[test]
fn the_program_of_a_package_stays_where_it_is() {
    let system = System::new();
    system.write("usr/lib/systemd/system/doorway.service", "");
    let program = system.path().join("usr/bin/doorway");
    std::fs::copy(env!("CARGO_BIN_EXE_doorway"), &program)
        .or_else(|_| {
            std::fs::create_dir_all(program.parent().unwrap())?;
            std::fs::copy(env!("CARGO_BIN_EXE_doorway"), &program)
        })
        .unwrap();
    let root = system.path();
    let doorway = |words: &[&str]| run(&program, &[words, &["--root", root.to_str().unwrap()]].concat());
    let (code, said) = doorway(&["install", "/srv/app"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(system.read(DROP_IN).contains("\nExecStart=/usr/bin/doorway /srv/app\n"));
    assert!(!system.path().join(UNIT).exists() && !system.path().join("usr/local").exists());
    let (code, said) = doorway(&["uninstall"]);
    assert!(code == Some(0) && said.contains("apt remove doorway"), "{said}");
    assert!(program.exists() && !system.path().join(DROP_IN).exists());
}

#[test]
fn without_systemd_nothing_is_half_done() {
    if Path::new("/run/systemd/system").exists() {
        return; // it would be done
    }
    let root = rustix::process::geteuid().is_root();
    for command in ["install", "uninstall"] {
        let (code, said) = run(env!("CARGO_BIN_EXE_doorway").as_ref(), &[command]);
        let expected =
            if root { "systemd does not run here, so nothing was done" } else { "this needs root: sudo doorway" };
        assert!(code == Some(1) && said.contains(expected), "{said}");
    }
}
