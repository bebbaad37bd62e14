//! The texts: the shipped unit as it is, and a drop-in with what these words make different.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::machine::Machine;

/// The unit, the user and the differences of an app, as in the folder `systemd`.
pub const SERVICE: &str = include_str!("../../../systemd/doorway.service");
pub const SYSUSERS: &str = include_str!("../../../systemd/doorway.sysusers.conf");
const APP: &str = include_str!("../../../systemd/doorway-app.conf");

/// The user that the unit has and `SYSUSERS` makes.
pub const OWN_USER: &str = "doorway";

const HEAD: &str = "\
# Written by `doorway install`, and anew when that is run again. What is yours belongs into a file of its own:
# systemctl edit doorway
";

/// Where systemd looks for programs.
const USUAL_PATH: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// Hidden from a service by `ProtectHome=`.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// What the lock files of package managers are called: where one is, packages are installed.
const LOCK_FILES: [&str; 6] =
    ["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"];

/// What the service is to run, and as whom.
#[derive(Debug)]
pub struct Words {
    pub program: PathBuf,
    pub app: Option<App>,
    pub domains: Vec<String>,
    pub port: Option<u16>,
    pub user: String,
    /// Whether the user is ours to make.
    pub makes_user: bool,
}

/// The app in a folder, as a unit must know it.
#[derive(Debug)]
pub struct App {
    pub dir: PathBuf,
    /// The folder itself; that around it where it is a link to a release; that of the lock file in a workspace.
    pub writes_below: PathBuf,
    /// Whom the folder belongs to, unless that is root.
    pub owner: Option<String>,
    /// Where Node.js is, if not where systemd looks by itself.
    node: Option<PathBuf>,
    /// Whether Node.js was found at all.
    has_node: bool,
}

impl App {
    /// # Errors
    /// A sentence: a path that no unit can have.
    pub fn look(dir: &Path, machine: &Machine) -> Result<App, String> {
        if dir.to_str().is_none_or(|text| text.chars().any(char::is_control)) {
            return Err(format!("{}: a unit cannot have such a path", dir.display()));
        }
        let real = machine.real(dir);
        let metadata = std::fs::metadata(&real).map_err(|error| format!("{}: {error}", dir.display()))?;
        let owner = (metadata.uid() != 0).then(|| machine.user_name(metadata.uid()));
        let writes_below = if real.is_symlink() { parent(dir) } else { workspace(dir, machine) };
        let found = machine.program("node");
        let is_usual = |folder: &PathBuf| USUAL_PATH.iter().any(|usual| folder.as_path() == Path::new(usual));
        let has_node =
            found.is_some() || USUAL_PATH.iter().any(|folder| machine.real(Path::new(folder)).join("node").exists());
        Ok(App { dir: dir.to_owned(), writes_below, owner, node: found.filter(|folder| !is_usual(folder)), has_node })
    }
}

/// The folder around `dir`; the file system's own root is never meant.
fn parent(dir: &Path) -> PathBuf {
    dir.parent().filter(|parent| parent.parent().is_some()).unwrap_or(dir).to_owned()
}

/// The nearest folder from `dir` up that has a lock file: packages are installed there.
fn workspace(dir: &Path, machine: &Machine) -> PathBuf {
    let has_lock = |folder: &&Path| {
        folder.parent().is_some() && LOCK_FILES.iter().any(|name| machine.real(folder).join(name).exists())
    };
    dir.ancestors().find(has_lock).unwrap_or(dir).to_owned()
}

impl Words {
    /// What a person should know before it fails; empty, or lines with a line feed before each.
    pub fn hint(&self) -> String {
        let mut hint = String::new();
        let Some(app) = &self.app else { return hint };
        if app.owner.is_none() && self.user != "root" {
            let (user, dir) = (&self.user, app.dir.display());
            let _ = write!(hint, "\n{dir} belongs to root: so that {user} can build there: chown -R {user}: {dir}");
        }
        if !app.has_node {
            hint.push_str("\nthere is no node here: install Node.js, or run this with the PATH in which it is");
        }
        hint
    }
}

/// The drop-in; none where the unit says it all.
pub fn drop_in(words: &Words) -> Option<String> {
    let start = command_line(words);
    let Some(app) = &words.app else {
        let is_as_shipped = words.domains.is_empty() && words.port.is_none() && words.user == OWN_USER;
        let is_as_shipped = is_as_shipped && SERVICE.contains(&format!("\nExecStart={start}\n"));
        let user = if words.user == OWN_USER { String::new() } else { format!("User={}\nGroup=\n", words.user) };
        return (!is_as_shipped).then(|| format!("{HEAD}\n[Service]\nExecStart=\nExecStart={start}\n{user}"));
    };
    let mut text = HEAD.to_owned();
    let body = APP.split_once("\n\n").map_or(APP, |(_, body)| body);
    for line in std::iter::once("").chain(body.lines()) {
        let line = match line.split_once('=') {
            Some(("ExecStart", value)) if !value.is_empty() => format!("ExecStart={start}"),
            Some(("User", _)) => format!("User={}", words.user),
            Some(("ReadWritePaths", _)) => paths(app, words),
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    Some(text)
}

fn paths(app: &App, words: &Words) -> String {
    let writes = quoted(&app.writes_below);
    let mut lines = format!("ReadWritePaths={writes}");
    let is_home = |path: &Path| HOMES.iter().any(|home| path.starts_with(home));
    // Of all homes, the service sees what it needs.
    if is_home(&app.writes_below) || app.node.as_deref().is_some_and(is_home) {
        lines.push_str("\nProtectHome=tmpfs");
    }
    if is_home(&app.writes_below) {
        let _ = write!(lines, "\nBindPaths={writes}");
    }
    if let Some(node) = &app.node {
        if is_home(node) {
            let _ = write!(lines, "\nBindReadOnlyPaths={}", quoted(&parent(node)));
        }
        let path = format!("PATH={}:{}", node.display(), USUAL_PATH.join(":"));
        let _ = write!(lines, "\nEnvironment={}", quoted(Path::new(&path)));
    }
    if words.user == "root" {
        // Root without capabilities may write to what is its own, and that is what such a folder is.
        lines.push_str("\n# User=root: everything that belongs to root can be read by the app.");
    }
    lines
}

fn command_line(words: &Words) -> String {
    let mut line = words.program.display().to_string();
    for domain in &words.domains {
        let _ = write!(line, " --domain {}", argument(domain));
    }
    if let Some(port) = words.port {
        let _ = write!(line, " --port {port}");
    }
    match &words.app {
        Some(app) => {
            let _ = write!(line, " {}", argument(&app.dir.to_string_lossy()));
        }
        None => line.push_str(" --config /etc/doorway/proxy.toml"),
    }
    line
}

/// A word of `ExecStart=` (systemd.service(5), "Command lines"): a dollar sign is doubled too.
fn argument(word: &str) -> String {
    quoted(Path::new(word)).replace('$', "$$")
}

/// A value in a unit (systemd.syntax(7), "Quoting"): as it is where it is plain.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:=@$".contains(c);
    if text.chars().all(is_plain) {
        return text.into_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(dir: &str) -> Words {
        let dir = PathBuf::from(dir);
        let app = App { writes_below: dir.clone(), dir, owner: Some("ada".to_owned()), node: None, has_node: true };
        let program = PathBuf::from("/usr/local/bin/doorway");
        Words { program, app: Some(app), domains: Vec::new(), port: None, user: "ada".to_owned(), makes_user: false }
    }

    #[test]
    fn what_is_special_in_a_unit_is_written_as_it_is_meant() {
        let text = drop_in(&words("/srv/50% \"$off\"")).unwrap();
        assert!(text.contains("\nExecStart=/usr/local/bin/doorway \"/srv/50%% \\\"$$off\\\"\"\n"), "{text}");
        assert!(text.contains("\nReadWritePaths=\"/srv/50%% \\\"$off\\\"\"\n"), "{text}");
    }

    #[test]
    fn of_homes_only_what_is_needed_is_seen() {
        let mut home = words("/home/ada/app");
        home.app.as_mut().unwrap().node = Some(PathBuf::from("/home/ada/.nvm/versions/node/v22/bin"));
        let text = drop_in(&home).unwrap();
        for line in [
            "ProtectHome=tmpfs",
            "BindPaths=/home/ada/app",
            "BindReadOnlyPaths=/home/ada/.nvm/versions/node/v22",
            "Environment=PATH=/home/ada/.nvm/versions/node/v22/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(!drop_in(&words("/srv/app")).unwrap().contains("ProtectHome"));
    }

    #[test]
    fn without_words_the_unit_is_as_it_is_shipped() {
        let plain = Words { app: None, user: OWN_USER.to_owned(), ..words("/") };
        assert_eq!(drop_in(&plain), None);
        // Of a package: the program is elsewhere, and its unit says so itself.
        let text = drop_in(&Words { domains: vec!["example.com".to_owned()], ..plain }).unwrap();
        let start = "ExecStart=/usr/local/bin/doorway --domain example.com --config /etc/doorway/proxy.toml\n";
        assert!(text.contains(start), "{text}");
    }
}
