//! Releases: what is promised, a file each.
//!
//! - `broken_off`: a deploy or a door that is killed at any step leaves an app that runs, and the next deploy works.
//! - `contents`: a release is made from a folder, an archive or a commit, built here or elsewhere.
//! - `next`: builds of the real Next.js that were made elsewhere are released, and rolled back, while it is asked.
//! - `open_tabs`: a page that is open of the release before goes on with it.
//! - `refused`: what fails changes nothing, says why, and ends with 1.
//! - `without_gap`: no request fails and no socket drops while releases are put in the place of one another.

mod broken_off;
mod contents;
mod next;
mod open_tabs;
mod refused;
mod site;
mod without_gap;
