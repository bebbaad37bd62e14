//! Pusher Channels from outside, byte by byte; the stock libraries speak in `tests/clients`.

pub mod app;
mod fallback_bytes;
mod members;
mod origins;
mod rest_bytes;
mod socket_bytes;
mod subscriptions;
mod webhooks;
