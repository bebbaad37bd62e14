//! Clients that speak TLS to the port of plain HTTP.

use std::pin::Pin;
use std::task::Context;

use tokio::io::AsyncWrite;
use tracing::warn;

use super::Guarded;
use crate::telemetry::LogThrottle;

/// How a TLS client begins: a record of a handshake, version 3.x (RFC 8446 section 5.1).
const TLS_HANDSHAKE: [u8; 2] = [22, 3];
/// A fatal alert, unexpected_message (RFC 8446 section 6): TLS clients understand it, and no answer of HTTP.
const TLS_ALERT: [u8; 7] = [21, 3, 1, 0, 2, 2, 10];

static SAID_TLS: LogThrottle = LogThrottle::new();

impl Guarded {
    /// Whether a connection begins with TLS on the port of plain HTTP: no request that anybody made, so none is answered
    /// or logged as one. The client is told in its own words, the operator once a minute.
    pub(super) fn is_tls(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> bool {
        if self.guard.heads() > 0 || !bytes.starts_with(&TLS_HANDSHAKE) || self.stream.is_secure() {
            return false;
        }
        let _ = Pin::new(&mut self.stream).poll_write(context, &TLS_ALERT);
        if SAID_TLS.may() {
            let help = "that port speaks plain HTTP alone: ask for http://, or open [listen] https with a certificate in [tls]";
            warn!(address = %self.connected.peer.address.ip(), help, "TLS was spoken to the port of plain HTTP");
        }
        true
    }
}
