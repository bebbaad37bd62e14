//! Promise: a door that nobody has come to takes little memory of its own, with certificates as without.

use crate::harness::door;

/// What a release takes is half of this; its program, of which the system keeps what is used, comes to it.
const MOST: u64 = 6 << 20;

#[test]
fn a_door_without_visitors_takes_little() {
    for config in ["", "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\nself_signed = true\n"] {
        let door = door().config(config).start();
        assert!(door.allocated() < MOST, "{} with {config:?}", door.allocated());
    }
}
