//! What one client may take of what is bounded: what is promised, a file each.
//!
//! - `callbacks`: one address cannot take all turns at the app's callback, nor all questions that handlers may ask
//!   of clients.
//! - `channels`: an empty channel gives way to others, but whoever has its share of the channels takes nobody's
//!   positions away.
//! - `http`: one address cannot take all of anything that is bounded: while it fills what it can, another is served.
//! - `realtime`: one address cannot take all channels, histories or places of those who are away: while it fills
//!   what it can, another is served.

mod callbacks;
mod channels;
mod http;
mod realtime;
