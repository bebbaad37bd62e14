//! A client on its way from one session to another.

use std::sync::Arc;

use super::SessionRecord;
use crate::realtime::entrance::authorizer::{Authorizer, ConnectionInfo};
use crate::realtime::hub::Held;
use crate::realtime::link::Link;
use crate::realtime::vocabulary::{Frame, Rights};

/// A client that comes back: its new link, and what is known of it.
pub struct Resumption {
    pub link: Box<dyn Link>,
    pub record: Option<SessionRecord>,
    pub authorizer: Option<(Arc<dyn Authorizer>, Arc<ConnectionInfo>)>,
    pub rights: Option<Rights>,
    /// What is held while its link is there.
    pub held: Option<Held>,
    /// What it said.
    pub frame: Frame,
}
