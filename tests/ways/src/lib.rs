//! A way between a client and a server, for tests and measurements: two network namespaces, a TUN device in each, and a
//! relay of IP packets between them that delays, narrows, loses, reorders and forgets as it is told, also while it runs.
//!
//! TCP on both sides is the kernel's own. Namespaces have no name and no place in the file system: they are gone with the
//! last process in them, and any number of ways stand side by side.

mod conditions;
mod line;
pub mod measures;
mod namespace;
mod nat;
mod packet;
mod relay;
mod side;
pub mod visitor;
mod way;

pub use conditions::{Conditions, Patience, Reordering};
pub use relay::Tally;
pub use side::Side;
pub use way::Way;
