//! The app as a process of ours: made ready, started, watched, replaced and ended.

mod child;
mod deployment;
mod dist;
mod guard;
mod hook;
mod installed;
mod launch;
mod listener;
mod memory;
mod orphans;
mod output;
mod prepare;
mod project;
mod script;
mod sources;
mod stat;
mod supervisor;
mod taken;

pub use memory::available as available_memory;
pub use output::{Hears, silence};
pub use prepare::run_hook;
pub use supervisor::Supervisor;
pub use taken::{Takeover, is_whole, make_ready};
