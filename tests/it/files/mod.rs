//! Files from disk: what is promised, a file each.
//!
//! - `builds`: a deploy needs no word to the door: new files are there at once, and old tabs keep theirs for a
//!   while.
//! - `carried`: a file that the kernel sends by itself is the file that the door answers with, head, log and all.
//! - `exported`: an app with `output: "export"` is built, and served from disk by the door itself.
//! - `large`: files of any size are sent in constant memory, and hot files take no more than the config allows.
//! - `next`: every static file of a real build is answered as `next start` answers it.
//! - `paths`: no path leaves the folder of static files, however it is spelt.
//! - `ranges`: a part is exactly the part that was asked for, and what the client holds is not sent again.
//! - `stored`: `/_next/static` is answered from disk as `next start` would, smaller and without waking Node.

mod builds;
mod carried;
mod exported;
mod large;
mod next;
mod paths;
mod ranges;
mod stored;
