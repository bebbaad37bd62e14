//! How operations look as JSON: read with every fault and its place, written as the description says.

mod document;
mod emit;
mod object;
mod read;
mod write;

pub use document::{document_name, tree, tree_patch, yjs, yjs_update};
pub use emit::{Acknowledged, Emission, acknowledged, emission};
pub use object::Object;
pub use read::{batch, disconnect, publication, purge};
pub use write::{connections, members, page, past, published, standing, user};
