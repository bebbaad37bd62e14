//! A release of the app: made ready in its folder by whoever deploys it, and taken over by the process that serves.

use std::io;
use std::path::{Path, PathBuf};

use super::prepare::prepare;
use super::project::Project;
use crate::upstream::{Config, StartError};

/// What a supervised app is to be replaced by.
pub struct Takeover {
    /// The release's own folder, without links.
    pub directory: PathBuf,
    /// Paths of pages that must be answered below 500 before it is asked anything else.
    pub check: Vec<String>,
    /// Told what is being done, a clause each.
    pub progress: Box<dyn Fn(&str) + Send + Sync>,
    /// Done when the new process has shown that it answers, and before it is asked for anybody: makes it the live one on
    /// disk. An error leaves the old one in place.
    pub commit: Box<dyn FnOnce() -> io::Result<()> + Send>,
}

/// Installs the packages of the app in `directory` and builds it, where that is missing or asked for.
///
/// # Errors
/// [`StartError`]: not an app, no Node.js, a failed build, whose output is in the log.
pub async fn make_ready(directory: &Path, config: &Config) -> Result<(), StartError> {
    let mut project = Project::inspect(directory, &config.dist)?;
    prepare(&mut project, config, &|_| {}).await
}

/// Whether the app in `directory` is installed and built. Blocks.
pub fn is_whole(directory: &Path, config: &Config) -> bool {
    Project::inspect(directory, &config.dist)
        .is_ok_and(|project| project.installed().is_some() && !project.framework.is_other() && project.build().is_ok())
}
