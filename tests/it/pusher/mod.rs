//! Pusher Channels from outside, byte by byte; the stock libraries speak in `tests/clients`.

mod app;
mod rest_bytes;
mod socket_bytes;
mod subscriptions;
mod webhooks;
