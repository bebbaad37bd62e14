//! SIGHUP and `POST /reload`: the config read anew. A bad one leaves the old one in place and says why.

use serde_json::json;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::changes::Changes;
use super::services::{Outcome, Services};
use super::source::Source;
use super::systemd;
use crate::admin::ReloadReport;
use crate::config::{Config, ConfigError};
use crate::drain::Signal;
use crate::telemetry::log;
use crate::upstream::{Reloaded, StartError};

/// A config that was taken.
pub struct Reloading {
    pub config: Config,
    /// What becomes of the app.
    pub app: Outcome,
    /// Keys that are other than at the start, and that only a restart can change.
    pub pending: Vec<&'static str>,
    /// What the file says other than before.
    pub changes: Changes,
}

/// Reads the config again and hands it to every room; `started` is the one the process began with.
/// Gives what is so now and what is still to come.
///
/// # Errors
/// Why the old config stays.
pub fn reload(source: &mut Source, started: &Config, services: &Services) -> Result<Reloading, String> {
    let config = match source.load() {
        Ok(config) => config,
        Err(refused) => {
            explain(&refused);
            error!(config = source.name(), "the config is refused, the old one stays");
            return Err(refused.to_string());
        }
    };
    let app = services.reload(&config).inspect_err(|why| {
        error!(config = source.name(), why, "the config is refused, the old one stays");
    })?;
    log::reload(&config.log);
    let pending = config.needs_restart(started);
    for key in &pending {
        warn!(key, "changed, but needs a restart");
    }
    let changes = source.hold();
    for section in &changes.opened {
        warn!(section, "the new config has less of what keeps clients out");
    }
    info!(config = source.name(), changes = changes.lines.join("; "), "reloaded");
    Ok(Reloading { config, app, pending, changes })
}

/// Waits for what becomes of the app, and tells whoever asked and the service manager.
pub async fn report(
    app: Outcome,
    pending: Vec<&'static str>,
    changes: Changes,
    asked: Option<oneshot::Sender<ReloadReport>>,
    drain: Signal,
) {
    let outcome = app.await.unwrap_or_else(|_| Err(StartError("the door is being stopped".into())));
    let (status, mut report) = match outcome {
        Ok(Reloaded::Replaced { before, now }) => {
            let told = json!({ "ok": true, "config": "taken", "app": "replaced", "before": before, "now": now });
            ("reloaded, the app was replaced", ReloadReport { is_taken: true, told })
        }
        Ok(Reloaded::Unchanged) => {
            let told = json!({ "ok": true, "config": "taken", "app": "unchanged" });
            ("reloaded", ReloadReport { is_taken: true, told })
        }
        Err(why) => {
            let told = json!({ "ok": false, "config": "taken", "app": "failed", "reason": why.to_string() });
            ("reloaded, but the new app does not start: the old one stays", ReloadReport { is_taken: false, told })
        }
    };
    if !pending.is_empty() {
        report.is_taken = false;
        report.told["ok"] = json!(false);
        report.told["needs_restart"] = json!(pending);
        if report.told["reason"].is_null() {
            report.told["reason"] = json!(format!("all but {}, which needs a restart", pending.join(", ")));
        }
    }
    report.told["changes"] = json!(changes.lines);
    if !changes.opened.is_empty() {
        report.told["opened"] = json!(changes.opened);
    }
    if drain.is_running() {
        systemd::ready(status);
    }
    // Nobody may wait any more.
    let _ = asked.map(|asked| asked.send(report));
}

/// Tells of a config that is refused for `reason`.
pub fn refused(reason: &str, asked: Option<oneshot::Sender<ReloadReport>>) {
    systemd::ready("the new config is refused, the old one holds");
    let told = json!({ "ok": false, "config": "refused", "app": "unchanged", "reason": reason });
    let _ = asked.map(|asked| asked.send(ReloadReport { is_taken: false, told }));
}

fn explain(refused: &ConfigError) {
    match refused {
        ConfigError::Read { .. }
        | ConfigError::Emptied { .. }
        | ConfigError::OwnUpstream(_)
        | ConfigError::Domain(_) => error!("{refused}"),
        ConfigError::Wrong(problems) => {
            for problem in problems.iter() {
                error!(place = problems.place(problem), help = problem.help.as_deref(), "{}", problem.what);
            }
        }
    }
}
