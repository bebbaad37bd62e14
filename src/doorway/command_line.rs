//! What a user types, and what it exits with: 0 done, 1 something is wrong, 2 the command line itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::Doorway;
use crate::config::Config;
use crate::telemetry::log;

/// The front door of a self-hosted Next.js app: HTTP, TLS and WebSockets on one listener.
#[derive(Debug, Parser)]
#[command(name = "doorway", version, args_conflicts_with_subcommands = true)]
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
        /// The file [default: proxy.toml]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// A Next.js project to install, build, start and keep running
    dir: Option<PathBuf>,
    /// The config file [default: ./proxy.toml if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const DEFAULT_FILE: &str = "proxy.toml";

/// Does what `arguments` (with the program's name first) say.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command_line = match CommandLine::try_parse_from(arguments) {
        Ok(command_line) => command_line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = match command_line.command {
        Some(Command::Check { file }) => check(file.as_deref().unwrap_or(Path::new(DEFAULT_FILE))),
        None => serve(command_line.serve),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("doorway: {message}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path) -> Result<(), String> {
    Config::load(file).map_err(|error| error.to_string())?;
    println!("{}: no problems", file.display());
    Ok(())
}

fn serve(serve: Serve) -> Result<(), String> {
    let file = serve.config.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()));
    let mut config = match &file {
        Some(file) => Config::load(file).map_err(|error| error.to_string())?,
        None => Config::default(),
    };
    if let Some(dir) = serve.dir {
        config.app.url = None;
        config.app.dir = Some(dir);
    }
    log::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async { Doorway::start(config, file).await.map_err(|error| error.to_string())?.run().await })
}
