//! The sections `[[realtime.liveblocks.webhooks]]`: who is told of what.

use crate::realtime::webhooks::SignedReceiver;
use crate::settings::{Section, keywords};

/// One receiver of webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomHook {
    pub to: SignedReceiver,
    /// Default all.
    pub events: Vec<RoomEvent>,
}

/// What can be told, by the names that the vendor's library knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomEvent {
    RoomCreated,
    RoomDeleted,
    UserEntered,
    UserLeft,
    StorageUpdated,
    YdocUpdated,
}

keywords!(RoomEvent {
    "roomCreated" => RoomCreated,
    "roomDeleted" => RoomDeleted,
    "userEntered" => UserEntered,
    "userLeft" => UserLeft,
    "storageUpdated" => StorageUpdated,
    "ydocUpdated" => YdocUpdated,
});

impl RoomEvent {
    const ALL: [RoomEvent; 6] = [
        RoomEvent::RoomCreated,
        RoomEvent::RoomDeleted,
        RoomEvent::UserEntered,
        RoomEvent::UserLeft,
        RoomEvent::StorageUpdated,
        RoomEvent::YdocUpdated,
    ];

    pub fn label(self) -> &'static str {
        match self {
            RoomEvent::RoomCreated => "roomCreated",
            RoomEvent::RoomDeleted => "roomDeleted",
            RoomEvent::UserEntered => "userEntered",
            RoomEvent::UserLeft => "userLeft",
            RoomEvent::StorageUpdated => "storageUpdated",
            RoomEvent::YdocUpdated => "ydocUpdated",
        }
    }
}

impl RoomHook {
    /// `None` where it says nowhere to tell, or signs by what is no secret.
    pub fn read(section: &Section) -> Option<RoomHook> {
        let events = section.value("events", RoomEvent::ALL.to_vec());
        Some(RoomHook { to: SignedReceiver::read(section, "/api/liveblocks-webhook")?, events })
    }
}
