//! Deploys: what is promised, a file each.
//!
//! - `next`: a process of an old build of Next.js never writes its pages into the folder of a new one.
//! - `reload`: after SIGHUP the app and its files are those of the build that is there then, whatever its name is.
//! - `skew`: pages that are open of the build before a deploy are answered by the app of that build for a while, and are
//!   told to load themselves anew when it is gone.

mod next;
mod releases;
mod reload;
mod skew;
