//! The frames of a WebSocket, read as a stream: what lies in binary frames is one sequence of
//! bytes, wherever frames and messages end, so nothing is gathered and a frame's length costs
//! no memory. Pure.
// RFC 6455, section 5; MQTT 5, section 6: [MQTT-6.0.0-1], [MQTT-6.0.0-2].

/// The most a control frame may carry.
const CONTROL_BYTES_MAX: u64 = 125;
/// The longest header of a client's frame: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// What is wrong with a frame: the status code of the Close that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// It breaks RFC 6455.
    #[error("a WebSocket frame is malformed")]
    Protocol,
    /// It is of text.
    #[error("a WebSocket frame is of text, not binary")]
    Text,
}

impl FrameError {
    /// Its code in a Close frame. // RFC 6455, 7.4.1
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Text => 1003,
        }
    }
}

/// What a control frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// A Pong with the same payload.
    Pong(Vec<u8>),
    /// The end; with the status code, if one was given.
    Close(Option<u16>),
}

/// What is in the frame that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Close,
    Ping,
    Pong,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header { bytes: [u8; HEADER_BYTES_MAX], len: u8 },
    Payload { kind: Kind, left: u64, mask: [u8; 4], offset: u8 },
}

const HEADER: State = State::Header { bytes: [0; HEADER_BYTES_MAX], len: 0 };

/// Where a reader stands in the stream of frames.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// A message has begun, and its last frame has not.
    is_fragmented: bool,
    /// The payload of the control frame that is being read.
    control: Vec<u8>,
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        Self { state: HEADER, is_fragmented: false, control: Vec::new() }
    }

    /// Reads what came, and moves what is payload to the front of it; gives how much that is.
    /// `on_control` gets what control frames ask for, in order; after a Close nothing is read.
    pub(crate) fn decode(
        &mut self,
        bytes: &mut [u8],
        mut on_control: impl FnMut(Control),
    ) -> Result<usize, FrameError> {
        let (mut read, mut written) = (0, 0);
        while read < bytes.len() {
            match &mut self.state {
                State::Header { bytes: header, len } => {
                    header[usize::from(*len)] = bytes[read];
                    *len += 1;
                    read += 1;
                    let first = header[0];
                    if let Some(state) = parse(&header[..usize::from(*len)])? {
                        self.begin(first, state)?;
                    }
                }
                State::Payload { kind, left, mask, offset } => {
                    let available = bytes.len() - read;
                    let n = usize::try_from(*left).unwrap_or(available).min(available);
                    unmask(&mut bytes[read..read + n], *mask, offset);
                    *left -= n as u64;
                    if *kind == Kind::Data {
                        bytes.copy_within(read..read + n, written);
                        written += n;
                    } else {
                        self.control.extend_from_slice(&bytes[read..read + n]);
                    }
                    read += n;
                }
            }
            // A frame without payload ends with its header.
            if let State::Payload { kind, left: 0, .. } = self.state {
                self.state = HEADER;
                let payload = std::mem::take(&mut self.control);
                match kind {
                    Kind::Data | Kind::Pong => {}
                    Kind::Ping => on_control(Control::Pong(payload)),
                    Kind::Close => {
                        on_control(Control::Close(close_code(&payload)?));
                        break;
                    }
                }
            }
        }
        Ok(written)
    }

    /// Begins the payload of a frame, if it may come here.
    fn begin(&mut self, first: u8, state: State) -> Result<(), FrameError> {
        let is_final = first & 0x80 != 0;
        match first & 0x0F {
            CONTINUATION if !self.is_fragmented => return Err(FrameError::Protocol),
            BINARY if self.is_fragmented => return Err(FrameError::Protocol),
            CONTINUATION | BINARY => self.is_fragmented = !is_final,
            _ => {}
        }
        self.state = state;
        Ok(())
    }
}

/// Reads a header, as soon as it is complete.
fn parse(header: &[u8]) -> Result<Option<State>, FrameError> {
    let &[first, second, ref rest @ ..] = header else {
        return match header {
            // What can never be right is said at the first byte.
            &[first] => kind(first).map(|_| None),
            _ => Ok(None),
        };
    };
    let kind = kind(first)?;
    if second & 0x80 == 0 {
        return Err(FrameError::Protocol); // Clients mask. RFC 6455, 5.1
    }
    let (left, rest) = match second & 0x7F {
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
    let is_final = first & 0x80 != 0;
    if left > u64::MAX / 2 || (kind != Kind::Data && (!is_final || left > CONTROL_BYTES_MAX)) {
        return Err(FrameError::Protocol);
    }
    let Some(&mask) = rest.first_chunk() else { return Ok(None) };
    Ok(Some(State::Payload { kind, left, mask, offset: 0 }))
}

fn kind(first: u8) -> Result<Kind, FrameError> {
    if first & 0x70 != 0 {
        return Err(FrameError::Protocol); // No extension was agreed on.
    }
    match first & 0x0F {
        CONTINUATION | BINARY => Ok(Kind::Data),
        TEXT => Err(FrameError::Text), // [MQTT-6.0.0-1]
        CLOSE => Ok(Kind::Close),
        PING => Ok(Kind::Ping),
        PONG => Ok(Kind::Pong),
        _ => Err(FrameError::Protocol),
    }
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    match payload {
        [] => Ok(None),
        &[high, low, ..] => Ok(Some(u16::from_be_bytes([high, low]))),
        [_] => Err(FrameError::Protocol),
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: &mut u8) {
    let mut mask = mask;
    mask.rotate_left(usize::from(*offset));
    let (fours, rest) = bytes.as_chunks_mut::<4>();
    for four in fours {
        *four = (u32::from_ne_bytes(*four) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    *offset = (*offset + rest.len() as u8) % 4;
}

/// Writes a binary frame of ours around `payload`.
pub(crate) fn encode_data(payload: &[u8], out: &mut Vec<u8>) {
    encode(BINARY, payload, out);
}

/// Writes a frame of ours: whole, without a mask.
pub(crate) fn encode(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => out.push(short as u8),
        medium @ 126..0x1_0000 => {
            out.push(126);
            out.extend((medium as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control as C, Data, OpCode};
    use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

    use super::*;

    /// A client's frame, by someone else's hand: the only or last one of its message.
    fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        framed(FrameHeader { opcode, is_final: true, ..FrameHeader::default() }, payload)
    }

    /// One that others follow.
    fn part(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        framed(FrameHeader { opcode, is_final: false, ..FrameHeader::default() }, payload)
    }

    fn framed(header: FrameHeader, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { mask: Some([0x12, 0x34, 0x56, 0x78]), ..header };
        let mut bytes = Vec::new();
        Frame::from_payload(header, payload.to_vec().into()).format(&mut bytes).expect("a frame");
        bytes
    }

    const BIN: OpCode = OpCode::Data(Data::Binary);
    const CONT: OpCode = OpCode::Data(Data::Continue);

    /// Decodes `stream` in pieces of `step` bytes.
    fn decode(stream: &[u8], step: usize) -> Result<(Vec<u8>, Vec<Control>), FrameError> {
        let (mut decoder, mut data, mut controls) = (Decoder::new(), Vec::new(), Vec::new());
        for piece in stream.chunks(step) {
            let mut piece = piece.to_vec();
            let n = decoder.decode(&mut piece, |control| controls.push(control))?;
            data.extend_from_slice(&piece[..n]);
        }
        Ok((data, controls))
    }

    fn check(stream: &[u8], data: &[u8], controls: &[Control]) {
        for step in [1, 2, 3, 5, 7, 1000, usize::MAX] {
            let found = decode(stream, step);
            assert_eq!(found, Ok((data.to_vec(), controls.to_vec())), "in steps of {step}");
        }
    }

    #[test]
    fn frames_messages_and_pieces_make_one_stream() {
        let long = vec![7; 70_000];
        let stream = [
            frame(BIN, b"one"),
            part(BIN, b"two"),
            frame(OpCode::Control(C::Ping), b"are you there"),
            part(CONT, b""),
            frame(CONT, b"three"),
            frame(BIN, &[1; 126]),
            frame(OpCode::Control(C::Pong), b""),
            frame(BIN, &long),
        ];
        let data = [&b"onetwothree"[..], &[1; 126], &long].concat();
        check(&stream.concat(), &data, &[Control::Pong(b"are you there".to_vec())]);
    }

    #[test]
    fn nothing_is_read_behind_a_close() {
        let close = frame(OpCode::Control(C::Close), &1000_u16.to_be_bytes());
        let stream = [frame(BIN, b"x"), close, frame(BIN, b"y")].concat();
        let (data, controls) = decode(&stream, usize::MAX).expect("well-formed");
        assert_eq!((data.as_slice(), controls), (&b"x"[..], vec![Control::Close(Some(1000))]));
        check(&frame(OpCode::Control(C::Close), b""), b"", &[Control::Close(None)]);
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let protocol = |stream: &[u8]| assert_eq!(decode(stream, 1), Err(FrameError::Protocol));
        protocol(&[0x82, 0x01, b'x']); // No mask.
        protocol(&[0xC2]); // A reserved bit.
        protocol(&[0x83]); // An opcode that is none.
        protocol(&[0x8B]);
        protocol(&frame(CONT, b"x")); // Nothing to continue.
        protocol(&[part(BIN, b"x"), frame(BIN, b"y")].concat());
        protocol(&part(OpCode::Control(C::Ping), b""));
        protocol(&frame(OpCode::Control(C::Ping), &[0; 126]));
        protocol(&frame(OpCode::Control(C::Close), &[3]));
        protocol(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]); // Longer than can be.
        let text = frame(OpCode::Data(Data::Text), b"x");
        assert_eq!(decode(&text, 1), Err(FrameError::Text));
    }

    #[test]
    fn our_frames_are_read_by_others() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![9; size];
            let mut bytes = Vec::new();
            encode_data(&payload, &mut bytes);
            let mut cursor = std::io::Cursor::new(&bytes);
            let (header, length) =
                FrameHeader::parse(&mut cursor).expect("well-formed").expect("whole");
            assert_eq!((header.opcode, header.is_final, header.mask), (BIN, true, None));
            assert_eq!(length as usize, size);
            assert_eq!(bytes[usize::try_from(cursor.position()).expect("small")..], payload);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(stream in prop::collection::vec(any::<u8>(), 0..200), step in 1..50_usize) {
            let _any = decode(&stream, step);
        }
    }
}
