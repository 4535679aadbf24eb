//! Which trace something belongs to: the client's, an alert's, or one of its own.

use bellwire_model::{AlertId, LogId, LogPosition};
use sha2::{Digest, Sha256};

/// A trace's identity: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceId(pub(super) [u8; 16]);

/// A span's identity within its trace: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpanId(pub(super) [u8; 8]);

impl TraceId {
    /// An alert's: the first half of the log's identity, then the alert's own.
    pub(super) fn of_alert(log: LogId, alert: AlertId) -> Self {
        let log = u64::try_from(log.0 >> 64).expect("64 bits are left");
        // A log's identity is random: that both halves are zero does not happen.
        Self(((u128::from(log) << 64) | u128::from(alert.0)).to_be_bytes())
    }
}

impl SpanId {
    /// Of a span that these parts tell from all others in its trace.
    fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        let id: [u8; 8] = hash.first_chunk().copied().unwrap_or_default();
        Self(if id == [0; 8] { [1; 8] } else { id })
    }

    /// An alert's first transition, which all others are below.
    pub(super) fn of_alert(alert: AlertId) -> Self {
        Self::of(&[b"alert", &alert.0.to_le_bytes()])
    }

    /// A later one.
    pub(super) fn of_transition(position: LogPosition, ordinal: u32) -> Self {
        Self::of(&[b"transition", &position.0.to_le_bytes(), &ordinal.to_le_bytes()])
    }

    /// A part of `parent`.
    pub(super) fn of_part(parent: Self, name: &str) -> Self {
        Self::of(&[b"part", &parent.0, name.as_bytes()])
    }

    /// An attempt to send a message to one of a channel's addresses.
    pub(super) fn of_attempt(message: &str, address: usize, ended_at: i64) -> Self {
        let (address, ended_at) = (address.to_le_bytes(), ended_at.to_le_bytes());
        Self::of(&[b"attempt", message.as_bytes(), &address, &ended_at])
    }
}

/// Where a new span belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// Another service's span.
    pub(super) parent: Option<SpanId>,
}

/// What a client says of the trace that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// Whether it is recorded.
    pub(super) is_sampled: bool,
}

impl Parent {
    /// Reads `traceparent` (W3C Trace Context); what is none says nothing.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let mut parts = text.split('-');
        let version: [u8; 1] = hex(parts.next()?)?;
        let trace: [u8; 16] = hex(parts.next()?)?;
        let span: [u8; 8] = hex(parts.next()?)?;
        let flags: [u8; 1] = hex(parts.next()?)?;
        // Later versions may have more behind it; 255 is none.
        let is_whole = version[0] != 0 || parts.next().is_none();
        let is_known = version[0] != 0xff && is_whole && trace != [0; 16] && span != [0; 8];
        let is_sampled = flags[0] & 1 == 1;
        is_known.then_some(Self { trace: TraceId(trace), span: SpanId(span), is_sampled })
    }
}

/// Bytes of so many digits, in lower case as the standard has it.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Which share of what has no parent is traced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Traced is what is below, of 2^56.
    below: u64,
}

impl Sample {
    const ALL: u64 = 1 << 56;

    /// `share` is from 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "2^56 is exact, and casts from float stay within bounds"
    )]
    pub(super) fn new(share: f64) -> Self {
        Self { below: ((share * Self::ALL as f64) as u64).min(Self::ALL) }
    }

    /// The place of something with this parent in a trace; `None` if it is not to be traced, or if the
    /// system gives no random numbers.
    pub(super) fn place(self, parent: Option<Parent>) -> Option<Context> {
        if parent.is_some_and(|parent| !parent.is_sampled) {
            return None;
        }
        let mut random = [0; 24];
        getrandom::fill(&mut random).ok()?;
        let (own, span) = random.split_at(16);
        let (own, span): ([u8; 16], [u8; 8]) = (own.try_into().ok()?, span.try_into().ok()?);
        let span = SpanId(span);
        if let Some(parent) = parent {
            return Some(Context { trace: parent.trace, span, parent: Some(parent.span) });
        }
        let [.., a, b, c, d, e, f, g] = own;
        let is_traced = u64::from_be_bytes([0, a, b, c, d, e, f, g]) < self.below;
        is_traced.then_some(Context { trace: TraceId(own), span, parent: None })
    }

    /// The place of what is traced in any case.
    pub(super) fn place_always() -> Option<Context> {
        Self { below: Self::ALL }.place(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_clients_trace_is_taken_up_or_left_alone() {
        let parent = Parent::parse(LINE.as_bytes()).unwrap();
        assert_eq!(parent.trace.0[..2], [0x0a, 0xf7]);
        assert_eq!(parent.span.0, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
        assert!(parent.is_sampled);
        let not_sampled = Parent::parse(LINE.replace("-01", "-02").as_bytes()).unwrap();
        assert!(!not_sampled.is_sampled);
        let later = LINE.replacen("00", "cc", 1) + "-what-will-be";
        assert!(Parent::parse(later.as_bytes()).is_some());
        for wrong in [
            String::new(),
            LINE.to_uppercase(),
            LINE.replacen("00", "ff", 1),
            LINE.to_owned() + "-more",
            LINE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            LINE.replace("b7ad6b7169203331", &"0".repeat(16)),
            LINE.replace("b7ad6b7169203331", "b7ad6b716920333"),
            LINE.replace('-', "_"),
        ] {
            assert_eq!(Parent::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Parent::parse(b"\xff"), None);
    }

    #[test]
    fn the_client_decides_and_else_the_share() {
        let parent = Parent::parse(LINE.as_bytes()).unwrap();
        let never = Sample::new(0.0);
        let place = never.place(Some(parent)).unwrap();
        assert_eq!((place.trace, place.parent), (parent.trace, Some(parent.span)));
        let not_sampled = Parent { is_sampled: false, ..parent };
        assert_eq!(Sample::new(1.0).place(Some(not_sampled)), None);
        let count = |share| (0..1_000).filter(|_| Sample::new(share).place(None).is_some()).count();
        assert_eq!((count(0.0), count(1.0)), (0, 1_000));
        // Ten standard deviations on either side.
        assert!((350..650).contains(&count(0.5)));
    }

    #[test]
    fn an_alerts_trace_ends_with_its_own_identity() {
        let log = LogId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let id = TraceId::of_alert(log, AlertId(0xfedc_ba98_7654_3210));
        assert_eq!(u128::from_be_bytes(id.0), 0x0011_2233_4455_6677_fedc_ba98_7654_3210);
        let place = LogPosition(7);
        assert_eq!(SpanId::of_transition(place, 1), SpanId::of_transition(place, 1));
        assert_ne!(SpanId::of_transition(place, 1), SpanId::of_transition(place, 2));
        assert_ne!(SpanId::of_attempt("m", 0, 1), SpanId::of_attempt("m", 1, 1));
    }
}
