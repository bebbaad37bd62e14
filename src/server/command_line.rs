//! What a user types, and what the process exits with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing::{error, info, warn};

use super::Doorway;
use super::ask::{self, Which};
use super::cached::{self, CacheOptions};
use super::defaults;
use super::deploy::{self, Deploying, Whose};
use super::documents::{self, DocumentsOptions};
use super::first_process;
use super::init;
use super::install::{self, Installation, Removal};
use super::runtime::{LAST_WORK, runtime};
use super::source::{DEFAULT_FILE, Overrides, Source};
use super::top::{self, TopOptions};
use crate::config::Config;
use crate::releases::ReleaseId;
use crate::settings::nearest;
use crate::telemetry::log;
use crate::tls::Directory;
use crate::tls::acme::survey;
use crate::upstream::{Address, AddressError, BuildPolicy};

const EXIT_CODES: &str = "\
Exit codes:
  0  ended as asked (SIGTERM, SIGINT, POST /drain), also where the drain's deadline cut requests short
  1  something is wrong: the config, a port, the app
  2  the command line cannot be understood

Signals:
  SIGTERM, SIGINT  accept nothing, finish what is under way, end; a second one ends at once
  SIGHUP           read the config and the certificates again; a bad config leaves the old one in place";

/// The front door of a self-hosted Next.js app: HTTP, TLS and WebSockets on one listener.
///
/// Without DIR it fronts the app that `[app]` in the config names, by default http://127.0.0.1:3000, on port 8080.
#[derive(Debug, Parser)]
#[command(name = "doorway", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with a config file, with line numbers; exit 1 if anything is
    Check {
        /// The file, or the folder of a project [default: proxy.toml, else the built-in defaults]
        #[arg(value_name = "FILE or DIR")]
        file: Option<PathBuf>,
        /// Look at the network too: does the certificate authority answer, do the names of `[tls] domains` lead anywhere
        #[arg(long)]
        online: bool,
    },
    /// Print the default configuration, every key with its unit and a line of why
    Config {
        /// Print instead what FILE changes of it: key, value, default; exit 1 if FILE is wrong [default: proxy.toml]
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = DEFAULT_FILE)]
        diff: Option<PathBuf>,
    },
    /// Write a commented proxy.toml for what lies in a folder; one that is there stays
    Init {
        /// The folder [default: this one]
        dir: Option<PathBuf>,
    },
    /// Make this a service of systemd that starts with the machine; again with other words to change them. Needs root
    Install(Installation),
    /// Take away what `doorway install` wrote. Config and state stay. Needs root
    Uninstall(Removal),
    /// Say whether the running door is ready, and how many connections there are of each kind; exit 1 if it is not
    Status {
        #[command(flatten)]
        which: Which,
    },
    /// Make a release of the app, and put it in the place of the one that runs, without a gap; exit 1 if that stays
    Deploy {
        #[command(flatten)]
        deploying: Deploying,
        #[command(flatten)]
        whose: Whose,
    },
    /// Put an earlier release in the place of the one that runs, without building; exit 1 if that stays
    Rollback {
        /// Its name, as `doorway releases` has it [default: the newest that is older than the live one]
        id: Option<ReleaseId>,
        #[command(flatten)]
        whose: Whose,
    },
    /// List the releases that are on disk, newest first: name, when it was made, from what, and which is live
    Releases {
        #[command(flatten)]
        whose: Whose,
    },
    /// Show what the running door does: requests, sockets, memory, certificates; each second anew on a terminal
    Top {
        #[command(flatten)]
        options: TopOptions,
    },
    /// List the answers of the app that the running door keeps, tell it which are old, or ask why one is kept or not
    Cache {
        #[command(flatten)]
        options: CacheOptions,
    },
    /// List, export, import, delete or copy the documents that are edited through the door, while it runs or not
    Documents {
        #[command(flatten)]
        options: DocumentsOptions,
    },
    /// Ask the running door to read its config and take over the app's build, and wait; exit 1 with the reason if not
    Reload {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// An app to install, build, start and keep running; takes the place of `[app]` url and dir
    dir: Option<PathBuf>,
    /// The config file [default: proxy.toml in DIR, else the one here, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The port of plain HTTP, in place of that in `[listen]`; with --https, of https
    #[arg(long)]
    port: Option<u16>,
    /// Listen for https, on port 8443 or that of --port, with a self-signed certificate where `[tls]` has none
    #[arg(long)]
    https: bool,
    /// A name to serve by https, with a certificate ordered from Let's Encrypt (or whom `[tls.acme]` names), to whose
    /// terms this agrees; listens on ports 80 and 443. May be given several times
    #[arg(long = "domain", value_name = "NAME")]
    domains: Vec<String>,
    /// An app that runs already, as in http://localhost:3000
    #[arg(long, value_name = "URL", value_parser = app_address)]
    app: Option<Address>,
    /// Run `next dev` instead of a build
    #[arg(long)]
    dev: bool,
    /// Open a browser when the door is ready
    #[arg(long)]
    open: bool,
    /// Build the project, also where its build is newer than its sources
    #[arg(long)]
    build: bool,
    /// Neither install nor build: that was done elsewhere
    #[arg(long, conflicts_with = "build")]
    no_build: bool,
}

/// What may be mistyped, and is then taken for a folder.
const COMMANDS: [&str; 14] = [
    "init",
    "install",
    "uninstall",
    "check",
    "config",
    "reload",
    "status",
    "cache",
    "documents",
    "top",
    "deploy",
    "rollback",
    "releases",
    "help",
];

/// Does what `arguments` (with the program's name first) say.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command_line = match CommandLine::try_parse_from(&arguments) {
        Ok(command_line) => command_line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = match command_line.command {
        Some(Command::Check { file, online }) => check(file.as_deref(), online),
        Some(Command::Config { diff }) => print_config(diff.as_deref()),
        Some(Command::Init { dir }) => init::init(dir),
        Some(Command::Install(told)) => install::install(told),
        Some(Command::Uninstall(told)) => install::uninstall(&told),
        Some(Command::Status { which }) => ask::status(&which),
        Some(Command::Cache { options }) => cached::cache(&options),
        Some(Command::Documents { options }) => documents::documents(&options),
        Some(Command::Top { options }) => top::top(&options),
        Some(Command::Reload { which }) => ask::reload(&which),
        Some(Command::Deploy { deploying, whose }) => deploy::deploy(&deploying, &whose),
        Some(Command::Rollback { id, whose }) => deploy::rollback(id.as_ref(), &whose),
        Some(Command::Releases { whose }) => deploy::releases(&whose),
        None if first_process::is_first() => first_process::run(arguments.into_iter().skip(1)),
        None => serve(command_line.serve),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            eprintln!("doorway: {message}");
            ExitCode::FAILURE
        }
    }
}

/// `place` is a file, a folder as in `doorway DIR`, or nothing: then it is the file that a start here would read.
fn check(place: Option<&Path>, online: bool) -> Result<ExitCode, String> {
    let (file, dir) = match place {
        Some(dir) if dir.is_dir() => (None, Some(dir.to_owned())),
        file => (file.map(Path::to_owned), None),
    };
    let mut source = Source::new(file, Overrides { dir, ..Overrides::default() });
    let config = source.load().map_err(|error| error.to_string())?;
    let name = source.name();
    // No reason to stay closed, so `load` lets them pass.
    let outdated = config.tls.outdated();
    if !outdated.is_empty() {
        return Err(format!("{name}: {}", outdated.join("\n")));
    }
    let mut said = vec![format!("{name}: no problems")];
    said.extend(config.oddities().iter().map(|odd| format!("odd: {odd}")));
    if !config.tls.domains.is_empty() {
        let (domains, acme) = (config.tls.domains.join(" "), &config.tls.acme);
        let or = |other: &Directory| format!(", or where that fails for long {}", other.host());
        let authority = acme.directory.host().to_owned() + &acme.fallback.as_ref().map(or).unwrap_or_default();
        said.push(format!("certificates are ordered from {authority}, to whose terms this agrees: {domains}"));
    }
    match config.realtime.hub.open() {
        open if open.is_empty() => said.push("no channel is open to anyone".to_owned()),
        open => said.extend(open),
    }
    let mut wrong = Vec::new();
    if online && !config.tls.domains.is_empty() {
        let (holds, fails) = runtime().map_err(|error| error.to_string())?.block_on(survey(&config.tls));
        (said, wrong) = (said.into_iter().chain(holds).collect(), fails);
    }
    ask::say(&(said.join("\n") + "\n"));
    if wrong.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(wrong.join("\n")) }
}

fn app_address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|AddressError(words)| format!("it must be {words}"))
}

fn print_config(diff: Option<&Path>) -> Result<ExitCode, String> {
    let text = match diff {
        Some(file) => defaults::differences(file).map_err(|error| error.to_string())?,
        None => defaults::DOCUMENTED.to_owned(),
    };
    ask::say(&text);
    if text.is_empty() {
        eprintln!("nothing differs from the defaults");
    }
    Ok(ExitCode::SUCCESS)
}

/// Until the log is there, what is wrong is an `Err` to be printed; from then on it is said in the log.
fn serve(serve: Serve) -> Result<ExitCode, String> {
    let build = match (serve.build, serve.no_build) {
        (true, _) => Some(BuildPolicy::Always),
        (_, true) => Some(BuildPolicy::Never),
        _ => None,
    };
    if let Some(dir) = serve.dir.as_deref().filter(|dir| !dir.exists())
        && let Some(command) = dir.to_str().and_then(|word| nearest(word, &COMMANDS))
    {
        return Err(format!("there is no folder {}: did you mean `doorway {command}`?", dir.display()));
    }
    let said = Overrides {
        dir: serve.dir,
        app: serve.app,
        build,
        dev: serve.dev,
        port: serve.port,
        https: serve.https,
        domains: serve.domains,
    };
    let mut source = Source::new(serve.config, said);
    let config = source.load().map_err(|error| error.to_string())?;
    source.hold();
    log::start(&config.log)?;
    let code = live(config, source, serve.open);
    log::flush(LAST_WORK);
    Ok(code)
}

fn live(config: Config, source: Source, opens: bool) -> ExitCode {
    info!(version = env!("CARGO_PKG_VERSION"), config = source.name(), "starting");
    for odd in config.oddities().iter().chain(&source.complaints) {
        warn!("{odd}");
    }
    if let Some(file) = source.overlooked() {
        warn!(file = %file.display(), "not read: another config was found first");
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(Doorway::run(config, source, opens));
    runtime.shutdown_timeout(LAST_WORK);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}
