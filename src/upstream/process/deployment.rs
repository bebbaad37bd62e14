//! What a build of Next.js is told, so that a deploy breaks no open tab: a name of its own, which its pages say back with
//! each request, and the key of the app's Server Actions, which is the same for all its builds.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracing::warn;

use super::dist::config_says;
use super::project::Project;
use super::sources::ENV_FILES;
use crate::build::deployment_id;
use crate::disk;
use crate::settings::{app_folder_name, state_folder};
use crate::upstream::Config;

/// The name of a build. Next.js puts it into pages, into the addresses of chunks, and its client into requests.
const ID: &str = "NEXT_DEPLOYMENT_ID";
/// In next.config the same.
const ID_IN_CONFIG: &str = "deploymentId";
/// 32 bytes in base64: values that a Server Action closes over are encrypted with it, and names of actions made by it.
const KEY: &str = "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY";
const KEY_LENGTH: usize = 32;
/// Of random bytes: two builds of one app are told apart by it, no secret hangs on it.
const ID_LENGTH: usize = 6;

type Variables = Vec<(OsString, Option<OsString>)>;

/// Variables for `next build`. What the app sets by itself stays. Blocks.
pub fn of_build(project: &Project, config: &Config) -> Variables {
    let mut variables = Variables::new();
    if !project.framework.is_next() {
        return variables;
    }
    if !is_set(ID, project, config)
        && !config_says(&project.directory, ID_IN_CONFIG)
        && !config_says(&project.directory, ID)
        && let Some(id) = draw()
    {
        variables.push((ID.into(), Some(id.into())));
    }
    if !is_set(KEY, project, config)
        && !config_says(&project.directory, KEY)
        && let Some(app) = &config.dir
        && let Some(state) = state_folder()
        && let Some(name) = app_folder_name(app)
    {
        match key(&state.join("keys").join(name)) {
            Ok(key) => variables.push((KEY.into(), Some(key.into()))),
            Err(error) => {
                warn!(%error, folder = %state.display(), "the key of the app's Server Actions cannot be kept: forms of open \
                    tabs may fail after a deploy");
            }
        }
    }
    variables
}

/// Variables for a start of the build that is there: the name that it was built with, without which its pages would not
/// say it. Blocks.
pub fn of_start(project: &Project, config: &Config) -> Variables {
    if config.dev || !project.framework.is_next() || is_set(ID, project, config) {
        return Variables::new();
    }
    deployment_id(&project.dist).map(|id| (ID.into(), Some(id.into()))).into_iter().collect()
}

/// Whether the app's environment sets `name`: the config's, ours, which it gets too, or its `.env` files.
fn is_set(name: &str, project: &Project, config: &Config) -> bool {
    let is_in = |file: &&str| {
        let text = fs::read_to_string(project.directory.join(file)).unwrap_or_default();
        text.lines().any(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
        })
    };
    config.env.contains_key(name) || std::env::var_os(name).is_some() || ENV_FILES.iter().any(is_in)
}

/// Letters and digits, which is what Next.js takes.
fn draw() -> Option<String> {
    let mut bytes = [0; ID_LENGTH];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The key in `file`, which is made where there is none.
fn key(file: &Path) -> io::Result<String> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    loop {
        match fs::read_to_string(file) {
            Ok(text) if STANDARD.decode(text.trim()).is_ok_and(|key| key.len() == KEY_LENGTH) => {
                return Ok(text.trim().to_owned());
            }
            Ok(_) => {
                let what = format!("{} is no key: delete it", file.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        let mut key = [0; KEY_LENGTH];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("the system has no random bytes"))?;
        // Never over that of another door, which may have been first: read again.
        disk::place(file, STANDARD.encode(key).as_bytes(), 0o600)?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys/app-1");
        let made = key(&file).unwrap();
        assert_eq!(key(&file).unwrap(), made);
        assert_eq!(STANDARD.decode(&made).unwrap().len(), KEY_LENGTH);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no draft is left");
        fs::write(&file, "half a k").unwrap();
        assert!(key(&file).is_err(), "nobody's forms are broken by a new one");
    }
}
