//! The app as a process of ours: made ready, started, watched, replaced and ended.

mod child;
mod deployment;
mod dist;
mod guard;
mod installed;
mod launch;
mod listener;
mod memory;
mod output;
mod prepare;
mod project;
mod script;
mod sources;
mod supervisor;

pub use output::silence;
pub use supervisor::Supervisor;
