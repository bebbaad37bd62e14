//! `distDir`: where `next build` puts its work, asked of Next.js itself, since its config is a program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;
use tracing::{info, warn};

use super::project::Project;
use crate::build;
use crate::upstream::Config;

/// How long a config may take to be read: one that waits for something else is left alone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Before what Next.js answers: its config may write to standard output too.
const MARK: &str = "doorway-reads-the-config:";

/// Reads the config as `next build` does.
const QUESTION: &str = r"
const need = require('node:module').createRequire(process.cwd() + '/package.json');
need('next/dist/server/config').default('phase-production-build', process.cwd(), { silent: true }).then(
  ({ distDir, output }) => { console.log('\n' + process.argv[1] + JSON.stringify({ distDir, output })); process.exit(); },
  () => process.exit(1),
);";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    dist_dir: PathBuf,
    /// With `export`, `distDir` is where the pages go, and the build is in the usual place.
    output: Option<String>,
}

/// Where the build of `project` goes, below its folder, as its own config says; `None` where `app.dist` stands, or nothing
/// asks for another place. Its packages must be installed.
pub async fn find(project: &Project, config: &Config) -> Option<PathBuf> {
    // To ask takes most of a second: where the usual place has a build and no config has the word, nobody waits for that.
    if !build::is_usual(&config.dist) || !(config_says(&project.directory, "distDir") || project.build().is_err()) {
        return None;
    }
    let mut node = Command::new(&config.node);
    node.args(["-e", QUESTION, "--", MARK]).current_dir(&project.directory).env("NODE_ENV", "production");
    node.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).envs(&config.env);
    let Ok(answered) = timeout(ANSWER_TIMEOUT, node.output()).await else {
        warn!(
            "Next.js does not say where its build goes: its config took longer than {ANSWER_TIMEOUT:?}; app.dist says it too"
        );
        return None;
    };
    let said = String::from_utf8_lossy(&answered.ok()?.stdout).into_owned();
    let answer: Answer = said.lines().rev().find_map(|line| serde_json::from_str(line.strip_prefix(MARK)?).ok())?;
    let is_another = answer.output.as_deref() != Some("export")
        && !build::is_usual(&answer.dist_dir)
        && !answer.dist_dir.as_os_str().is_empty();
    is_another.then(|| {
        info!(dist = %answer.dist_dir.display(), "the build goes where distDir of the app's config says");
        answer.dist_dir
    })
}

/// Whether a config of the project in `directory` has `word`.
pub fn config_says(directory: &Path, word: &str) -> bool {
    let has_word = |name: &str| fs::read_to_string(directory.join(name)).is_ok_and(|text| text.contains(word));
    build::NEXT_CONFIGS.iter().any(|name| has_word(name))
}
