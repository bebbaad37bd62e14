//! What doors say to each other, as bytes: a version, then MessagePack.
//!
//! Doors of two versions talk while one after another is renewed: fields are added at the end of a struct, and what a door
//! cannot read it leaves out, and says so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::realtime::vocabulary::{
    Amendment, Annotation, Change, Channel, ConnectionId, Draft, Epoch, Extras, Member, Method, Occupancy, Origin,
    Payload, Position, Text,
};

/// The version of all that is below.
const VERSION: u8 = 1;

/// Bytes that are nothing a door would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not understood: another version, or damaged")]
pub struct NotUnderstood;

/// A message on its way to all doors, with what each needs to know to hand it on.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    pub draft: Draft,
    pub origin: Option<Origin>,
    pub unix_ms: u64,
    /// The connection that sent it, which hears it only where it `echo`es.
    pub sender: Option<ConnectionId>,
    pub echo: bool,
    /// Not for the subscribers of these, nor for those of what it was said in before.
    pub except: Vec<Channel>,
    /// Nor for these.
    pub but: Vec<ConnectionId>,
}

/// A member as one connection shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct RosterMember {
    pub member: Member,
    pub connection: ConnectionId,
    /// Its connection is gone, and it may come back: it is there until the field is gone.
    pub is_away: bool,
    /// It is about to leave and shows this as it goes.
    pub is_parting: bool,
}

#[derive(Serialize, Deserialize)]
struct WireUtterance {
    draft: WireDraft,
    origin: Option<WireOrigin>,
    unix_ms: u64,
    sender: Option<u64>,
    echo: bool,
    except: Vec<Arc<str>>,
    but: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct WireOrigin(u64, Option<Arc<str>>);

#[derive(Serialize, Deserialize)]
struct WireDraft {
    name: Option<Arc<str>>,
    data: WirePayload,
    extras: Vec<(Arc<str>, Bytes)>,
    id: Option<Arc<str>>,
    is_volatile: bool,
    is_passing: bool,
    amends: Option<WireAmendment>,
}

/// A payload as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum WirePayload {
    Text(Arc<str>),
    Json(Arc<str>),
    Binary(Bytes),
}

#[derive(Serialize, Deserialize)]
struct WireAmendment {
    epoch: u64,
    offset: u64,
    change: WireChange,
    only_of: Option<Arc<str>>,
    keeps_data: bool,
}

#[derive(Serialize, Deserialize)]
enum WireChange {
    Update,
    Delete,
    Append,
    Annotate { kind: Arc<str>, method: WireMethod, count: u64, removes: bool },
}

#[derive(Serialize, Deserialize)]
enum WireMethod {
    Total,
    Flag,
    Distinct,
    Unique,
    Multiple,
}

#[derive(Serialize, Deserialize)]
struct WireMember {
    key: Arc<str>,
    user: Option<Arc<str>>,
    info: Option<WirePayload>,
    extras: Vec<(Arc<str>, Bytes)>,
    unix_ms: u64,
    connection: u64,
    is_away: bool,
    is_parting: bool,
}

impl Utterance {
    pub fn encode(&self) -> Bytes {
        let draft = &self.draft;
        encode(&WireUtterance {
            draft: WireDraft {
                name: draft.name.clone(),
                data: WirePayload::from(&draft.data),
                extras: draft.extras.each().collect(),
                id: draft.id.clone(),
                is_volatile: draft.volatile,
                is_passing: draft.passing,
                amends: draft.amends.as_deref().map(WireAmendment::from),
            },
            origin: self.origin.as_ref().map(|origin| WireOrigin(origin.connection.0, origin.user.clone())),
            unix_ms: self.unix_ms,
            sender: self.sender.map(|sender| sender.0),
            echo: self.echo,
            except: self.except.iter().map(|channel| channel.as_str().into()).collect(),
            but: self.but.iter().map(|id| id.0).collect(),
        })
    }

    /// # Errors
    /// [`NotUnderstood`].
    pub fn decode(bytes: &Bytes) -> Result<Utterance, NotUnderstood> {
        let wire: WireUtterance = decode(bytes)?;
        let WireUtterance { draft, origin, unix_ms, sender, echo, except, but } = wire;
        let draft = Draft {
            name: draft.name,
            data: draft.data.into(),
            extras: Extras::new(draft.extras),
            id: draft.id,
            volatile: draft.is_volatile,
            passing: draft.is_passing,
            asks: None,
            amends: draft.amends.map(|amends| Box::new(amends.into())),
        };
        let except: Result<_, _> = except.iter().map(|name| Channel::new(name).map_err(|_| NotUnderstood)).collect();
        Ok(Utterance {
            draft,
            origin: origin.map(|WireOrigin(id, user)| Origin { connection: ConnectionId(id), user }),
            unix_ms,
            sender: sender.map(ConnectionId),
            echo,
            except: except?,
            but: but.into_iter().map(ConnectionId).collect(),
        })
    }
}

impl RosterMember {
    pub fn encode(&self) -> Bytes {
        let Member { key, user, info, extras, unix_ms } = &self.member;
        encode(&WireMember {
            key: Arc::clone(key),
            user: user.clone(),
            info: info.as_ref().map(WirePayload::from),
            extras: extras.each().collect(),
            unix_ms: *unix_ms,
            connection: self.connection.0,
            is_away: self.is_away,
            is_parting: self.is_parting,
        })
    }

    /// # Errors
    /// [`NotUnderstood`].
    pub fn decode(bytes: &Bytes) -> Result<RosterMember, NotUnderstood> {
        let WireMember { key, user, info, extras, unix_ms, connection, is_away, is_parting } = decode(bytes)?;
        let member = Member { key, user, info: info.map(Payload::from), extras: Extras::new(extras), unix_ms };
        Ok(RosterMember { member, connection: ConnectionId(connection), is_away, is_parting })
    }
}

/// Counts of one door, but for members.
pub fn encode_counts(counts: &Occupancy) -> Bytes {
    let Occupancy { connections, publishers, subscribers, presence_connections, presence_subscribers, .. } = counts;
    encode(&[connections, publishers, subscribers, presence_connections, presence_subscribers])
}

/// # Errors
/// [`NotUnderstood`].
pub fn decode_counts(bytes: &Bytes) -> Result<Occupancy, NotUnderstood> {
    let [connections, publishers, subscribers, presence_connections, presence_subscribers] = decode(bytes)?;
    let presence_members = 0;
    Ok(Occupancy { connections, publishers, subscribers, presence_connections, presence_members, presence_subscribers })
}

/// How long a door wants messages kept.
pub fn encode_age(age: Duration) -> Bytes {
    encode(&u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

/// # Errors
/// [`NotUnderstood`].
pub fn decode_age(bytes: &Bytes) -> Result<Duration, NotUnderstood> {
    decode(bytes).map(Duration::from_millis)
}

/// Anything that doors say.
pub fn encode(value: &impl Serialize) -> Bytes {
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write(&mut bytes, value).expect("what is written into memory is written");
    bytes.into()
}

/// What [`encode`] has made.
///
/// # Errors
/// [`NotUnderstood`].
pub fn decode<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, NotUnderstood> {
    let (version, body) = bytes.split_first().ok_or(NotUnderstood)?;
    if *version != VERSION {
        return Err(NotUnderstood);
    }
    rmp_serde::from_slice(body).map_err(|_| NotUnderstood)
}

impl From<&Payload> for WirePayload {
    fn from(payload: &Payload) -> WirePayload {
        match payload {
            Payload::Text(text) => WirePayload::Text(text.as_str().into()),
            Payload::Json(text) => WirePayload::Json(text.as_str().into()),
            Payload::Binary(bytes) => WirePayload::Binary(bytes.clone()),
        }
    }
}

impl From<WirePayload> for Payload {
    fn from(payload: WirePayload) -> Payload {
        match payload {
            WirePayload::Text(text) => Payload::Text(Text::from(&*text)),
            WirePayload::Json(text) => Payload::Json(Text::from(&*text)),
            WirePayload::Binary(bytes) => Payload::Binary(bytes),
        }
    }
}

impl From<&Amendment> for WireAmendment {
    fn from(amendment: &Amendment) -> WireAmendment {
        let change = match &amendment.change {
            Change::Update => WireChange::Update,
            Change::Delete => WireChange::Delete,
            Change::Append => WireChange::Append,
            Change::Annotate(annotation) => WireChange::Annotate {
                kind: Arc::clone(&annotation.kind),
                method: match annotation.method {
                    Method::Total => WireMethod::Total,
                    Method::Flag => WireMethod::Flag,
                    Method::Distinct => WireMethod::Distinct,
                    Method::Unique => WireMethod::Unique,
                    Method::Multiple => WireMethod::Multiple,
                },
                count: annotation.count,
                removes: annotation.removes,
            },
        };
        let Position { epoch, offset } = amendment.target;
        let (only_of, keeps_data) = (amendment.only_of.clone(), amendment.keeps_data);
        WireAmendment { epoch: epoch.0, offset, change, only_of, keeps_data }
    }
}

impl From<WireAmendment> for Amendment {
    fn from(wire: WireAmendment) -> Amendment {
        let WireAmendment { epoch, offset, change, only_of, keeps_data } = wire;
        let change = match change {
            WireChange::Update => Change::Update,
            WireChange::Delete => Change::Delete,
            WireChange::Append => Change::Append,
            WireChange::Annotate { kind, method, count, removes } => {
                let method = match method {
                    WireMethod::Total => Method::Total,
                    WireMethod::Flag => Method::Flag,
                    WireMethod::Distinct => Method::Distinct,
                    WireMethod::Unique => Method::Unique,
                    WireMethod::Multiple => Method::Multiple,
                };
                Change::Annotate(Annotation { kind, method, count, removes })
            }
        };
        Amendment { target: Position { epoch: Epoch(epoch), offset }, change, only_of, keeps_data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(data: Payload) -> Draft {
        Draft {
            name: Some("said".into()),
            extras: Extras::new([("a".into(), Bytes::from_static(b"\x00\xff"))]),
            id: Some("id".into()),
            volatile: true,
            passing: true,
            ..Draft::new(data)
        }
    }

    #[test]
    fn what_is_said_is_understood_as_it_was_meant() {
        let target = Position { epoch: Epoch(u64::MAX), offset: 7 };
        let annotation = |method| Annotation { kind: "k".into(), method, count: 3, removes: true };
        let methods = [Method::Total, Method::Flag, Method::Distinct, Method::Unique, Method::Multiple];
        let mut changes = vec![Change::Update, Change::Delete, Change::Append];
        changes.extend(methods.map(|method| Change::Annotate(annotation(method))));
        let amend = |change| Amendment { target, change, only_of: Some("ann".into()), keeps_data: true };
        let mut drafts = vec![
            draft(Payload::Text("é\u{0}".into())),
            draft(Payload::Json("{}".into())),
            draft(Payload::Binary(Bytes::from_static(b"\xff"))),
            Draft::new(Payload::Text("".into())),
        ];
        drafts.extend(
            changes
                .into_iter()
                .map(|change| Draft { amends: Some(Box::new(amend(change))), ..Draft::new(Payload::Text("x".into())) }),
        );
        for draft in drafts {
            let utterance = Utterance {
                draft,
                origin: Some(Origin { connection: ConnectionId(u64::MAX), user: Some("ann".into()) }),
                unix_ms: u64::MAX,
                sender: Some(ConnectionId(1)),
                echo: true,
                except: vec![Channel::new("a").unwrap()],
                but: vec![ConnectionId(2)],
            };
            assert_eq!(Utterance::decode(&utterance.encode()), Ok(utterance));
        }
    }

    #[test]
    fn members_and_counts_too() {
        let member = Member {
            user: Some("u".into()),
            info: Some(Payload::Json("1".into())),
            extras: Extras::new([("a".into(), Bytes::from_static(b"b"))]),
            unix_ms: 5,
            ..Member::new("key")
        };
        let shown = RosterMember { member, connection: ConnectionId(9), is_away: true, is_parting: false };
        assert_eq!(RosterMember::decode(&shown.encode()), Ok(shown));
        let counts = Occupancy {
            connections: 1,
            publishers: 2,
            subscribers: 3,
            presence_connections: 4,
            presence_members: 0,
            presence_subscribers: 5,
        };
        assert_eq!(decode_counts(&encode_counts(&counts)), Ok(counts));
        assert_eq!(decode_age(&encode_age(Duration::from_secs(120))), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn what_no_door_says_is_not_understood() {
        for bytes in [&b""[..], b"\x02", b"\x01", b"\x01\xc1", b"\x01\x90", &[1; 64], b"\x01\xdd\xff\xff\xff\xff"] {
            let bytes = Bytes::from_static(Box::leak(bytes.to_vec().into_boxed_slice()));
            assert_eq!(Utterance::decode(&bytes), Err(NotUnderstood));
            assert_eq!(RosterMember::decode(&bytes), Err(NotUnderstood));
            assert_eq!(decode_counts(&bytes), Err(NotUnderstood));
        }
    }
}
