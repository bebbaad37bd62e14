//! Tells people what the cache declares old, on a channel of the hub: the rooms know nothing of each other.
#![expect(clippy::disallowed_methods, reason = "it serves nobody that a drain should wait for")]

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use crate::cache::{self, Cache};
use crate::drain::Signal;
use crate::realtime;
use crate::realtime::hub::Hub;
use crate::realtime::hub::policy::{Allowed, MemberLimit, Policy, Rule};
use crate::realtime::vocabulary::{Audience, Channel, Draft, Moment, Payload, Publish};
use crate::settings::Pattern;

/// Where it is told.
pub const CHANNEL: &str = "doorway:revalidated";

/// An action declares several paths and tags old, one after another: they are told together.
const GATHERING: Duration = Duration::from_millis(20);

/// The section `[realtime]`, where the channel may be heard by anybody and spoken into by the door alone, unless a section of
/// the file names it.
pub fn with_policy(section: &realtime::Config, cache: &cache::Config) -> realtime::Config {
    let mut section = section.clone();
    let is_named = |rule: &Rule| rule.patterns.iter().any(|pattern| pattern.as_str() == CHANNEL);
    if cache.tell && !section.hub.channels.iter().any(is_named) {
        // For pages that come back to it.
        let policy = Policy { publish: Allowed::App, history: 100, presence: MemberLimit::Off, ..Policy::default() };
        section.hub.channels.insert(0, Rule { patterns: vec![Pattern::new(CHANNEL)], policy });
    }
    section
}

/// Starts telling.
pub fn start(cache: Arc<Cache>, hub: Arc<Hub>, mut drain: Signal) {
    let channel = match Channel::new(CHANNEL) {
        Ok(channel) => channel,
        Err(error) => return warn!(%error, "nobody is told what is old"),
    };
    tokio::spawn(async move {
        loop {
            let announcement = tokio::select! {
                announcement = cache.announcements().next(GATHERING) => announcement,
                _ = drain.draining() => return,
            };
            let mut draft = Draft::new(Payload::Json(announcement.to_json().to_string().into()));
            draft.name = Some("revalidated".into());
            let publish = Publish { ticket: 0, audience: Audience::Channel(channel.clone()), draft, echo: true };
            if let Err(refusal) = hub.publish_shared(publish, Moment::now()).await {
                debug!(?refusal, "nobody was told what is old");
            }
        }
    });
}
