//! A built Next.js project, as far as files go: the folders of a real build with content of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::door::{Door, PATIENCE};
use super::{App, client};

/// Lies in a temporary folder.
pub struct Project {
    folder: TempDir,
}

impl Project {
    /// A whole build named `one` without any files.
    pub fn new() -> Project {
        let project = Project::unbuilt();
        project.build("one");
        project
    }

    pub fn unbuilt() -> Project {
        Project { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn dist(&self) -> PathBuf {
        self.path().join(".next")
    }

    /// Begins as `next build` does: everything but the cache is deleted.
    pub fn clean(&self) {
        let Ok(entries) = fs::read_dir(self.dist()) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().unwrap() != "cache" {
                fs::remove_dir_all(path).unwrap();
            } else if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// Ends as `next build` does.
    pub fn build(&self, id: &str) {
        self.manifests(json!({ "basePath": "", "assetPrefix": "" }), json!([]));
        fs::create_dir_all(self.dist().join("static")).unwrap();
        fs::write(self.dist().join("BUILD_ID"), id).unwrap();
    }

    /// What the build says of next.config.
    pub fn manifests(&self, config: Value, headers: Value) {
        fs::create_dir_all(self.dist()).unwrap();
        let routes = json!({ "version": 3, "basePath": config["basePath"], "headers": headers });
        fs::write(self.dist().join("routes-manifest.json"), routes.to_string()).unwrap();
        let files = json!({ "version": 1, "config": config });
        fs::write(self.dist().join("required-server-files.json"), files.to_string()).unwrap();
    }

    /// Writes a file below `.next/static`.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.write_at(&format!(".next/static/{name}"), content)
    }

    /// Writes a file anywhere in the project.
    pub fn write_at(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        file
    }

    /// `[app]` and `[files]` for this project behind `app`; `more` is added to `[files]`.
    pub fn config(&self, app: &App, more: &str) -> String {
        format!("{}[files]\ndir = {:?}\n{more}\n", app.config(), self.path())
    }
}

/// Waits until `holds` says yes; panics when it never does.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
