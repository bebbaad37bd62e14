//! What is changed on the way: the head of a request, and what of an answer would give the app's own address away.

mod cdn_loop;
mod internal;
mod location;
mod query;
mod request;
mod response;
mod skew;

pub use cdn_loop::goes_round;
pub use internal::CALLBACK;
pub use location::is_taken_for_another;
pub use query::sent_target;
pub use request::{FromTheDoor, Upgrade, head};
pub use response::{response, strip_private};
pub use skew::{of_previous, reload_stale};
