//! Bytes to frames (RFC 6455 section 5), sans-io: however the bytes are cut, the same frames come out.

use std::io::Cursor;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::assembly::AssembledMessage;
use super::inflate::Inflater;
use super::{Agreed, mask, violation};
use crate::realtime::vocabulary::{CloseFrame, Frame, Text, Violation};

/// The longest header: two bytes, eight of length, four of mask.
const MAX_HEADER_LEN: usize = 14;
/// RFC 6455 section 5.5.
const LONGEST_CONTROL: u64 = 125;

/// Limits of what a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Of a message, inflated, in bytes.
    pub message: usize,
    /// Of a frame, as it travels, in bytes.
    pub frame: usize,
}

/// One connection's decoder. Holds memory only while a frame or message is incomplete.
#[derive(Debug)]
pub struct FrameDecoder {
    limits: FrameLimits,
    /// The beginning of a header that is not complete yet.
    head: [u8; MAX_HEADER_LEN],
    head_length: u8,
    /// The frame whose payload is being read.
    current: Option<PayloadPart>,
    /// The message so far.
    message: Option<Box<AssembledMessage>>,
    /// The control frame so far. Boxed: hardly ever there, and a session is held by the ten thousand.
    #[expect(clippy::box_collection)]
    control: Option<Box<Vec<u8>>>,
    inflater: Option<Box<Inflater>>,
    violated: bool,
}

#[derive(Debug, Clone, Copy)]
struct PayloadPart {
    opcode: OpCode,
    is_final: bool,
    key: [u8; 4],
    left: u64,
}

/// The outcome of a call.
#[derive(Debug, PartialEq)]
pub struct DecodedFrame {
    /// Bytes of the input that were used. The rest belongs to the next call.
    pub used: usize,
    /// `None`: the input is used up and the next frame is not complete.
    pub frame: Option<Frame>,
}

impl FrameDecoder {
    pub fn new(limits: FrameLimits, deflate: Option<&Agreed>) -> FrameDecoder {
        FrameDecoder {
            limits,
            head: [0; MAX_HEADER_LEN],
            head_length: 0,
            current: None,
            message: None,
            control: None,
            inflater: deflate.map(|agreed| Box::new(Inflater::new(agreed))),
            violated: false,
        }
    }

    /// Reads from the front of `input`, which it unmasks in place, up to the end of the next whole message or control
    /// frame. After a [`Violation`] nothing more is read.
    ///
    /// # Errors
    /// [`Violation`] as soon as the bytes that have come break a rule, whole frame or not.
    pub fn decode(&mut self, input: &mut [u8]) -> Result<DecodedFrame, Violation> {
        if self.violated {
            return Ok(DecodedFrame { used: input.len(), frame: None });
        }
        let decoded = self.decode_next(input);
        if decoded.is_err() {
            self.violated = true;
            (self.message, self.inflater, self.control) = (None, None, None);
        }
        decoded
    }

    /// Bytes held of an incomplete message.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let inflating = self.inflater.as_ref().is_some_and(|inflater| inflater.is_under_way());
        self.control.as_ref().map_or(0, |control| control.capacity())
            + self.message.as_ref().map_or(0, |message| message.memory())
            + if inflating { 48 * 1024 } else { 0 }
    }

    fn decode_next(&mut self, input: &mut [u8]) -> Result<DecodedFrame, Violation> {
        let mut used = 0;
        while used < input.len() {
            let mut payload = match self.current.take() {
                Some(payload) => payload,
                None => match self.header(&input[used..])? {
                    (taken, Some(payload)) => {
                        used += taken;
                        payload
                    }
                    (taken, None) => {
                        used += taken;
                        break;
                    }
                },
            };
            let available = input.len() - used;
            let length = usize::try_from(payload.left).map_or(available, |left| left.min(available));
            let bytes = &mut input[used..used + length];
            payload.key = mask::apply(bytes, payload.key);
            payload.left -= length as u64;
            used += length;
            if let Some(frame) = self.payload(payload, bytes)? {
                return Ok(DecodedFrame { used, frame: Some(frame) });
            }
            if payload.left > 0 {
                self.current = Some(payload);
            }
        }
        Ok(DecodedFrame { used, frame: None })
    }

    /// Reads a header: how many bytes of `input` it took, and what it announces once it is complete.
    fn header(&mut self, input: &[u8]) -> Result<(usize, Option<PayloadPart>), Violation> {
        if self.head_length == 0 {
            if let Some((payload, taken)) = self.parse(input)? {
                return Ok((taken, Some(payload)));
            }
            // Incomplete, so it is shorter than the longest header.
            self.head[..input.len()].copy_from_slice(input);
            self.head_length = input.len() as u8;
            return Ok((input.len(), None));
        }
        for (place, byte) in input.iter().enumerate() {
            self.head[usize::from(self.head_length)] = *byte;
            self.head_length += 1;
            let head = self.head;
            if let Some((payload, _)) = self.parse(&head[..usize::from(self.head_length)])? {
                self.head_length = 0;
                return Ok((place + 1, Some(payload)));
            }
        }
        Ok((input.len(), None))
    }

    /// A complete header, checked, and its length.
    fn parse(&mut self, head: &[u8]) -> Result<Option<(PayloadPart, usize)>, Violation> {
        let mut cursor = Cursor::new(head);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| violation::reserved_opcode())?;
        let Some((header, length)) = parsed else { return Ok(None) };
        let taken = cursor.position() as usize;
        if length >> 63 != 0 {
            return Err(violation::length_out_of_range());
        }
        if header.len(length) != taken {
            return Err(violation::length_not_minimal());
        }
        if header.rsv2 || header.rsv3 {
            return Err(violation::reserved_bits());
        }
        let key = header.mask.ok_or_else(violation::unmasked)?;
        match header.opcode {
            OpCode::Control(_) => self.begin_control(&header, length)?,
            OpCode::Data(data) => self.begin_data(&header, data, length)?,
        }
        Ok(Some((PayloadPart { opcode: header.opcode, is_final: header.is_final, key, left: length }, taken)))
    }

    fn begin_control(&mut self, header: &FrameHeader, length: u64) -> Result<(), Violation> {
        if header.rsv1 {
            return Err(violation::reserved_bits());
        }
        if !header.is_final {
            return Err(violation::control_fragmented());
        }
        if length > LONGEST_CONTROL {
            return Err(violation::control_too_long());
        }
        Ok(())
    }

    fn begin_data(&mut self, header: &FrameHeader, data: Data, length: u64) -> Result<(), Violation> {
        match (data, &self.message) {
            (Data::Continue, None) => return Err(violation::nothing_to_continue()),
            (Data::Continue, Some(_)) if header.rsv1 => return Err(violation::reserved_bits()),
            (Data::Text | Data::Binary, Some(_)) => return Err(violation::message_in_message()),
            (Data::Text | Data::Binary, None) if header.rsv1 && self.inflater.is_none() => {
                return Err(violation::reserved_bits());
            }
            _ => {}
        }
        if length > self.limits.frame as u64 {
            return Err(violation::frame_too_long());
        }
        if data != Data::Continue {
            if length > self.limits.message as u64 && !header.rsv1 {
                return Err(violation::message_too_long());
            }
            // A message that may come in one piece needs no place to be kept: see `whole`.
            if !header.is_final || header.rsv1 {
                self.message = Some(Box::new(AssembledMessage::new(data == Data::Text, header.rsv1)));
            }
        } else if let Some(message) = &self.message
            && !message.is_compressed()
            && message.len() as u64 + length > self.limits.message as u64
        {
            return Err(violation::message_too_long());
        }
        Ok(())
    }

    /// Takes unmasked bytes of a frame; its last ones when `payload.left` is 0.
    fn payload(&mut self, payload: PayloadPart, bytes: &[u8]) -> Result<Option<Frame>, Violation> {
        let ends = payload.left == 0;
        match payload.opcode {
            OpCode::Control(control) => {
                if ends && self.control.is_none() {
                    return FrameDecoder::control(control, bytes).map(Some);
                }
                self.control.get_or_insert_default().extend_from_slice(bytes);
                if !ends {
                    return Ok(None);
                }
                let collected = self.control.take().unwrap_or_default();
                FrameDecoder::control(control, &collected).map(Some)
            }
            OpCode::Data(data) => {
                if self.message.is_none() {
                    if ends {
                        return FrameDecoder::whole(data, bytes).map(Some);
                    }
                    self.message = Some(Box::new(AssembledMessage::new(data == Data::Text, false)));
                }
                let Some(message) = &mut self.message else { return Ok(None) };
                message.extend(bytes, payload.left, self.inflater.as_deref_mut(), self.limits.message)?;
                if !(ends && payload.is_final) {
                    return Ok(None);
                }
                let Some(message) = self.message.take() else { return Ok(None) };
                message.finish(self.inflater.as_deref_mut(), self.limits.message).map(Some)
            }
        }
    }

    /// A message that came in one piece: no state, one copy.
    fn whole(data: Data, bytes: &[u8]) -> Result<Frame, Violation> {
        let bytes = Bytes::copy_from_slice(bytes);
        match data {
            Data::Text => Text::try_from(bytes).map(Frame::Text).map_err(|_| violation::not_utf8()),
            _ => Ok(Frame::Binary(bytes)),
        }
    }

    fn control(control: Control, bytes: &[u8]) -> Result<Frame, Violation> {
        match (control, bytes) {
            (Control::Ping, _) => Ok(Frame::Ping(Bytes::copy_from_slice(bytes))),
            (Control::Pong, _) => Ok(Frame::Pong(Bytes::copy_from_slice(bytes))),
            (_, []) => Ok(Frame::Close(None)),
            (_, [_]) => Err(violation::close_too_short()),
            (_, [high, low, reason @ ..]) => {
                let code = u16::from_be_bytes([*high, *low]);
                if !may_be_sent(code) {
                    return Err(violation::close_code());
                }
                let reason = std::str::from_utf8(reason).map_err(|_| violation::reason_not_utf8())?;
                Ok(Frame::Close(Some(CloseFrame::new(code, reason))))
            }
        }
    }
}

/// RFC 6455 section 7.4 and its registry: 1005, 1006 and 1015 never travel, 1004 and what is unassigned mean nothing.
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
