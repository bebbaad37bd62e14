//! The sections `[[realtime.pusher.webhooks]]`: who is told of what.

use crate::callbacks::Receiver;
use crate::settings::{Pattern, Section, keywords};

/// One receiver of webhooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// A path of the app, or an absolute URL with http or https. No default.
    pub receiver: Receiver,
    /// Default all.
    pub events: Vec<HookEvent>,
    /// Names of channels, as the app's clients call them. Default all.
    pub channels: Vec<Pattern>,
}

/// What can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEvent {
    ChannelOccupied,
    ChannelVacated,
    MemberAdded,
    MemberRemoved,
    ClientEvent,
    CacheMiss,
    SubscriptionCount,
}

keywords!(HookEvent {
    "channel_occupied" => ChannelOccupied,
    "channel_vacated" => ChannelVacated,
    "member_added" => MemberAdded,
    "member_removed" => MemberRemoved,
    "client_event" => ClientEvent,
    "cache_miss" => CacheMiss,
    "subscription_count" => SubscriptionCount,
});

impl HookEvent {
    const ALL: [HookEvent; 7] = [
        HookEvent::ChannelOccupied,
        HookEvent::ChannelVacated,
        HookEvent::MemberAdded,
        HookEvent::MemberRemoved,
        HookEvent::ClientEvent,
        HookEvent::CacheMiss,
        HookEvent::SubscriptionCount,
    ];

    pub fn label(self) -> &'static str {
        match self {
            HookEvent::ChannelOccupied => "channel_occupied",
            HookEvent::ChannelVacated => "channel_vacated",
            HookEvent::MemberAdded => "member_added",
            HookEvent::MemberRemoved => "member_removed",
            HookEvent::ClientEvent => "client_event",
            HookEvent::CacheMiss => "cache_miss",
            HookEvent::SubscriptionCount => "subscription_count",
        }
    }
}

impl Hook {
    /// `None` where it says nowhere to tell.
    pub fn read(section: &Section) -> Option<Hook> {
        let events = section.value("events", HookEvent::ALL.to_vec());
        let channels = section.value("channels", vec![Pattern::new("*")]);
        let Some(receiver) = section.optional::<String>("url").as_deref().and_then(Receiver::read) else {
            let help = Some("as in \"/api/pusher/webhook\" or \"https://hooks.example.com/pusher\"");
            section.problem("url", "a webhook needs a path of the app, or a URL with http:// or https://", help);
            return None;
        };
        Some(Hook { receiver, events, channels })
    }

    /// Whether it is told of `event` in the channel that clients call `name`.
    pub fn wants(&self, event: HookEvent, name: &str) -> bool {
        self.events.contains(&event) && self.channels.iter().any(|pattern| pattern.fits(name))
    }
}
