//! What a request is called: in its answer, in the body of its problem, and in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bellwire_model::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

/// The line of the head that has it.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that a client may give.
const CHARS_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// Gives requests names that no other has had: not since this start, and hardly before it.
#[derive(Debug)]
pub(crate) struct RequestIds {
    start: u64,
    n_given: AtomicU64,
}

impl RequestIds {
    /// Those of a service that starts at `now`.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { start: xxh3_64(&now.as_micros().to_le_bytes()), n_given: AtomicU64::new(0) }
    }

    /// What the request with these headers is called: as the client says, if that is short and plain,
    /// for it may have passed others on its way; else by a name of its own.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Arc<str> {
        let given = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
        match given.filter(|id| is_plain(id)) {
            Some(id) => id.into(),
            None => {
                let n = self.n_given.fetch_add(1, Ordering::Relaxed);
                format!("{:016x}-{n}", self.start).into()
            }
        }
    }
}

fn is_plain(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':');
    (1..=CHARS_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// Runs `answering`, which is what the request called `id` comes to.
pub(crate) async fn during<T: Send>(id: Arc<str>, answering: impl Future<Output = T> + Send) -> T {
    CURRENT.scope(id, answering).await
}

/// The request that is being answered here; `-` where none is.
pub(crate) fn current() -> Arc<str> {
    CURRENT.try_with(Arc::clone).unwrap_or_else(|_| "-".into())
}

/// As a line of the head.
pub(crate) fn value(id: &str) -> HeaderValue {
    HeaderValue::try_from(id).expect("plain characters only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_id_is_kept_and_others_get_one_of_their_own() {
        let ids = RequestIds::new(Timestamp::EPOCH);
        let of = |id: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(id).expect("a header"));
            ids.of(&headers).to_string()
        };
        assert_eq!(of(b"01HX-9/a_b.c:d"), "01HX-9/a_b.c:d");
        let long = "x".repeat(129);
        for wrong in [&b""[..], b"a b", b"a\"b", b"\xff", long.as_bytes()] {
            assert_ne!(of(wrong).as_bytes(), wrong);
        }
        assert_ne!(of(b""), of(b""));
        assert_ne!(
            of(b""),
            RequestIds::new(Timestamp::from_secs(1)).of(&HeaderMap::new()).as_ref()
        );
    }

    #[tokio::test]
    async fn whatever_is_done_for_a_request_knows_its_id() {
        assert_eq!(&*current(), "-");
        let (one, two) = tokio::join!(
            during("one".into(), async {
                tokio::task::yield_now().await;
                current()
            }),
            during("two".into(), async { current() }),
        );
        assert_eq!((&*one, &*two), ("one", "two"));
    }
}
