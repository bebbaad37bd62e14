//! The app as a process of ours: made ready, started, watched, replaced and ended.

mod child;
mod guard;
mod launch;
mod listener;
mod output;
mod prepare;
mod project;
mod supervisor;

pub use supervisor::Supervisor;
