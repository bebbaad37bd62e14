//! TLS: what is promised, a file each.
//!
//! - `acme`: certificates come by themselves, are renewed when the authority says, and a fault ends in a sentence and a
//!   state that goes on.
//! - `amid_order`: whatever happens in the midst of an order, it comes to one certificate.
//! - `certificates`: the certificate fits the name; keys of every kind are read; what is wrong is said with the
//!   file's name.
//! - `fallback`: where an authority gives no certificate for long another is asked, until the next renewal.
//! - `faults`: a wrong clock and a port 80 that is another's are said, cost no order, and are gone on from.
//! - `handshake`: clients of every decent kind come in by TLS, agree on what they should, and others are told why
//!   not.
//! - `records`: the first records of an answer fit into a segment each, so that a browser reads them as they come; later
//!   ones are as large as they may be.
//! - `reload`: new certificates are taken when their files change or on SIGHUP, without a connection lost; bad ones
//!   are refused, and the old ones stay.
//! - `self_signed`: on request there is a certificate of the door's own making, for development.
//! - `several_doors`: doors that share a Redis order one certificate a name, whichever of them the authority comes to.

mod acme;
mod amid_order;
mod certificates;
mod fallback;
mod faults;
mod handshake;
mod records;
mod reload;
mod self_signed;
mod several_doors;
