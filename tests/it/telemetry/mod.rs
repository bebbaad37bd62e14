//! What is seen of the door: what is promised, a file each.
//!
//! - `routes`: requests are counted by what kind of thing they are for.
//! - `spans`: a sampled request is a span at the collector with its question to the app below it; a collector that is away
//!   costs nobody anything.
//! - `top`: `doorway top` shows what the door does, in place on a terminal, once where there is none.
//! - `trace`: the app hears of one trace for each request; a trusted proxy's is carried on, a stranger's never.

mod routes;
mod spans;
mod top;
mod trace;
