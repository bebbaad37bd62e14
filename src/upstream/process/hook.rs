//! What runs in a process of Next.js, so that the door hears what it declares to be old: see the file `hook.cjs`.
//!
//! Its symbols are internal to Next.js and may move in any release. Then nothing is heard, and answers carry no entry:
//! the log says so, and what is kept of them lasts for as long as they say.

use super::guard::code;

const HOOK: &str = include_str!("hook.cjs");

/// JavaScript for `node -e` that goes before what starts the app; `mouth` and `ear` are the numbers of the pipes that it
/// inherits: it says there what is old, and hears it from others, first of all what those before it had said.
pub fn hook(mouth: i32, ear: i32) -> String {
    format!("{}({mouth}, {ear});\n", code(HOOK))
}
