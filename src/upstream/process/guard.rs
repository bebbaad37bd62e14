//! What runs in the app's process before the app: an old process writes no pages into the folder of a new build.
//!
//! Next.js has no setting from outside for where a process writes its pages: `distDir` stands in next.config and in the
//! build, and `next start` in a folder of links to a copy changes what `import.meta.url`, files traced from the root of a
//! workspace and relative paths of the app mean. So the process stays where it is, and what it writes is looked at.

use std::path::Path;

const GUARD: &str = include_str!("guard.cjs");

/// JavaScript for `node -e`, which goes on with the program that `process.argv` names, as if nothing had been before it.
/// `served` is the folder of the build. `None` for a path that is not text.
pub fn guard(served: &Path) -> Option<String> {
    let served = serde_json::to_string(served.to_str()?).ok()?;
    let lines = GUARD.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    Some(format!("{code}({served})"))
}
