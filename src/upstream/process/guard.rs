//! What runs in the app's process before the app: an old process writes no pages into the folder of a new build, and a
//! server that knows no proxy is told that a request came over https.
//!
//! Next.js has no setting from outside for where a process writes its pages: `distDir` stands in next.config and in the
//! build, and `next start` in a folder of links to a copy changes what `import.meta.url`, files traced from the root of a
//! workspace and relative paths of the app mean. So the process stays where it is, and what it writes is looked at.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

const GUARD: &str = include_str!("guard.cjs");
const PROXIED: &str = include_str!("proxied.cjs");

/// JavaScript for `node -e`, which goes on with the program that `process.argv` names, as if nothing had been before it.
/// `served` is the folder of the build. `None` for a path that is not text.
pub fn guard(served: &Path) -> Option<String> {
    let served = serde_json::to_string(served.to_str()?).ok()?;
    Some(format!("{}({served})", code(GUARD)))
}

/// The same as an option for `NODE_OPTIONS`, for whatever Node.js runs by a script. A data URL, since the script may run
/// where a file of ours cannot be read.
pub fn guard_option(served: &Path) -> Option<String> {
    let served = serde_json::to_string(served.to_str()?).ok()?;
    let module = format!(
        "import {{ createRequire }} from 'node:module';\nconst require = createRequire('/');\n{}({served}, true)",
        code(GUARD)
    );
    Some(format!("--import=data:text/javascript,{}", percent_encode(module.as_bytes(), NON_ALPHANUMERIC)))
}

/// Likewise, for a server that has no setting for a proxy.
pub fn proxied() -> String {
    format!("{}()", code(PROXIED))
}

/// Without comments: it stands in the list of processes.
pub fn code(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}
