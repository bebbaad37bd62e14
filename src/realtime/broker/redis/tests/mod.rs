//! The link against Debian's real Redis, with the faults that it is for.

mod cards;
mod claims;
mod cluster;
mod documents;
mod faults;
mod harness;
mod logs;
mod reading;
mod rosters;
mod servers;
mod silence;
