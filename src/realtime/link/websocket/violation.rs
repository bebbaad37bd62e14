//! What a client does wrong on the wire, in one place: the kind decides the close code, the words go to the client.

use crate::realtime::vocabulary::{Breach, Violation};

macro_rules! violations {
    ($($name:ident = $breach:ident, $words:literal;)*) => {
        $(pub const fn $name() -> Violation {
            Violation { breach: Breach::$breach, what: std::borrow::Cow::Borrowed($words) }
        })*
    };
}

violations! {
    reserved_bits = Protocol, "reserved bits are set";
    reserved_opcode = Protocol, "reserved opcode";
    unmasked = Protocol, "frames of a client must be masked";
    length_not_minimal = Protocol, "the length is not written in the fewest bytes";
    length_out_of_range = Protocol, "the length is not a 63-bit number";
    control_fragmented = Protocol, "control frames cannot be fragmented";
    control_too_long = Protocol, "control frames carry at most 125 bytes";
    nothing_to_continue = Protocol, "continuation without a message";
    message_in_message = Protocol, "a message begins inside another";
    close_too_short = Protocol, "a close frame's code has two bytes";
    close_code = Protocol, "this close code cannot be sent";
    frame_too_long = TooBig, "the frame is too long";
    message_too_long = TooBig, "the message is too long";
    not_utf8 = NotUtf8, "text is not UTF-8";
    reason_not_utf8 = NotUtf8, "the close reason is not UTF-8";
    not_deflated = NotUtf8, "compressed data is damaged";
}
