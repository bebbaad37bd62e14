//! One app: its names for channels, and what its clients read.

use std::fmt;
use std::sync::Arc;

use crate::realtime::ably::config::AppSettings;
use crate::realtime::ably::wire::encode::Encodings;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::stream::{StreamEncoder, StreamStyle};
use crate::realtime::vocabulary::{Channel, Encoding};
use crate::settings::Live;

/// One app while Doorway runs. Its settings may change under it, its id and prefix may not.
pub struct AblyApp {
    pub(super) id: Arc<str>,
    pub(super) prefix: Arc<str>,
    /// The prefixes of other apps that begin with its own: names with them are not its own.
    pub(super) others: Live<Vec<Arc<str>>>,
    pub(super) settings: Live<AppSettings>,
    encodings: Encodings,
    /// Of streams, in the order of [`StreamStyle::ALL`].
    streams: [Encoding; StreamStyle::ALL.len()],
}

impl AblyApp {
    pub(super) fn new(settings: AppSettings) -> AblyApp {
        let (id, prefix) = (Arc::clone(&settings.id), Arc::clone(&settings.prefix));
        let encodings = Encodings::new(&prefix);
        let stream =
            |style| Encoding::new(StreamEncoder { style, prefix: Arc::clone(&prefix), written: None, is_alone: true });
        let streams = StreamStyle::ALL.map(stream);
        AblyApp { id, prefix, others: Live::new(Vec::new()), settings: Live::new(settings), encodings, streams }
    }

    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What stands before the names of its channels in the hub.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What its clients read.
    pub fn encodings(&self) -> &Encodings {
        &self.encodings
    }

    /// What those read who listen to one of its channels in a stream.
    pub fn stream_encoding(&self, style: StreamStyle) -> &Encoding {
        let index = StreamStyle::ALL.iter().position(|known| *known == style);
        &self.streams[index.unwrap_or_default()]
    }

    pub fn settings(&self) -> Arc<AppSettings> {
        self.settings.get()
    }

    /// Its channel `name` as the hub knows it.
    ///
    /// # Errors
    /// 40010 for what is no name.
    pub fn channel(&self, name: &str) -> Result<Channel, AblyError> {
        let bad = |why: &str| AblyError::new(40010, 400, format!("Invalid channel name: {why}"));
        if name.is_empty() {
            return Err(bad("it is empty"));
        }
        if name.starts_with([':', '[']) {
            return Err(bad("it begins with : or ["));
        }
        let whole = format!("{}{name}", self.prefix);
        if self.is_others(&whole) {
            return Err(bad("it begins with the id of another app"));
        }
        Channel::new(&whole).map_err(|why| bad(&why.to_string()))
    }

    /// What its clients call the hub's `channel`; `None` where it is not one of theirs.
    pub fn name<'a>(&self, channel: &'a Channel) -> Option<&'a str> {
        if channel.is_reserved() || self.is_others(channel.as_str()) {
            return None;
        }
        let name = channel.as_str().strip_prefix(&*self.prefix)?;
        (!name.is_empty() && !name.starts_with([':', '['])).then_some(name)
    }

    fn is_others(&self, name: &str) -> bool {
        self.others.get().iter().any(|prefix| name.starts_with(&**prefix))
    }
}

impl fmt::Debug for AblyApp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AblyApp({})", self.id)
    }
}
