//! What can be asked of the hub from outside its sockets, without a word of HTTP: each a request with types, and what
//! comes of it. Whatever door a request comes in by, what it does is here.

mod disconnect;
mod document;
mod look;
mod publish;
mod purge;

pub use disconnect::{Disconnect, Whom};
pub use document::{DocumentError, TreePatch, YjsDocument, YjsUpdate, tree, yjs};
pub use look::{Page, Past, channel, channels, connection, history, history_before, members};
pub use publish::{Publication, Published, To};
pub use purge::{Purge, Purged};
