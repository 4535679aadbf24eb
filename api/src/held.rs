//! Bodies of answers that hold something until their last byte was taken.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::Response;
use hyper::body::{Frame, SizeHint};

/// An answer that holds `it` until its last byte was taken, or its client has gone.
pub(crate) fn held<T>(answer: Response<Body>, it: T) -> Response<Body>
where
    T: Send + Unpin + 'static,
{
    answer.map(|body| Body::new(Held { body, _it: it }))
}

struct Held<T> {
    body: Body,
    _it: T,
}

impl<T: Unpin> HttpBody for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
