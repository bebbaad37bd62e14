//! The machine that is installed on: the one that this runs on, or one whose files lie in a folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// There where systemd is the service manager that runs (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// Where the link is that starts the service with the machine: the unit's `WantedBy=`.
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/doorway.service";

/// A machine, by its file system.
#[derive(Debug)]
pub struct Machine {
    /// None is the one that this runs on.
    root: Option<PathBuf>,
}

impl Machine {
    /// # Errors
    /// There is no such folder.
    pub fn at(root: Option<PathBuf>) -> Result<Machine, String> {
        let root = root.map(|root| root.canonicalize().map_err(|error| format!("--root {}: {error}", root.display())));
        Ok(Machine { root: root.transpose()? })
    }

    /// Where `path` of that machine is for us.
    pub fn real(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// Whether services can be started: it is this machine, and systemd runs.
    pub fn is_running(&self) -> bool {
        self.root.is_none() && Path::new(BOOTED).is_dir()
    }

    /// The folder of a program that is found here by its name; nothing where another machine is meant.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").filter(|_| self.root.is_none())?;
        std::env::split_paths(&path).find(|folder| folder.is_absolute() && folder.join(name).is_file())
    }

    /// The user's name; the number itself where it has none.
    pub fn user_name(&self, number: u32) -> String {
        let users = std::fs::read_to_string(self.real(Path::new("/etc/passwd"))).unwrap_or_default();
        let number = number.to_string();
        let entry = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let name =
            entry.filter(|entry| entry.get(2) == Some(&number.as_str())).find_map(|entry| entry.first().copied());
        name.map_or(number.clone(), str::to_owned)
    }

    /// Runs a program of systemd.
    ///
    /// # Errors
    /// A sentence, with what the program said of its failure.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        let said = |text: &[u8]| String::from_utf8_lossy(text).trim().to_owned();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("{program} {} failed: {}", arguments.join(" "), said(&output.stderr))),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(format!("there is no program {program}")),
            Err(error) => Err(format!("{program}: {error}")),
        }
    }

    /// What `systemctl enable` does, on a system that does not run.
    ///
    /// # Errors
    /// A sentence: the link cannot be made.
    pub fn enable_at_boot(&self, unit: &Path) -> Result<(), String> {
        let link = self.real(Path::new(WANTED));
        let told = |error: std::io::Error| format!("cannot make {}: {error}", link.display());
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder).map_err(told)?;
        }
        match std::os::unix::fs::symlink(unit, &link) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(told),
        }
    }

    /// # Errors
    /// A sentence: the link cannot be removed.
    pub fn disable_at_boot(&self) -> Result<(), String> {
        let link = self.real(Path::new(WANTED));
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", link.display()))
            }
            _ => Ok(()),
        }
    }
}
