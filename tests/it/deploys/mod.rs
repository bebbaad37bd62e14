//! Deploys: what is promised, a file each.
//!
//! - `next`: a process of an old build of Next.js never writes its pages into the folder of a new one.
//! - `reload`: after SIGHUP the app and its files are those of the build that is there then, whatever its name is.

mod next;
mod reload;
