//! The frames of a WebSocket: ours are whole and have no mask, so that one text of bytes is for all
//! clients; theirs are read as they come, within limits. Pure.
// RFC 6455, section 5 (framing), 7.4 (codes); RFC 7692, section 6 (the bit of a compressed message).

use bytes::{BufMut, Bytes, BytesMut};

use crate::live::deflate;

/// The longest message a client may send, in bytes, whatever it was compressed to.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// The most a control frame may carry. // RFC 6455, 5.5
const CONTROL_BYTES_MAX: u64 = 125;
/// The longest header of a client's frame: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What the first byte says beside the opcode: that it is the last frame of its message; and that
/// the message is compressed.
const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
/// What the second byte says beside the length.
const MASKED: u8 = 0x80;

/// How many bytes the header of a frame of ours has.
const fn header_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    }
}

fn frame(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(header_bytes(payload.len()) + payload.len());
    frame.put_u8(FINAL | first);
    match payload.len() {
        short @ 0..126 => frame.put_u8(short as u8),
        medium @ 126..0x1_0000 => {
            frame.put_u8(126);
            frame.put_u16(medium as u16);
        }
        long => {
            frame.put_u8(127);
            frame.put_u64(long as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// The frame of a text.
pub(crate) fn text(text: &str) -> Bytes {
    frame(TEXT, text.as_bytes())
}

/// The frame of a text for those who have agreed on compression: compressed if that makes it shorter
/// than `plain`, its frame for all others.
pub(crate) fn text_deflated(plain: &Bytes, text: &str) -> Bytes {
    match deflate::message(text.as_bytes()) {
        Some(deflated) => frame(COMPRESSED | TEXT, &deflated),
        None => plain.clone(),
    }
}

/// A ping.
pub(crate) fn ping() -> Bytes {
    frame(PING, b"")
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    frame(PONG, payload)
}

/// The end, and why. `reason` has at most 123 bytes.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    frame(CLOSE, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

/// The answer to a client that ends.
pub(crate) fn close_in_turn() -> Bytes {
    frame(CLOSE, b"")
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// What is wrong with what a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    /// It is no frame.
    Malformed,
    /// A text is none.
    NoText,
    /// A message is longer than [`MESSAGE_BYTES_MAX`].
    TooLong,
}

/// The frame that is being read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    is_final: bool,
    left: u64,
    mask: [u8; 4],
}

/// Where a reader stands in what a client says.
#[derive(Debug)]
pub(crate) struct Decoder {
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    frame: Option<Frame>,
    /// The message that has begun: text or binary, and whether it is compressed.
    message: Option<(u8, bool)>,
    payload: Vec<u8>,
    control: Vec<u8>,
    coding: Coding,
    /// Nothing but the client's goodbye matters any more.
    is_deaf: bool,
}

/// Whether compression was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Deflate,
}

impl Decoder {
    pub(crate) const fn new(coding: Coding) -> Self {
        Self {
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            frame: None,
            message: None,
            payload: Vec::new(),
            control: Vec::new(),
            coding,
            is_deaf: false,
        }
    }

    /// From now on messages are passed over, whatever they are; the goodbye is heard.
    pub(crate) fn hear_the_end_only(&mut self) {
        self.is_deaf = true;
        self.payload = Vec::new();
    }

    /// Reads on in `input`, up to the end of the first message; call it again while there is input.
    ///
    /// # Errors
    /// What is wrong. Only after [`WireError::TooLong`] and [`Decoder::hear_the_end_only`] may it be
    /// called again.
    pub(crate) fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Heard>, WireError> {
        while !input.is_empty() {
            if let Some(frame) = &mut self.frame {
                let n = usize::try_from(frame.left).unwrap_or(usize::MAX).min(input.len());
                let (part, rest) = input.split_at(n);
                *input = rest;
                let into =
                    if is_control(frame.opcode) { &mut self.control } else { &mut self.payload };
                if is_control(frame.opcode) || !self.is_deaf {
                    into.extend(part.iter().zip(frame.mask.iter().cycle()).map(|(b, m)| b ^ m));
                }
                frame.mask.rotate_left(n % 4);
                frame.left -= n as u64;
            } else {
                self.header[self.header_len] = input[0];
                self.header_len += 1;
                *input = &input[1..];
                match parse(&self.header[..self.header_len])? {
                    Some(frame) => self.begin(frame)?,
                    None => continue,
                }
            }
            // A frame without payload ends with its header.
            if let Some(frame) = self.frame
                && frame.left == 0
            {
                self.frame = None;
                if let Some(heard) = self.end(frame)? {
                    return Ok(Some(heard));
                }
            }
        }
        Ok(None)
    }

    /// Begins the payload of a frame, if it may come here.
    fn begin(&mut self, frame: Frame) -> Result<(), WireError> {
        let is_compressed = self.header[0] & COMPRESSED != 0;
        self.header_len = 0;
        self.frame = Some(frame);
        match frame.opcode {
            // Only the first frame of a message says that it is compressed. // RFC 7692, 6.1
            _ if is_compressed && self.coding == Coding::Plain => return Err(WireError::Malformed),
            CONTINUATION if is_compressed || self.message.is_none() => {
                return Err(WireError::Malformed);
            }
            CONTINUATION => {}
            TEXT | BINARY if self.message.is_some() => return Err(WireError::Malformed),
            TEXT | BINARY => self.message = Some((frame.opcode, is_compressed)),
            _ if is_compressed => return Err(WireError::Malformed),
            _ => return Ok(()),
        }
        let bytes = frame.left.saturating_add(self.payload.len() as u64);
        if bytes > MESSAGE_BYTES_MAX as u64 && !self.is_deaf {
            return Err(WireError::TooLong);
        }
        Ok(())
    }

    /// What a frame comes to at its end; nothing if its message goes on.
    fn end(&mut self, frame: Frame) -> Result<Option<Heard>, WireError> {
        match frame.opcode {
            PING => return Ok(Some(Heard::Ping(std::mem::take(&mut self.control)))),
            PONG => {
                self.control.clear();
                return Ok(Some(Heard::Pong));
            }
            CLOSE => return Ok(Some(Heard::Close)),
            _ if !frame.is_final => return Ok(None),
            _ => {}
        }
        let Some((opcode, is_compressed)) = self.message.take() else {
            return Err(WireError::Malformed);
        };
        let payload = std::mem::take(&mut self.payload);
        if self.is_deaf {
            return Ok(None);
        }
        let payload = if is_compressed {
            deflate::read_message(payload, MESSAGE_BYTES_MAX)?
        } else {
            payload
        };
        if opcode == BINARY {
            return Ok(Some(Heard::Binary));
        }
        String::from_utf8(payload)
            .map(|text| Some(Heard::Text(text)))
            .map_err(|_| WireError::NoText)
    }
}

const fn is_control(opcode: u8) -> bool {
    opcode & 0x8 != 0
}

/// Reads a header, as soon as it is complete. What can never be right is said as soon as that is clear.
fn parse(header: &[u8]) -> Result<Option<Frame>, WireError> {
    let first = header[0];
    let (opcode, is_final) = (first & 0x0F, first & FINAL != 0);
    let is_known = matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG);
    if first & 0x30 != 0 || !is_known || (is_control(opcode) && !is_final) {
        return Err(WireError::Malformed);
    }
    let &[_, second, ref rest @ ..] = header else { return Ok(None) };
    if second & MASKED == 0 {
        return Err(WireError::Malformed); // Clients mask. // RFC 6455, 5.1
    }
    let (left, rest) = match second & !MASKED {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (u64::from(short), rest),
    };
    if left > u64::MAX / 2 || (is_control(opcode) && left > CONTROL_BYTES_MAX) {
        return Err(WireError::Malformed);
    }
    Ok(rest.first_chunk().map(|&mask| Frame { opcode, is_final, left, mask }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
    use tokio_tungstenite::tungstenite::protocol::frame::{Frame as Theirs, FrameHeader};

    use super::*;

    const TEXT_CODE: OpCode = OpCode::Data(Data::Text);
    const MORE: OpCode = OpCode::Data(Data::Continue);
    const PING_CODE: OpCode = OpCode::Control(Control::Ping);

    /// A client's frame, by someone else's hand.
    fn said(header: FrameHeader, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { mask: Some([0x12, 0x34, 0x56, 0x78]), ..header };
        let mut bytes = Vec::new();
        Theirs::from_payload(header, payload.to_vec().into()).format(&mut bytes).expect("a frame");
        bytes
    }

    fn whole(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        said(FrameHeader { opcode, is_final: true, ..FrameHeader::default() }, payload)
    }

    fn part(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        said(FrameHeader { opcode, is_final: false, ..FrameHeader::default() }, payload)
    }

    fn compressed(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { opcode, is_final: true, rsv1: true, ..FrameHeader::default() };
        said(header, payload)
    }

    /// What is heard of `stream` in pieces of `step` bytes.
    fn hear(coding: Coding, stream: &[u8], step: usize) -> Result<Vec<Heard>, WireError> {
        let (mut decoder, mut heard) = (Decoder::new(coding), Vec::new());
        for mut piece in stream.chunks(step) {
            while let Some(one) = decoder.decode(&mut piece)? {
                heard.push(one);
            }
        }
        Ok(heard)
    }

    fn check(stream: &[u8], expected: &[Heard]) {
        for step in [1, 2, 3, 5, 7, 1000, usize::MAX] {
            assert_eq!(hear(Coding::Plain, stream, step), Ok(expected.to_vec()), "steps of {step}");
        }
    }

    #[test]
    fn messages_are_put_together_from_frames_and_pieces() {
        let stream = [
            whole(TEXT_CODE, b"one"),
            part(TEXT_CODE, b"t"),
            whole(PING_CODE, b"there?"),
            part(MORE, b"w"),
            whole(MORE, b"o"),
            whole(OpCode::Data(Data::Binary), &[1; 300]),
            whole(OpCode::Control(Control::Pong), b"yes"),
            whole(TEXT_CODE, b""),
            whole(OpCode::Control(Control::Close), &1000_u16.to_be_bytes()),
        ];
        let text = |text: &str| Heard::Text(text.to_owned());
        let ping = Heard::Ping(b"there?".to_vec());
        let expected =
            [text("one"), ping, text("two"), Heard::Binary, Heard::Pong, text(""), Heard::Close];
        check(&stream.concat(), &expected);
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let malformed = |stream: &[u8]| {
            assert_eq!(hear(Coding::Plain, stream, 1), Err(WireError::Malformed), "{stream:?}");
        };
        malformed(&[0x81, 0x01]); // No mask.
        malformed(&[0x91]); // A reserved bit.
        malformed(&[0x83]); // An opcode that is none.
        malformed(&[0x8B]);
        malformed(&whole(MORE, b"x")); // Nothing to continue.
        malformed(&[part(TEXT_CODE, b"x"), whole(TEXT_CODE, b"y")].concat());
        malformed(&part(PING_CODE, b""));
        malformed(&whole(PING_CODE, &[0; 126]));
        malformed(&[0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]); // Longer than can be.
        malformed(&compressed(TEXT_CODE, b"x")); // Not agreed on.
        assert_eq!(hear(Coding::Plain, &whole(TEXT_CODE, b"\xFF"), 9), Err(WireError::NoText));
        for stream in
            [compressed(PING_CODE, b""), [part(TEXT_CODE, b""), compressed(MORE, b"")].concat()]
        {
            assert_eq!(hear(Coding::Deflate, &stream, 1), Err(WireError::Malformed));
        }
    }

    #[test]
    fn too_long_is_said_at_the_header_and_the_goodbye_is_still_heard() {
        let long = whole(TEXT_CODE, &vec![b'x'; MESSAGE_BYTES_MAX + 1]);
        let parts = [part(TEXT_CODE, &vec![b'x'; MESSAGE_BYTES_MAX]), whole(MORE, b"y")].concat();
        for stream in [long, parts] {
            let stream = [stream, whole(OpCode::Control(Control::Close), b"")].concat();
            let (mut decoder, mut input) = (Decoder::new(Coding::Plain), stream.as_slice());
            assert_eq!(decoder.decode(&mut input), Err(WireError::TooLong));
            decoder.hear_the_end_only();
            assert_eq!(decoder.decode(&mut input), Ok(Some(Heard::Close)));
            assert_eq!(decoder.payload.capacity(), 0);
        }
        let fits = whole(TEXT_CODE, &vec![b'x'; MESSAGE_BYTES_MAX]);
        check(&fits, &[Heard::Text("x".repeat(MESSAGE_BYTES_MAX))]);
    }

    #[test]
    fn a_compressed_message_is_read_and_a_bomb_is_not() {
        let text = "again and again and again and again and again and again and again and again \
                    and again and again and again and again and again and again and again and again";
        let small = deflate::message(text.as_bytes()).expect("it shrinks");
        let stream = compressed(TEXT_CODE, &small);
        assert_eq!(hear(Coding::Deflate, &stream, 7), Ok(vec![Heard::Text(text.to_owned())]));
        let bomb = deflate::message(&vec![b'x'; 16 << 20]).expect("it shrinks");
        assert!(bomb.len() > 1_000, "{}", bomb.len());
        let bomb = &bomb[..bomb.len().min(MESSAGE_BYTES_MAX)];
        let stream = compressed(TEXT_CODE, bomb);
        assert_eq!(hear(Coding::Deflate, &stream, usize::MAX), Err(WireError::TooLong));
        let nonsense = compressed(TEXT_CODE, &[0xFF; 100]);
        assert_eq!(hear(Coding::Deflate, &nonsense, usize::MAX), Err(WireError::Malformed));
    }

    #[test]
    fn our_frames_are_read_by_others() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = "9".repeat(size);
            let bytes = text(&payload);
            let mut cursor = std::io::Cursor::new(&bytes);
            let (header, length) =
                FrameHeader::parse(&mut cursor).expect("well-formed").expect("whole");
            assert_eq!((header.opcode, header.is_final, header.mask), (TEXT_CODE, true, None));
            assert_eq!(length as usize, size);
            assert_eq!(bytes[header_bytes(size)..], *payload.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(stream in prop::collection::vec(any::<u8>(), 0..200), step in 1..50_usize) {
            let _any = hear(Coding::Deflate, &stream, step);
        }

        #[test]
        fn what_others_cut_into_frames_is_heard_whole(
            text in "\\PC{0,300}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            step in 1..50_usize,
        ) {
            let bytes = text.as_bytes();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.sort_unstable();
            ends.push(bytes.len());
            let (mut from, mut stream) = (0, Vec::new());
            for (n_before, end) in ends.iter().enumerate() {
                let opcode = if n_before == 0 { TEXT_CODE } else { MORE };
                let is_final = n_before + 1 == ends.len();
                let header = FrameHeader { opcode, is_final, ..FrameHeader::default() };
                stream.extend(said(header, &bytes[from..*end]));
                from = *end;
            }
            prop_assert_eq!(hear(Coding::Plain, &stream, step), Ok(vec![Heard::Text(text)]));
        }
    }
}
