//! Variables that the config names: those of the environment, and those that the project keeps in files, as Next.js reads
//! them.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::RwLock;

static FILES: RwLock<BTreeMap<String, String>> = RwLock::new(BTreeMap::new());

/// Takes over the files of the project in `folder`, as they are now, in Next's order: what stands in the first counts.
/// Those that cannot be read say so as a sentence each.
pub fn read_files(folder: &Path, is_dev: bool) -> Vec<String> {
    let mode = if is_dev { "development" } else { "production" };
    let files = [format!(".env.{mode}.local"), ".env.local".into(), format!(".env.{mode}"), ".env".into()];
    let (mut found, mut problems) = (BTreeMap::new(), Vec::new());
    for file in files.map(|name| folder.join(name)).iter().filter(|file| file.is_file()) {
        match dotenvy::from_path_iter(file) {
            Ok(lines) => {
                for line in lines {
                    match line {
                        Ok((name, value)) => drop(found.entry(name).or_insert(value)),
                        Err(error) => problems.push(format!("{}: {error}", file.display())),
                    }
                }
            }
            Err(error) => problems.push(format!("cannot read {}: {error}", file.display())),
        }
    }
    *FILES.write() = found;
    problems
}

/// The variable `name`: the environment comes before the project's files.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().or_else(|| FILES.read().get(name).cloned())
}
