//! Frames to bytes (RFC 6455 section 5.2): a server's are never masked, and ours are never fragmented.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::deflate::Class;
use crate::realtime::vocabulary::{CloseFrame, Frame};

/// RFC 6455 section 5.5: what a control frame can carry, and what of it is left for a close frame's reason.
const LONGEST_CONTROL: usize = 125;
const LONGEST_REASON: usize = LONGEST_CONTROL - 2;

/// The longest header without a mask.
pub const MAX_HEADER_LEN: usize = 10;

/// Appends the header of a frame whose payload has `length` bytes.
pub fn header(opcode: OpCode, is_compressed: bool, length: usize, output: &mut Vec<u8>) {
    let header = FrameHeader { rsv1: is_compressed, opcode, ..FrameHeader::default() };
    header.format(length as u64, output).expect("memory takes every write");
}

/// Appends a whole control frame, its payload cut to what one can carry.
pub fn control(control: Control, payload: &[u8], output: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(LONGEST_CONTROL)];
    header(OpCode::Control(control), false, payload.len(), output);
    output.extend_from_slice(payload);
}

/// Appends a whole close frame.
pub fn close(close: Option<&CloseFrame>, output: &mut Vec<u8>) {
    let mut payload = Vec::new();
    if let Some(close) = close {
        let reason = &close.reason[..close.reason.floor_char_boundary(LONGEST_REASON)];
        payload.extend_from_slice(&close.code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    control(Control::Close, &payload, output);
}

/// Frames in one piece, deflated as `class` says.
pub fn render(frames: &[Frame], class: Option<Class>) -> Bytes {
    let mut output = Vec::with_capacity(frames.iter().map(|frame| frame.len() + MAX_HEADER_LEN).sum());
    let mut deflated = Vec::new();
    for frame in frames {
        let (kind, payload) = match frame {
            Frame::Text(text) => (Data::Text, text.as_bytes()),
            Frame::Binary(bytes) => (Data::Binary, &bytes[..]),
            Frame::Ping(payload) => {
                control(Control::Ping, payload, &mut output);
                continue;
            }
            Frame::Pong(payload) => {
                control(Control::Pong, payload, &mut output);
                continue;
            }
            Frame::Close(why) => {
                close(why.as_ref(), &mut output);
                continue;
            }
        };
        deflated.clear();
        let is_deflated = class.is_some_and(|class| class.deflate(payload, &mut deflated));
        let payload = if is_deflated { &deflated[..] } else { payload };
        header(OpCode::Data(kind), is_deflated, payload.len(), &mut output);
        output.extend_from_slice(payload);
    }
    // What many connections hold for long should not hold more than it says.
    output.shrink_to_fit();
    output.into()
}
