//! Real apps, installed and built once for all tests, whichever comes first and in whichever process.

use std::fs::{File, read_dir};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use tempfile::TempDir;

/// The folder of the test app, built. Fails where it cannot be built: a test that needs it is never passed over.
pub fn test_app() -> PathBuf {
    built("tests/app")
}

/// A build of the test app for one door alone: what Next.js makes anew it writes into its build, where another process of the
/// same build would find it.
pub fn own_test_app() -> TempDir {
    own(&test_app())
}

/// The same of an app of Next.js 15 or 16, with both routers and `output: "standalone"`; `next start` serves it where it is
/// not `is_standalone`.
pub fn own_app_of(version: u8, is_standalone: bool) -> TempDir {
    let own = own(&built(&format!("tests/apps/rewrites-{version}")));
    if !is_standalone {
        std::fs::remove_dir_all(own.path().join(".next/standalone")).expect("a standalone build");
    }
    own
}

/// The same of an app of Next.js 16 with `cacheComponents`, languages and an image.
pub fn own_components_app() -> TempDir {
    own(&built("tests/apps/components"))
}

fn own(app: &Path) -> TempDir {
    let own = TempDir::new().expect("a folder");
    let is_copied = |name: &str| !["node_modules", ".doorway"].contains(&name) && !name.starts_with(".next-");
    for entry in read_dir(app).expect("the app").map(|entry| entry.expect("an entry")) {
        if is_copied(&entry.file_name().to_string_lossy()) {
            let copied = Command::new("cp").arg("-a").arg(entry.path()).arg(own.path()).status().expect("cp runs");
            assert!(copied.success());
        }
    }
    symlink(app.join("node_modules"), own.path().join("node_modules")).expect("a link");
    own
}

/// The same for an app with a route for callbacks in the Pages Router, below `/docs`, with locales and a `proxy.js`.
pub fn pages_callback_app() -> PathBuf {
    built("tests/apps/pages-callback")
}

fn built(app: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = root.join("target").join(format!("{}.lock", app.replace('/', "-")));
    let app = root.join(app);
    let lock = File::create(lock).expect("a lock file");
    lock.lock().expect("the lock");
    if is_older(&app.join("node_modules/.package-lock.json"), modified(&app.join("package-lock.json"))) {
        npm(&app, &["ci", "--no-audit", "--no-fund"]);
    }
    if is_older(&app.join(".next/BUILD_ID"), newest(&app)) {
        npm(&app, &["run", "build"]);
    }
    app
}

fn npm(app: &Path, arguments: &[&str]) {
    let mut npm = Command::new("npm");
    let output = npm.args(arguments).env("NEXT_TELEMETRY_DISABLED", "1").current_dir(app).output().expect("npm runs");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "npm {arguments:?}: {}", String::from_utf8_lossy(&text));
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn is_older(path: &Path, than: Option<SystemTime>) -> bool {
    modified(path) < than
}

/// When the source was last changed; what the build and a running door write there apart.
fn newest(folder: &Path) -> Option<SystemTime> {
    let is_source =
        |name: &str| !name.starts_with(".next") && !["node_modules", "next-env.d.ts", ".doorway"].contains(&name);
    let entries = read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let sources = entries.filter(|entry| is_source(&entry.file_name().to_string_lossy())).map(|entry| entry.path());
    sources.filter_map(|path| if path.is_dir() { newest(&path) } else { modified(&path) }).max()
}
