//! How a client is attached to a channel: the name as it writes it, its modes, and from where it wants to hear.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::realtime::ably::capability::{Capability, Operation};
use crate::realtime::ably::wire::encode::Hears;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::occupancy::OccupancyWish;
use crate::realtime::ably::wire::protocol::{Parameter, flag};
use crate::realtime::ably::wire::serial;
use crate::realtime::dialect::Encoding;
use crate::realtime::vocabulary::{Channel, Since};

/// What a client may do in a channel that it is attached to: bits of a frame's flags.
pub mod mode {
    pub const PRESENCE: u64 = 1 << 16;
    pub const PUBLISH: u64 = 1 << 17;
    pub const SUBSCRIBE: u64 = 1 << 18;
    pub const PRESENCE_SUBSCRIBE: u64 = 1 << 19;
    pub const ANNOTATION_PUBLISH: u64 = 1 << 21;
    pub const ANNOTATION_SUBSCRIBE: u64 = 1 << 22;
    pub const OBJECT_SUBSCRIBE: u64 = 1 << 24;
    pub const OBJECT_PUBLISH: u64 = 1 << 25;

    /// Those for what may be annotated.
    pub const ANNOTATION: u64 = ANNOTATION_PUBLISH | ANNOTATION_SUBSCRIBE;

    /// What a client has that says nothing.
    pub const DEFAULT: u64 = PRESENCE | PUBLISH | SUBSCRIBE | PRESENCE_SUBSCRIBE | ANNOTATION_PUBLISH;

    /// Those that are here, by name.
    pub const NAMED: [(&str, u64); 8] = [
        ("presence", PRESENCE),
        ("publish", PUBLISH),
        ("subscribe", SUBSCRIBE),
        ("presence_subscribe", PRESENCE_SUBSCRIBE),
        ("annotation_publish", ANNOTATION_PUBLISH),
        ("annotation_subscribe", ANNOTATION_SUBSCRIBE),
        ("object_subscribe", OBJECT_SUBSCRIBE),
        ("object_publish", OBJECT_PUBLISH),
    ];
}

/// Rewinds further than this say the same as this.
const MAX_REWIND: usize = 1_000;

/// A channel that the client is attached to, or has asked to be. Small: idle clients have one each.
pub struct Attachment {
    pub channel: Channel,
    /// The modes that it asked for, and those that it has.
    pub wanted: u64,
    pub modes: u64,
    /// What is said there may be changed later, and annotated.
    pub is_mutable: bool,
    /// It asks for the past: by a serial, or by a rewind.
    pub asked: Asked,
    /// It has asked, and is not told yet.
    pub is_attaching: bool,
    unusual: Option<Box<Unusual>>,
}

/// What few attachments have.
#[derive(Default)]
struct Unusual {
    /// As the client writes the channel, where that is not its name.
    written: Option<Box<str>>,
    /// Those in force, as the client is told.
    params: BTreeMap<String, String>,
    /// Of a channel that it writes in its own way, or hears otherwise than most.
    encoding: Option<Encoding>,
    /// It wants to hear how many are there.
    watch: Option<Watch>,
}

/// What a client wants to hear of a channel's occupancy.
pub struct Watch {
    pub wish: OccupancyWish,
    /// What it was told last.
    pub told: Option<serde_json::Value>,
}

impl Watch {
    /// A new one, that nothing was told of.
    pub fn new(wish: OccupancyWish) -> Watch {
        Watch { wish, told: None }
    }
}

impl Attachment {
    /// What comes of a wish for a channel that an app with this `prefix` has and the client calls `written`.
    pub fn new(channel: Channel, prefix: &str, written: &str, encoding: Option<Encoding>, wish: Wish) -> Attachment {
        let Wish { wanted, modes, params, asked, occupancy, .. } = wish;
        let mut attachment =
            Attachment { channel, wanted, modes, is_mutable: true, asked, is_attaching: true, unusual: None };
        let written = (attachment.written(prefix) != written).then(|| written.into());
        let unusual = Unusual { written, params, encoding, watch: occupancy.map(Watch::new) };
        let is_usual = unusual.written.is_none()
            && unusual.params.is_empty()
            && unusual.encoding.is_none()
            && unusual.watch.is_none();
        attachment.unusual = (!is_usual).then(|| Box::new(unusual));
        attachment
    }

    /// What of that which is said there it wants to hear.
    pub fn hears(modes: u64) -> Hears {
        Hears { messages: modes & mode::SUBSCRIBE != 0, annotations: modes & mode::ANNOTATION_SUBSCRIBE != 0 }
    }

    /// As the client of an app with this `prefix` writes it.
    pub fn written<'a>(&'a self, prefix: &str) -> &'a str {
        let name = self.channel.as_str();
        let own = self.unusual.as_ref().and_then(|unusual| unusual.written.as_deref());
        own.unwrap_or_else(|| name.strip_prefix(prefix).unwrap_or(name))
    }

    /// Those in force, where there are any.
    pub fn params(&self) -> Option<&BTreeMap<String, String>> {
        self.unusual.as_ref().map(|unusual| &unusual.params).filter(|params| !params.is_empty())
    }

    /// How it is heard, where not as by most.
    pub fn encoding(&self) -> Option<&Encoding> {
        self.unusual.as_ref()?.encoding.as_ref()
    }

    pub fn set_encoding(&mut self, encoding: Option<Encoding>) {
        if encoding.is_some() || self.unusual.is_some() {
            self.unusual.get_or_insert_default().encoding = encoding;
        }
    }

    /// What it wants to hear of how many are there.
    pub fn watch(&mut self) -> Option<&mut Watch> {
        self.unusual.as_mut()?.watch.as_mut()
    }

    pub fn has_watch(&self) -> bool {
        self.unusual.as_ref().is_some_and(|unusual| unusual.watch.is_some())
    }

    /// It hears no more of how many are there.
    pub fn stop_watch(&mut self) {
        if let Some(unusual) = &mut self.unusual {
            unusual.watch = None;
            unusual.params.remove("occupancy");
        }
    }
}

/// A client's channels, in the order of their names. Most clients have few.
#[derive(Default)]
pub struct Attachments(Vec<Attachment>);

impl Attachments {
    fn find(&self, channel: &Channel) -> Result<usize, usize> {
        self.0.binary_search_by(|known| known.channel.cmp(channel))
    }

    pub fn get(&self, channel: &Channel) -> Option<&Attachment> {
        self.find(channel).ok().map(|at| &self.0[at])
    }

    pub fn get_mut(&mut self, channel: &Channel) -> Option<&mut Attachment> {
        self.find(channel).ok().map(|at| &mut self.0[at])
    }

    /// In place of the one before.
    pub fn insert(&mut self, attachment: Attachment) {
        match self.find(&attachment.channel) {
            Ok(at) => self.0[at] = attachment,
            Err(at) => {
                // No room for more than the first, which is the only one of many clients.
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, attachment);
            }
        }
    }

    pub fn remove(&mut self, channel: &Channel) -> Option<Attachment> {
        self.find(channel).ok().map(|at| self.0.remove(at))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Attachment> {
        self.0.iter_mut()
    }
}

/// The past that an attachment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Nothing,
    /// What came after the last that it heard.
    Continuity,
    /// A serial that nobody here gave.
    Unknown,
    Rewind,
}

/// A wish to attach, read.
#[derive(Debug, PartialEq)]
pub struct Wish {
    pub wanted: u64,
    pub modes: u64,
    pub params: BTreeMap<String, String>,
    pub since: Since,
    pub asked: Asked,
    pub occupancy: Option<OccupancyWish>,
}

/// The parameters in brackets before a channel's name, and the name.
///
/// # Errors
/// 40010 for brackets that say nothing known here.
pub fn qualified(written: &str) -> Result<(BTreeMap<String, String>, &str), AblyError> {
    let Some(rest) = written.strip_prefix('[') else { return Ok((BTreeMap::new(), written)) };
    let invalid = || AblyError::new(40010, 400, format!("Invalid channel name {written:?}"));
    let (inner, name) = rest.split_once(']').ok_or_else(invalid)?;
    let parameters = inner.strip_prefix('?').ok_or_else(invalid)?;
    let pairs = parameters.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key.to_owned(), value.to_owned())
    });
    Ok((pairs.collect(), name))
}

impl Wish {
    /// Reads what ATTACH says; what is granted of the modes is what the client `may` do in the channel of this `name`.
    ///
    /// # Errors
    /// 40160: it may do nothing of what it wants there. 40000: a rewind that is none.
    pub fn read(
        name: &str,
        may: &Capability,
        flags: u64,
        mut said: BTreeMap<String, String>,
        parameters: BTreeMap<String, Parameter>,
        channel_serial: Option<&str>,
    ) -> Result<Wish, AblyError> {
        said.extend(parameters.into_iter().map(|(key, value)| (key, value.into_text())));
        let mut params = BTreeMap::new();
        let all = mode::NAMED.iter().fold(0, |all, (_, bit)| all | bit);
        let wanted = match said.get("modes") {
            Some(names) => {
                params.insert("modes".to_owned(), names.to_lowercase());
                names.split(',').fold(0, |modes, name| modes | named(name.trim()))
            }
            None if flags & all != 0 => flags & all,
            None => mode::DEFAULT,
        };
        let modes = granted(wanted, name, may)?;
        // Parameters that are not in force are not said to be: the client sees by that.
        let occupancy = said.get("occupancy").and_then(|text| OccupancyWish::parse(text));
        let occupancy = occupancy.filter(|_| may_count(modes, name, may));
        if let (Some(_), Some(text)) = (occupancy, said.get("occupancy")) {
            params.insert("occupancy".to_owned(), text.clone());
        }
        let (since, asked) = match (channel_serial.filter(|serial| !serial.is_empty()), said.get("rewind")) {
            (Some(text), _) => match serial::position(text) {
                Some(position) => (Since::After(position), Asked::Continuity),
                None => (Since::Now, Asked::Unknown),
            },
            (None, Some(text)) if flags & flag::ATTACH_RESUME == 0 => {
                let limit = said.get("rewindLimit").and_then(|limit| limit.parse().ok()).unwrap_or(MAX_REWIND);
                let invalid = || AblyError::new(40000, 400, format!("Invalid rewind parameter {text:?}"));
                let since = rewind(text, limit).ok_or_else(invalid)?;
                params.insert("rewind".to_owned(), text.clone());
                (since, Asked::Rewind)
            }
            (None, _) => (Since::Now, Asked::Nothing),
        };
        Ok(Wish { wanted, modes, params, since, asked, occupancy })
    }
}

/// What is granted of the modes that are `wanted` in the channel of this `name`.
///
/// # Errors
/// 40160: nothing.
pub fn granted(wanted: u64, name: &str, may: &Capability) -> Result<u64, AblyError> {
    let allowed = |operation, bits| if may.allows(operation, name) { bits } else { 0 };
    let modes = wanted
        & (allowed(Operation::Presence, mode::PRESENCE)
            | allowed(Operation::Publish, mode::PUBLISH)
            | allowed(Operation::AnnotationPublish, mode::ANNOTATION_PUBLISH)
            | allowed(Operation::AnnotationSubscribe, mode::ANNOTATION_SUBSCRIBE)
            | allowed(Operation::Subscribe, mode::SUBSCRIBE | mode::PRESENCE_SUBSCRIBE));
    if modes == 0 {
        let words = format!("Channel denied access based on given capability; channelId = {name}");
        return Err(AblyError::new(40160, 401, words));
    }
    Ok(modes)
}

/// Whether it may know how many are there, and hears what is said, among which it is told.
pub fn may_count(modes: u64, name: &str, may: &Capability) -> bool {
    modes & mode::SUBSCRIBE != 0 && may.allows(Operation::ChannelMetadata, name)
}

fn named(name: &str) -> u64 {
    mode::NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(0, |(_, bit)| *bit)
}

/// `"5"` messages, `"15s"`, `"2m"`.
fn rewind(text: &str, limit: usize) -> Option<Since> {
    let number = |digits: &str| digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(seconds) = text.strip_suffix('s') {
        return Some(Since::Within(Duration::from_secs(number(seconds)?.into())));
    }
    if let Some(minutes) = text.strip_suffix('m') {
        return Some(Since::Within(Duration::from_secs(60 * u64::from(number(minutes)?))));
    }
    let messages = usize::try_from(number(text)?).unwrap_or(usize::MAX);
    Some(Since::Last(messages.min(limit).min(MAX_REWIND)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::{Epoch, Position};

    fn read(flags: u64, params: &[(&str, &str)], serial: Option<&str>) -> Result<Wish, u32> {
        let may = Capability::parse(r#"{"a":["*"],"quiet":["subscribe"],"deaf":["publish"]}"#).unwrap();
        let said = params.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let name = params.iter().find(|(key, _)| *key == "name").map_or("a", |(_, name)| name);
        Wish::read(name, &may, flags, said, BTreeMap::new(), serial).map_err(|error| error.code)
    }

    #[test]
    fn modes_are_what_is_wanted_and_may_be() {
        let modes = |flags, params: &[(&str, &str)]| read(flags, params, None).map(|wish| wish.modes);
        assert_eq!(modes(0, &[]), Ok(mode::DEFAULT));
        assert_eq!(modes(mode::ANNOTATION, &[("modes", "annotation_subscribe")]), Ok(mode::ANNOTATION_SUBSCRIBE));
        assert_eq!(modes(mode::PUBLISH, &[]), Ok(mode::PUBLISH));
        assert_eq!(modes(mode::PUBLISH, &[("modes", "SUBSCRIBE,presence")]), Ok(mode::SUBSCRIBE | mode::PRESENCE));
        assert_eq!(modes(0, &[("name", "quiet")]), Ok(mode::SUBSCRIBE | mode::PRESENCE_SUBSCRIBE));
        assert_eq!(modes(mode::SUBSCRIBE, &[("name", "deaf")]), Err(40160));
        assert_eq!(modes(0, &[("name", "other")]), Err(40160));
    }

    #[test]
    fn occupancy_is_for_who_may_look() {
        let params = |name, wanted| {
            let wish = read(0, &[("name", name), ("occupancy", wanted)], None).unwrap();
            (wish.occupancy, wish.params.get("occupancy").cloned())
        };
        assert_eq!(params("a", "metrics"), (Some(OccupancyWish::All), Some("metrics".into())));
        assert_eq!(params("a", "metrics.publishers").0, Some(OccupancyWish::One("publishers")));
        for (name, wanted) in [("quiet", "metrics"), ("deaf", "metrics"), ("a", "everything"), ("a", "metrics.x")] {
            assert_eq!(params(name, wanted), (None, None), "{name} {wanted}");
        }
    }

    #[test]
    fn the_past_is_asked_for_by_serial_or_rewind() {
        let past = |params: &[(&str, &str)], serial| read(0, params, serial).map(|wish| (wish.since, wish.asked));
        let position = Position { epoch: Epoch(1), offset: 7 };
        assert_eq!(past(&[("rewind", "5")], Some("1-7")), Ok((Since::After(position), Asked::Continuity)));
        assert_eq!(past(&[], Some("nonsense")), Ok((Since::Now, Asked::Unknown)));
        assert_eq!(past(&[("rewind", "5")], None), Ok((Since::Last(5), Asked::Rewind)));
        assert_eq!(past(&[("rewind", "2m")], None), Ok((Since::Within(Duration::from_secs(120)), Asked::Rewind)));
        assert_eq!(past(&[("rewind", "15s")], None), Ok((Since::Within(Duration::from_secs(15)), Asked::Rewind)));
        for bad in ["", "x", "-1", "5h", "+5", "s", "99999999999"] {
            assert_eq!(past(&[("rewind", bad)], None), Err(40000), "{bad}");
        }
        assert_eq!(read(flag::ATTACH_RESUME, &[("rewind", "5")], None).unwrap().since, Since::Now);
    }

    #[test]
    fn brackets_are_parameters() {
        let (params, name) = qualified("[?rewind=1&delta=vcdiff]a:b").unwrap();
        assert_eq!((params.len(), params["rewind"].as_str(), name), (2, "1", "a:b"));
        assert_eq!(qualified("plain").unwrap().1, "plain");
        for bad in ["[meta]x", "[filter=abc]x", "[?a=b", "[]x"] {
            assert_eq!(qualified(bad).unwrap_err().code, 40010, "{bad}");
        }
    }
}
