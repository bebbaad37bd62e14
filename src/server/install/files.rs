//! Which files an installation has, and how they are written: all of them, or none.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::machine::Machine;

/// Where things are, as the machine itself will see them.
#[derive(Debug)]
pub struct Layout {
    /// This program is one of a package, and so is the unit: only the drop-in is ours to write.
    pub is_packaged: bool,
    pub binary: PathBuf,
    pub unit: PathBuf,
    pub drop_in: PathBuf,
    pub sysusers: PathBuf,
    pub config: PathBuf,
}

/// What is to lie at a path.
#[derive(Debug)]
pub struct Planned {
    pub path: PathBuf,
    pub contents: Contents,
}

/// The bytes of a file.
#[derive(Debug)]
pub enum Contents {
    ThisProgram,
    Text(String),
    /// No file.
    Nothing,
}

const PACKAGED_BINARY: &str = "/usr/bin/doorway";
const PACKAGED_UNITS: [&str; 2] = ["/usr/lib/systemd/system/doorway.service", "/lib/systemd/system/doorway.service"];

/// The kernel's own link to what runs: right also where the file was replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";

impl Layout {
    /// # Errors
    /// Where this program itself cannot be found.
    pub fn find(machine: &Machine) -> Result<Layout, String> {
        let this = std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
        let unit = PACKAGED_UNITS.iter().map(PathBuf::from).find(|unit| machine.real(unit).exists());
        let is_packaged = unit.is_some() && this == machine.real(Path::new(PACKAGED_BINARY));
        let system = Path::new("/etc/systemd/system");
        Ok(Layout {
            is_packaged,
            binary: PathBuf::from(if is_packaged { PACKAGED_BINARY } else { "/usr/local/bin/doorway" }),
            unit: unit.filter(|_| is_packaged).unwrap_or_else(|| system.join("doorway.service")),
            drop_in: system.join("doorway.service.d/10-install.conf"),
            sysusers: PathBuf::from("/etc/sysusers.d/doorway.conf"),
            config: PathBuf::from("/etc/doorway/proxy.toml"),
        })
    }

    /// What `doorway uninstall` may remove, the first needed last.
    pub fn own(&self) -> Vec<&Path> {
        let all = [&self.drop_in, &self.unit, &self.sysusers, &self.binary];
        all.into_iter().take(if self.is_packaged { 1 } else { all.len() }).map(PathBuf::as_path).collect()
    }

    /// Who removes the rest.
    pub fn of_package(&self) -> &'static str {
        if self.is_packaged { ": the program is a package's (apt remove doorway)\n" } else { "" }
    }
}

/// Writes what differs. Gives a line for each file, and whether any did.
///
/// # Errors
/// A sentence. Until all drafts are written nothing is in its place, and then they are only renamed.
pub fn write(machine: &Machine, planned: &[Planned]) -> Result<(String, bool), String> {
    let mut drafts = Vec::new();
    let mut said = String::new();
    for Planned { path, contents } in planned {
        let path = machine.real(path);
        let done = match contents {
            Contents::Nothing => {
                if path.exists() {
                    drafts.push((None, path.clone()));
                    "removed"
                } else {
                    continue;
                }
            }
            contents if is_the_same(&path, contents) => "unchanged",
            contents => match draft(&path, contents) {
                Ok(draft) => {
                    let done = if path.exists() { "replaced" } else { "written" };
                    drafts.push((Some(draft), path.clone()));
                    done
                }
                Err(error) => {
                    drafts
                        .iter()
                        .filter_map(|(draft, _)| draft.as_ref())
                        .for_each(|draft| drop(fs::remove_file(draft)));
                    return Err(format!("cannot write {}: {error}; nothing is installed", path.display()));
                }
            },
        };
        let _ = writeln!(said, "{}: {done}", path.display());
    }
    for (draft, path) in &drafts {
        let done = match draft {
            Some(draft) => fs::rename(draft, path),
            None => fs::remove_file(path),
        };
        done.map_err(|error| format!("cannot write {}: {error}; run this again", path.display()))?;
    }
    Ok((said, !drafts.is_empty()))
}

/// Removes files, and the folders that are empty then and were made for them.
///
/// # Errors
/// A sentence that names the first that cannot be removed.
pub fn remove(machine: &Machine, paths: &[&Path]) -> Result<(), String> {
    for path in paths {
        let path = machine.real(path);
        fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
        if let Some(folder) = path.parent().filter(|folder| folder.extension().is_some_and(|end| end == "d")) {
            // Others' drop-ins may be in it.
            let _ = fs::remove_dir(folder);
        }
    }
    Ok(())
}

fn is_the_same(path: &Path, contents: &Contents) -> bool {
    match contents {
        Contents::Text(text) => fs::read(path).is_ok_and(|there| there == text.as_bytes()),
        Contents::ThisProgram => {
            let length = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
            let this = Path::new(THIS_PROGRAM);
            length(path) == length(this) && fs::read(path).ok() == fs::read(this).ok()
        }
        Contents::Nothing => !path.exists(),
    }
}

/// The contents beside where they are to be.
fn draft(path: &Path, contents: &Contents) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let (done, mode) = match contents {
        Contents::ThisProgram => (fs::copy(THIS_PROGRAM, &draft).map(drop), 0o755),
        Contents::Text(text) => (fs::write(&draft, text), 0o644),
        Contents::Nothing => (Ok(()), 0o644),
    };
    let done = done.and_then(|()| fs::set_permissions(&draft, Permissions::from_mode(mode)));
    // On disk before it is in its place: a machine that fails now has the old file or the new one.
    let done = done.and_then(|()| fs::File::open(&draft)?.sync_all());
    if done.is_err() {
        let _ = fs::remove_file(&draft);
    }
    done.map(|()| draft)
}
