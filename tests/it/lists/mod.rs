//! Promise: the lists of close codes and of metrics in the guides are what the code says.
//!
//! `DOORWAY_WRITE_LISTS=1 cargo test --test it lists::` writes them anew.

mod close_codes;
mod dashboard;
mod metrics;

use std::path::Path;

/// Compares a page with what it must be, or writes it.
fn hold(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os("DOORWAY_WRITE_LISTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let changed = text.lines().find(|line| !written.lines().any(|known| known == *line));
    assert!(
        written == text,
        "{page} is not what the code says (first at {changed:?}): \
         write it anew with DOORWAY_WRITE_LISTS=1 cargo test --test it lists::"
    );
}

/// Every Rust file below `folder`, with its text.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[test]
fn readme_leads_to_the_pages() {
    let readme = include_str!("../../../README.md");
    for page in [close_codes::PAGE, metrics::PAGE] {
        assert!(readme.contains(&format!("({page})")), "README.md has no link to {page}");
    }
}
