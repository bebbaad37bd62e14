//! `doorway init`: a `proxy.toml` for what lies in the folder, with what most people change in comments.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use super::ask::say;
use super::source::{DEFAULT_FILE, Overrides, Source};
use crate::build::{Framework, NEXT_CONFIGS};

/// Where an app is looked for that is not started from here, unless its scripts name another port.
const USUAL_PORT: u16 = 3000;

/// What the folder holds.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// An app that the door starts: of which framework, and its distDir where the config spells one out.
    App { framework: &'static str, dist: Option<String> },
    /// Something that others start, on this port.
    Other { port: u16 },
}

/// Writes `proxy.toml` into `dir` (this folder without one), unless there is one.
///
/// # Errors
/// A sentence: there is a file already, or none can be written.
pub fn init(dir: Option<PathBuf>) -> Result<ExitCode, String> {
    let here = PathBuf::from(".");
    let dir = dir.unwrap_or(here);
    if !dir.is_dir() {
        return Err(format!("there is no folder {}", dir.display()));
    }
    let file = dir.join(DEFAULT_FILE);
    let finding = look(&dir);
    let written = File::create_new(&file).and_then(|mut new| new.write_all(text(&finding).as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{} is there already, and stays as it is", file.display()),
        _ => format!("cannot write {}: {error}", file.display()),
    })?;
    // What a start would say of it, which has its own reasons: the app's address may be the door's.
    let said = Overrides { dir: matches!(finding, Finding::App { .. }).then(|| dir.clone()), ..Overrides::default() };
    let checked = Source::new(Some(file.clone()), said).load();
    let (what, start) = match &finding {
        Finding::App { framework, .. } => (format!("an app of {framework}"), format!("doorway {}", dir.display())),
        Finding::Other { port } => {
            (format!("an app at http://127.0.0.1:{port}"), format!("doorway --config {}", file.display()))
        }
    };
    say(&format!(
        "{} is written, for {what}\nstart: {start}\ncheck: doorway check {}\n",
        file.display(),
        file.display()
    ));
    checked.map(|_| ExitCode::SUCCESS).map_err(|error| error.to_string())
}

fn look(dir: &Path) -> Finding {
    let manifest = std::fs::read(dir.join("package.json")).ok();
    let manifest: Value = manifest.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    match framework(&manifest) {
        Some(framework) => {
            let dist = if framework.is_next() { dist(dir) } else { None };
            Finding::App { framework: framework.name, dist }
        }
        None => Finding::Other { port: port(&manifest).unwrap_or(USUAL_PORT) },
    }
}

/// What the app is made with, where the door knows that. What is known by its start script alone may run elsewhere.
fn framework(manifest: &Value) -> Option<&'static Framework> {
    Framework::of(manifest).filter(|framework| !framework.is_other())
}

/// `distDir`, where the config of Next.js spells it out.
fn dist(dir: &Path) -> Option<String> {
    let text = NEXT_CONFIGS.iter().find_map(|name| std::fs::read_to_string(dir.join(name)).ok())?;
    let rest = text.split_once("distDir")?.1.trim_start().strip_prefix(':')?.trim_start();
    let quote = rest.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let value = rest[1..].split(quote).next()?;
    let is_plain = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    (is_plain && value != ".next").then(|| value.to_owned())
}

/// The port that the scripts name: `-p 4000`, `--port=4000`, `PORT=4000`.
fn port(manifest: &Value) -> Option<u16> {
    ["start", "dev"].iter().find_map(|name| {
        let script = manifest["scripts"][*name].as_str()?;
        let words: Vec<&str> = script.split([' ', '=']).collect();
        words.windows(2).find_map(|pair| match pair {
            ["-p" | "--port" | "PORT", port] => port.parse().ok(),
            _ => None,
        })
    })
}

fn text(finding: &Finding) -> String {
    let (app, name) = match finding {
        Finding::App { framework, dist } => {
            let dist = dist.as_ref().map_or_else(
                || {
                    "# dist = \".next\"                # where its build lies, if distDir of its config is another\n"
                        .to_owned()
                },
                |dist| format!("dist = {dist:?}  # distDir of its config\n"),
            );
            let dir = "dir = \".\"                         # installed, built, started and kept running; \
                relative to where doorway is started\n";
            let env = "# env = { DATABASE_URL = \"...\" }   # further environment; its .env files count anyway\n";
            (format!("{dir}{dist}{env}"), format!("this app of {framework}"))
        }
        Finding::Other { port } => {
            let url = format!("url = \"http://127.0.0.1:{port}\"     # an app that runs already\n");
            let dir = "# dir = \"/srv/app\"                # or a project to build, start and keep running: then without url\n";
            (url + dir, "an app".to_owned())
        }
    };
    format!(
        r#"# Doorway in front of {name}. What is not here has its default: `doorway config` prints every key.
# `doorway check` says what is wrong here, and `doorway reload` takes a change over.

[listen]
http = "0.0.0.0:8080"             # plain HTTP; 80 for the world
# https = "0.0.0.0:443"           # with a certificate in [tls]; `doorway --https` tries it with one of its own making

[tls]
# certificate = "/etc/doorway/fullchain.pem"  # PEM, leaf first; read again when it changes
# key = "/etc/doorway/privkey.pem"

[http]
# hosts = ["example.com"]         # the site's names; others get 421

[app]
{app}
[realtime]
# path = "/api/ws"                # where sockets go: new WebSocket("/api/ws/lobby")
# origins = ["https://app.example.com"]  # whose pages may open sockets, besides the site's own

# [[realtime.channel]]            # who may hear and speak: without any, channels are open to everybody
# match = "room-*"

[drain]
timeout = "25s"                   # from SIGTERM to the end, for what is under way
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_scripts() {
        for (script, expected) in [
            ("next dev -p 4000", Some(4000)),
            ("PORT=5000 node server.js", Some(5000)),
            ("vite --port 5173", Some(5173)),
            ("vite --port=5173 --open", Some(5173)),
            ("node server.js", None),
            ("serve -p www", None),
        ] {
            assert_eq!(port(&serde_json::json!({ "scripts": { "start": script } })), expected, "{script}");
        }
    }

    #[test]
    fn dist_is_read_where_it_is_spelt_out() {
        for (config, expected) in [
            ("module.exports = { distDir: 'build' }", Some("build")),
            ("export default { distDir : \"out/next\", x: 1 }", Some("out/next")),
            ("export default { distDir: process.env.DIST }", None),
            ("export default { distDir: `x` }", None),
            ("export default { distDir: '.next' }", None),
            ("export default {}", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("next.config.mjs"), config).unwrap();
            assert_eq!(dist(folder.path()).as_deref(), expected, "{config}");
        }
    }
}
