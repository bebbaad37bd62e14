//! The words that links, dialects, hub and broker share. No dialect's own words: those travel as [`Extras`].

mod amendment;
mod channel;
mod closing;
mod command;
mod connection_id;
mod editing;
mod encoded_frames;
mod encoding;
mod event;
mod frame;
mod inquiry;
pub mod json_writer;
mod message;
mod moment;
mod occupancy;
mod origin;
mod position;
mod request;
mod rights;
mod summary;
mod token_bucket;
mod who;

pub use amendment::{Amended, Amendment, Change};
pub use channel::{BadName, Channel};
pub use closing::{Breach, DisconnectReason, LeaveKind, Refusal, Violation};
pub use command::Command;
pub use connection_id::ConnectionId;
pub use editing::{
    DocumentChange, DocumentContent, DocumentQuery, DocumentState, Edit, EditOutcome, Edited, Fetch, Mark, Signal,
    SignalBody, SignalKind, Signalled, SnapshotHashes, YName, YUpdate,
};
pub use encoded_frames::EncodedFrames;
pub use encoding::{Encode, Encoded, Encoding};
pub use event::{Event, Presence, Receipt, Recovery, Subscribed};
pub use frame::{CloseFrame, Frame, Text};
pub use inquiry::{Inquiry, Turn};
pub use json_writer::JsonWriter;
pub use message::{Draft, Extras, Message, Payload};
pub use moment::Moment;
pub use occupancy::Occupancy;
pub use origin::{Origin, Speaker};
pub use position::{BadPosition, Epoch, Position, Since, Span};
pub use request::{Audience, Publish, PublishSeveral, Ref, Rpc, Subscribe};
pub use rights::{Resource, Resources, Rights, Word};
pub use summary::{Annotation, Method, Summary, Tally, Voices};
pub use token_bucket::TokenBucket;
pub use who::{Identity, Member, users};
