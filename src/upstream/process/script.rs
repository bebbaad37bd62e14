//! A start script of the project's own: what it does besides `next start` was meant, so the package manager runs it.

use std::path::{Path, PathBuf};

use super::project::{Project, package_manager};
use crate::upstream::Config;

/// What ends a command, begins another, or says that what follows is text: flags at the end of such a line are nobody's.
const NOT_FLAGS: &[char] = &['&', '|', ';', '<', '>', '(', ')', '"', '\'', '`', '#', '\n'];
/// Options of `next start` and `next dev` that the door gives itself: whoever asks for no more asks for nothing of his own.
const OURS: [&str; 5] = ["-p", "--port", "-H", "--hostname", "--keepAliveTimeout"];

/// A script that is more than the command that the door would run.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnScript {
    /// `start` or `dev`.
    pub name: &'static str,
    /// As it stands in the manifest.
    pub text: String,
    /// Options behind it are those of the framework's own program; others know their port by `PORT` alone.
    pub takes_options: bool,
}

impl OwnScript {
    /// The script that runs the app, where it has one that is more than `next start`, `next dev` or their like.
    pub fn of(project: &Project, config: &Config) -> Option<OwnScript> {
        let (framework, name) = (project.framework, if config.dev { "dev" } else { "start" });
        let text = project.script(name)?;
        let has_hooks = ["pre", "post"].iter().any(|hook| project.script(&format!("{hook}{name}")).is_some());
        let command = if config.dev { Some(framework.dev) } else { framework.start.tool };
        let is_plain = match framework {
            framework if framework.is_next() => is_plain(text, name),
            _ if config.dev => command.is_some_and(|tool| text == tool.words() || text == tool.program),
            _ => framework.start.scripts.contains(&bare(text).as_str()),
        };
        if is_plain && !has_hooks && !framework.is_other() {
            return None;
        }
        // Servers of a build take no options.
        let command = command.filter(|_| framework.is_next() || config.dev).filter(|_| !framework.is_other());
        let takes_options = command.is_some_and(|tool| ends_in(text, &tool.words()));
        Some(OwnScript { name, text: text.to_owned(), takes_options })
    }

    /// The command line that runs it with `options` of the framework; `None` where there is no such program.
    pub fn command(&self, project: &Project, config: &Config, options: &[String]) -> Option<(PathBuf, Vec<String>)> {
        let (manager, _) = package_manager(project);
        let program = find(manager, config)?;
        let mut arguments = vec!["run".to_owned(), self.name.to_owned()];
        if self.takes_options {
            // npm alone keeps options for itself; the others would hand on the dashes.
            arguments.extend((manager == "npm").then(|| "--".to_owned()));
            arguments.extend(options.iter().cloned());
        }
        Some((program, arguments))
    }
}

/// Whether `text` says no more than the door says by itself: `next start` with its address, or a standalone server.
fn is_plain(text: &str, name: &str) -> bool {
    let words: Vec<_> = text.split_whitespace().collect();
    match words[..] {
        ["node", server] => server.trim_start_matches("./").ends_with(".next/standalone/server.js"),
        ["next" | "npx", ..] => {
            let words = words.iter().skip_while(|word| **word == "npx").copied().collect::<Vec<_>>();
            words.len() >= 2 && words[..2] == ["next", name] && are_ours(&words[2..])
        }
        _ => false,
    }
}

/// `text` without what only says where and how: `cross-env NODE_ENV=production node ./build` is `node build`.
fn bare(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !["cross-env", "npx", "NODE_ENV=production"].contains(word));
    words.map(|word| word.trim_start_matches("./").trim_end_matches('/')).collect::<Vec<_>>().join(" ")
}

fn are_ours(mut options: &[&str]) -> bool {
    while let [option, rest @ ..] = options {
        let (name, has_value) = option.split_once('=').map_or((*option, false), |(name, _)| (name, true));
        if !OURS.contains(&name) {
            return false;
        }
        options = if has_value { rest } else { rest.get(1..).unwrap_or_default() };
    }
    true
}

/// Whether the last command of `text` is `words` (`next start`), with nothing but options behind it.
fn ends_in(text: &str, words: &str) -> bool {
    let Some(at) = text.rfind(words) else { return false };
    let (before, behind) = (&text[..at], &text[at + words.len()..]);
    let begins = before.is_empty() || before.ends_with([' ', '\t', '/']);
    // An odd number of quotes before it: it is part of a text.
    let is_quoted = ['"', '\''].iter().any(|quote| before.matches(*quote).count() % 2 == 1);
    begins && !is_quoted && (behind.is_empty() || behind.starts_with(' ')) && !behind.contains(NOT_FLAGS)
}

/// Where `program` is, by the `PATH` that the app gets.
fn find(program: &str, config: &Config) -> Option<PathBuf> {
    let path = config.env.get("PATH").map(Into::into).or_else(|| std::env::var_os("PATH"))?;
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(program));
    found.find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_next_start_is_seen() {
        for plain in [
            "next start",
            "npx next start",
            "next start -p 3000 --hostname=0.0.0.0",
            "next start -p $PORT",
            "node .next/standalone/server.js",
            "node ./.next/standalone/server.js",
        ] {
            assert!(is_plain(plain, "start"), "{plain}");
        }
        for own in [
            "next start --inspect",
            "NODE_OPTIONS=--max-old-space-size=4096 next start",
            "prisma migrate deploy && next start",
            "next start & node worker.js",
            "node server.js",
            "next dev",
            "next",
        ] {
            assert!(!is_plain(own, "start"), "{own}");
        }
    }

    #[test]
    fn what_only_says_where_and_how_is_nothing_of_its_own() {
        for (text, expected) in [
            ("react-router-serve ./build/server/index.js", "react-router-serve build/server/index.js"),
            ("cross-env NODE_ENV=production node ./build/", "node build"),
            ("node --env-file=.env build", "node --env-file=.env build"),
        ] {
            assert_eq!(bare(text), expected);
        }
    }

    #[test]
    fn options_go_behind_next_start_and_behind_nothing_else() {
        for ends in [
            "prisma migrate deploy && next start",
            "dotenv -e .env.production -- next start -p 3001",
            "node --inspect node_modules/.bin/next start",
            "NODE_OPTIONS='--max-old-space-size=4096' next start -p ${PORT:-3000}",
        ] {
            assert!(ends_in(ends, "next start"), "{ends}");
        }
        for other in [
            "next start & node worker.js",
            "next start | pino-pretty",
            "concurrently \"next start\" \"node worker.js\"",
            "concurrently 'node worker.js' 'next start'",
            "sh -c \"migrate && next start",
            "next start-all",
            "mynext start",
            "node server.js",
        ] {
            assert!(!ends_in(other, "next start"), "{other}");
        }
    }
}
