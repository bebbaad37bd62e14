//! Releases: what is promised, a file each.
//!
//! - `broken_off`: a deploy or a door that is killed at any step leaves an app that runs, and the next deploy works.
//! - `contents`: a release is made from a folder, an archive or a commit, built here or elsewhere.
//! - `load`: many requests a second, streams, actions of open pages and 1,000 sockets go through ten deploys, and none fails.
//! - `next`: builds of the real Next.js that were made elsewhere are released, and rolled back, while it is asked.
//! - `open_tabs`: a page that is open of the release before goes on with it.
//! - `refused`: what fails changes nothing, says why, and ends with 1.
//! - `watched`: a release that fails once it is asked by everybody is replaced by the one before.
//! - `without_gap`: a release is put in the place of the one before at once, forth and back.

mod broken_off;
mod contents;
mod load;
mod next;
mod open_tabs;
mod refused;
mod site;
mod watched;
mod without_gap;
