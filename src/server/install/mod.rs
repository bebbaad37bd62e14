//! `doorway install` and `doorway uninstall`: this program as a service of systemd, with or without an app of its own.

mod files;
mod machine;
mod unit;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::files::{Contents, Layout, Planned};
use self::machine::Machine;
use super::ask::say;
use super::defaults::DOCUMENTED;
use super::source::{DEFAULT_FILE, Overrides, Source};

/// What `doorway install` is told.
#[derive(Debug, Args)]
pub struct Installation {
    /// An app to build, start and keep running; without one, the app that /etc/doorway/proxy.toml names
    dir: Option<PathBuf>,
    /// A name to serve by https, with a certificate ordered for it; listens on ports 80 and 443. May be given several times
    #[arg(long = "domain", value_name = "NAME")]
    domains: Vec<String>,
    /// The port of plain HTTP, in place of that in `[listen]`
    #[arg(long)]
    port: Option<u16>,
    /// Whom it runs as [default: whoever DIR belongs to; doorway where that is root, and without DIR]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Enable it, but do not start it
    #[arg(long)]
    no_start: bool,
    #[command(flatten)]
    place: Place,
}

/// What `doorway uninstall` is told.
#[derive(Debug, Args)]
pub struct Removal {
    #[command(flatten)]
    place: Place,
}

/// Where, and whether in earnest.
#[derive(Debug, Args)]
struct Place {
    /// Print what would be written and done, and do none of it
    #[arg(long)]
    dry_run: bool,
    /// Work on the files of a system below this folder, which does not run: no service is started or stopped
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// What is left alone by `doorway uninstall`: the config, keys and certificates, and the user whose files they are.
const KEPT: &str = "kept: /etc/doorway, /var/lib/doorway and the user doorway\n";

/// Installs, or brings what is installed up to date with these words.
///
/// # Errors
/// A sentence, with nothing written: no rights, no systemd, a config that is wrong. Or the service does not start.
pub fn install(mut told: Installation) -> Result<ExitCode, String> {
    let machine = told.place.machine("install")?;
    if let Some(dir) = &mut told.dir {
        *dir = std::path::absolute(&*dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        if !machine.real(dir).is_dir() {
            return Err(format!("there is no folder {}", machine.real(dir).display()));
        }
    }
    let layout = Layout::find(&machine)?;
    let has_config = machine.real(&layout.config).exists();
    told.check(&machine, &layout)?;
    let words = told.words(&machine, &layout)?;
    let planned = plan(&layout, &words, has_config);
    if told.place.dry_run {
        say(&printed(&machine, &planned, &words, told.starts(has_config)));
        return Ok(ExitCode::SUCCESS);
    }
    let (said, changed) = files::write(&machine, &planned)?;
    say(&(said + &notes(&layout, &words)));
    if !machine.is_running() {
        machine.enable_at_boot(&layout.unit)?;
        say("enabled: it starts when this system does\n");
        return Ok(ExitCode::SUCCESS);
    }
    if words.makes_user {
        machine.run("systemd-sysusers", &[])?;
    }
    machine.run("systemctl", &["daemon-reload"])?;
    if !told.starts(has_config) {
        say(&format!(
            "not started. Next: look into {}, then: systemctl enable --now doorway\n",
            layout.config.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    machine.run("systemctl", &["enable", "--quiet", "doorway.service"])?;
    if told.no_start {
        say("enabled, not started. Next: systemctl start doorway\n");
        return Ok(ExitCode::SUCCESS);
    }
    say("enabled, and starting: a first build takes its time (journalctl -fu doorway shows it)\n");
    // One that runs already with the very same words has nothing to end for.
    machine.run("systemctl", &[if changed { "restart" } else { "start" }, "doorway.service"]).map_err(|error| {
        format!(
            "{error}\nit is installed, but does not start: journalctl -u doorway -n 30 --no-pager says why{}",
            words.hint()
        )
    })?;
    say("ready. Next: doorway status; after a deploy doorway reload; its log: journalctl -u doorway\n");
    Ok(ExitCode::SUCCESS)
}

/// Ends the service and takes away what [`install`] wrote, the config and the state excepted.
///
/// # Errors
/// A sentence: no rights, or a file that cannot be removed.
pub fn uninstall(told: &Removal) -> Result<ExitCode, String> {
    let machine = told.place.machine("uninstall")?;
    let layout = Layout::find(&machine)?;
    let there: Vec<&Path> = layout.own().into_iter().filter(|path| machine.real(path).exists()).collect();
    // A binary alone may have been copied there by hand.
    let is_installed = there.iter().any(|path| **path != layout.binary);
    if !is_installed {
        say(&format!("nothing to remove: doorway is not installed here{}\n", layout.of_package()));
        return Ok(ExitCode::SUCCESS);
    }
    let listed: String = there.iter().fold(String::new(), |mut listed, path| {
        let _ = writeln!(
            listed,
            "{}: {}",
            machine.real(path).display(),
            if told.place.dry_run { "would go" } else { "removed" }
        );
        listed
    });
    if told.place.dry_run {
        say(&format!("systemctl disable --now doorway.service\n{listed}{KEPT}"));
        return Ok(ExitCode::SUCCESS);
    }
    if machine.is_running() {
        machine.run("systemctl", &["disable", "--quiet", "--now", "doorway.service"])?;
    } else {
        machine.disable_at_boot()?;
    }
    files::remove(&machine, &there)?;
    if machine.is_running() {
        machine.run("systemctl", &["daemon-reload"])?;
    }
    say(&format!("{listed}{KEPT}{}", layout.of_package().trim_start_matches(": ")));
    Ok(ExitCode::SUCCESS)
}

impl Place {
    /// The machine this is about, where it can be done there.
    fn machine(&self, command: &str) -> Result<Machine, String> {
        let machine = Machine::at(self.root.clone())?;
        if self.dry_run || self.root.is_some() {
            return Ok(machine);
        }
        if !rustix::process::geteuid().is_root() {
            return Err(format!("this needs root: sudo doorway {command} … (--dry-run shows what it would do)"));
        }
        if !machine.is_running() {
            return Err(format!(
                "systemd does not run here, so nothing was done. --dry-run prints all files, for another service manager; \
                 `doorway {command} --root DIR` works on the system in a folder"
            ));
        }
        Ok(machine)
    }
}

impl Installation {
    /// Without words of its own and without a config there is nothing yet that it could serve.
    fn starts(&self, has_config: bool) -> bool {
        has_config || self.dir.is_some() || !self.domains.is_empty() || self.port.is_some()
    }

    /// A config that is wrong is said before anything is written.
    fn check(&self, machine: &Machine, layout: &Layout) -> Result<(), String> {
        let dir = self.dir.as_ref().map(|dir| machine.real(dir));
        let own = dir.as_ref().map(|dir| dir.join(DEFAULT_FILE)).filter(|file| file.exists());
        let file = own.or_else(|| Some(machine.real(&layout.config)).filter(|file| file.exists()));
        // Where there is no file, none that happens to lie where this was typed is meant.
        let elsewhere = if file.is_some() { None } else { Some(PathBuf::from("/")) };
        if let Some(elsewhere) = elsewhere {
            std::env::set_current_dir(elsewhere).map_err(|error| error.to_string())?;
        }
        let said = Overrides { dir, port: self.port, domains: self.domains.clone(), ..Overrides::default() };
        Source::new(file, said).load().map(drop).map_err(|error| error.to_string())
    }

    fn words(&self, machine: &Machine, layout: &Layout) -> Result<unit::Words, String> {
        let app = self.dir.as_ref().map(|dir| unit::App::look(dir, machine)).transpose()?;
        let owner = app.as_ref().and_then(|app| app.owner.clone());
        let user = self.user.clone().or(owner);
        if let Some(user) = &self.user
            && !user.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        {
            return Err(format!("--user {user}: that is no user's name"));
        }
        let makes_user = user.as_deref().is_none_or(|user| user == unit::OWN_USER) && !layout.is_packaged;
        let user = user.unwrap_or_else(|| unit::OWN_USER.to_owned());
        let (program, domains) = (layout.binary.clone(), self.domains.clone());
        Ok(unit::Words { program, app, domains, port: self.port, user, makes_user })
    }
}

fn plan(layout: &Layout, words: &unit::Words, has_config: bool) -> Vec<Planned> {
    let text = |path: &Path, text: String| Planned { path: path.to_owned(), contents: Contents::Text(text) };
    let mut planned = Vec::new();
    if !layout.is_packaged {
        planned.push(Planned { path: layout.binary.clone(), contents: Contents::ThisProgram });
        planned.push(text(&layout.unit, unit::SERVICE.to_owned()));
    }
    if words.makes_user {
        planned.push(text(&layout.sysusers, unit::SYSUSERS.to_owned()));
    }
    planned.push(match unit::drop_in(words) {
        Some(words) => text(&layout.drop_in, words),
        None => Planned { path: layout.drop_in.clone(), contents: Contents::Nothing },
    });
    if words.app.is_none() && !has_config {
        planned.push(text(&layout.config, DOCUMENTED.to_owned()));
    }
    planned
}

fn printed(machine: &Machine, planned: &[Planned], words: &unit::Words, starts: bool) -> String {
    let mut said = String::new();
    for Planned { path, contents } in planned {
        let path = machine.real(path);
        let _ = match contents {
            Contents::ThisProgram => writeln!(said, "# {}: a copy of this program\n", path.display()),
            Contents::Text(text) => writeln!(said, "# {}\n{text}", path.display()),
            Contents::Nothing if path.exists() => writeln!(said, "# {}: removed\n", path.display()),
            Contents::Nothing => Ok(()),
        };
    }
    said.push_str("# then\n");
    if words.makes_user {
        said.push_str("systemd-sysusers\n");
    }
    said.push_str("systemctl daemon-reload\n");
    if starts {
        said.push_str("systemctl enable doorway.service\nsystemctl restart doorway.service\n");
    }
    said
}

/// What the words mean, and what may stand in their way.
fn notes(layout: &Layout, words: &unit::Words) -> String {
    let mut said = match &words.app {
        Some(app) => format!("it runs as {}, and writes below {}\n", words.user, app.writes_below.display()),
        None => format!("it runs as {}; its config is {}\n", words.user, layout.config.display()),
    };
    said.push_str(words.hint().trim_start_matches('\n'));
    if !said.ends_with('\n') {
        said.push('\n');
    }
    said
}
