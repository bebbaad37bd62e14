//! Promise: the Debian package holds the service as it is shipped, starts nothing before it is configured, and an upgrade
//! keeps a config that was changed. Installed by dpkg itself into a folder, where its scripts run as on a machine.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn succeeds(command: &mut Command) -> String {
    let (is_well, said) = run(command);
    assert!(is_well, "{command:?}: {said}");
    said
}

/// A system with a shell and no more.
struct System(TempDir);

impl System {
    /// Nothing where scripts cannot be run inside of a folder.
    fn new() -> Option<System> {
        if !rustix::process::geteuid().is_root() {
            // Past the test runner, which keeps what a test prints: tests/run tells of it at the end.
            let _ = std::io::stderr().write_all(b"\nskipped: 1 (dpkg into a folder needs root)\n");
            return None;
        }
        let system = System(tempfile::tempdir().unwrap());
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "tmp"] {
            std::fs::create_dir_all(system.path(folder)).unwrap();
        }
        std::fs::write(system.path("var/lib/dpkg/status"), "").unwrap();
        for program in ["/bin/sh", "/bin/rm", "/bin/rmdir"] {
            system.bring(program);
        }
        Some(system)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// A program of this machine with its libraries.
    fn bring(&self, program: &str) {
        let libraries = succeeds(Command::new("ldd").arg(program));
        let files = libraries.split_whitespace().filter(|word| word.starts_with('/')).chain([program]);
        for file in files {
            let copy = self.path(file.trim_start_matches('/'));
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(file, copy).unwrap();
        }
    }

    /// Programs of systemd, as on a machine that it runs: they only note how they were called.
    fn with_systemd(&self) {
        for folder in ["run/systemd/system", "dev"] {
            std::fs::create_dir_all(self.path(folder)).unwrap();
        }
        std::fs::write(self.path("dev/null"), "").unwrap();
        for program in ["deb-systemd-invoke", "systemctl", "systemd-sysusers"] {
            let file = self.path(&format!("usr/bin/{program}"));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, format!("#!/bin/sh\necho {program} \"$@\" >>/calls\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// What has been called since this was asked last, but for what only has units read again.
    fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = std::fs::remove_file(self.path("calls"));
        calls.lines().filter(|call| !call.ends_with("daemon-reload")).map(str::to_owned).collect()
    }

    fn dpkg(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("dpkg");
        command.arg(format!("--root={}", self.0.path().display())).args(["--force-depends", "--force-confdef"]);
        succeeds(command.arg("--force-confold").args(arguments))
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }
}

/// The package of the binary that is tested here.
fn package(folder: &Path, version: &str) -> String {
    let file = folder.join(format!("doorway_{version}.deb"));
    let mut build = Command::new("systemd/debian/build");
    build.args([env!("CARGO_BIN_EXE_doorway"), "amd64", version]).arg(&file).env("COMPRESS", "none");
    succeeds(build.env("SOURCE_DATE_EPOCH", "1700000000"));
    file.into_os_string().into_string().unwrap()
}

#[test]
fn dpkg_installs_upgrades_and_purges_it() {
    let Some(system) = System::new() else { return };
    system.with_systemd();
    let folder = tempfile::tempdir().unwrap();
    let said = system.dpkg(&["--install", &package(folder.path(), "1.0")]);
    assert!(said.contains("Doorway is not started yet."), "{said}");
    assert_eq!(system.calls(), ["systemd-sysusers doorway.conf"], "the user, and nothing is started");
    assert!(system.path("usr/share/doc/doorway/copyright").is_file());
    assert!(!system.path("etc/systemd").exists(), "nothing is enabled");
    assert_eq!(system.read("etc/doorway/proxy.toml"), std::fs::read_to_string("proxy.toml").unwrap());
    let user = system.read("usr/lib/sysusers.d/doorway.conf");
    assert_eq!(user, std::fs::read_to_string("systemd/doorway.sysusers.conf").unwrap());
    let shipped = std::fs::read_to_string("systemd/doorway.service").unwrap();
    let unit = system.read("usr/lib/systemd/system/doorway.service");
    assert_eq!(unit, shipped.replace("\nExecStart=/usr/local/bin/doorway ", "\nExecStart=/usr/bin/doorway "));
    assert_eq!(std::fs::metadata(system.path("usr/bin/doorway")).unwrap().permissions().mode() & 0o7777, 0o755);

    for target in ["basic", "multi-user", "network-online", "shutdown", "sockets", "sysinit"] {
        std::fs::write(system.path(&format!("usr/lib/systemd/system/{target}.target")), "[Unit]\n").unwrap();
    }
    system.bring("/usr/bin/kill");
    let root = format!("--root={}", system.0.path().display());
    let units = ["doorway.service", "doorway.socket", "doorway-https.socket"];
    let said = succeeds(Command::new("systemd-analyze").args(["verify", "--man=no", &root]).args(units));
    // systemd 252 says so of the one line that it does not know, and then uses the line before.
    let complaints: Vec<_> = said.lines().filter(|line| !line.contains("ignoring: notify-reload")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");

    std::fs::write(system.path("etc/doorway/proxy.toml"), "# mine\n").unwrap();
    let said = system.dpkg(&["--install", &package(folder.path(), "1.1")]);
    assert!(!said.contains("not started yet"), "{said}");
    let restarts = ["systemd-sysusers doorway.conf", "deb-systemd-invoke try-restart doorway.service"];
    assert_eq!(system.calls(), restarts, "one that runs, and no other");
    assert_eq!(system.read("etc/doorway/proxy.toml"), "# mine\n");

    std::fs::create_dir_all(system.path("var/lib/doorway/acme")).unwrap();
    system.dpkg(&["--remove", "doorway"]);
    let ends = |unit: &str| {
        [format!("deb-systemd-invoke stop {unit}"), format!("systemctl --quiet --no-reload disable {unit}")]
    };
    // The sockets first: they would start it again.
    let all = ["doorway.socket", "doorway-https.socket", "doorway.service"];
    assert_eq!(system.calls(), all.iter().flat_map(|unit| ends(unit)).collect::<Vec<_>>());
    assert!(!system.path("usr/bin/doorway").exists());
    assert!(system.path("etc/doorway/proxy.toml").exists() && system.path("var/lib/doorway").exists());
    system.dpkg(&["--purge", "doorway"]);
    assert!(!system.path("etc/doorway").exists() && !system.path("var/lib/doorway").exists());
}

#[test]
fn what_it_needs_is_what_the_binary_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = package(folder.path(), "1.0");
    let field = |name: &str| succeeds(Command::new("dpkg-deb").args(["--field", &file, name]));
    assert_eq!((field("Architecture").trim(), field("Version").trim()), ("amd64", "1.0"));
    let needs = field("Depends");
    let glibc = needs.strip_prefix("libc6 (>= 2.").and_then(|rest| rest.split(')').next()).unwrap();
    assert!(glibc.parse::<u32>().is_ok_and(|minor| (17..60).contains(&minor)), "{needs}");
    let again = std::fs::read(&file).unwrap();
    package(folder.path(), "1.0");
    assert!(std::fs::read(&file).unwrap() == again, "the same bytes each time");
}
