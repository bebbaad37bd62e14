//! SIGHUP: the config read anew. A bad one leaves the old one in place and says why.

use tracing::{error, info, warn};

use super::rooms::Rooms;
use super::source::Source;
use crate::config::{Config, ConfigError};
use crate::telemetry::log;

/// Reads the config again and hands it to every room; `started` is the one the process began with.
/// Gives the config that now holds, or nothing when the old one stays.
pub fn reload(source: &mut Source, started: &Config, rooms: &Rooms) -> Option<Config> {
    let config = match source.load() {
        Ok(config) => config,
        Err(refused) => {
            explain(&refused);
            error!(config = source.name(), "the config is refused, the old one stays");
            return None;
        }
    };
    if let Err(why) = rooms.reload(&config) {
        error!(config = source.name(), why, "the config is refused, the old one stays");
        return None;
    }
    log::reload(&config.log);
    for key in config.needs_restart(started) {
        warn!(key, "changed, but needs a restart");
    }
    info!(config = source.name(), "reloaded");
    Some(config)
}

fn explain(refused: &ConfigError) {
    match refused {
        ConfigError::Read { .. } => error!("{refused}"),
        ConfigError::Wrong(problems) => {
            for problem in problems.iter() {
                error!(place = problems.place(problem), help = problem.help.as_deref(), "{}", problem.what);
            }
        }
    }
}
