//! What is changed on the way: the head of a request, and what of an answer would give the app's own address away.

mod internal;
mod origin;
mod query;
mod request;

pub use internal::CALLBACK;
pub use origin::{is_taken_for_another, mend};
pub use request::{FromTheDoor, Upgrade, head};
