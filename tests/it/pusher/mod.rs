//! Pusher Channels from outside, byte by byte; the stock libraries speak in `tests/clients`.
