//! What runs in a process of Next.js, so that the door hears what it declares to be old: see the file `hook.cjs`.
//!
//! Its symbols are internal to Next.js and may move in any release. Then nothing is heard, and answers carry no entry:
//! the log says so, and what is kept of them lasts for as long as they say.

use super::guard::code;

const HOOK: &str = include_str!("hook.cjs");

/// JavaScript for `node -e` that goes before what starts the app; `fd` is the number of the pipe that it inherits.
pub fn hook(fd: i32) -> String {
    format!("{}({fd});\n", code(HOOK))
}
