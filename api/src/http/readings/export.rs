//! Rows as a file, however many: page after page, as fast as the client takes them.
//!
//! The first page is asked for before the answer begins, so that what is wrong from the start is a
//! problem as everywhere else. After that the status is sent; if history has no answer for a later
//! page, the connection is cut without the last chunk (RFC 9112, section 8), which no client takes
//! for the end of the file. HTTP/1.0 has no chunks, hence no way to tell: it gets no exports.
//!
//! A page is made by a task of its own and handed over in pieces: so a client that takes none for
//! `http.body_timeout_ms` loses its place, also one whose connection lives (over HTTP/2 it may
//! answer our PING and never open its window).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, MetricName};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tracing::warn;

use super::format::File;
use super::rows::{Grouped, Row};
use crate::app::{App, EXPORTS_MAX};
use crate::fill::Bucket;
use crate::ports::{BucketsQuery, ReadingRow, ReadingsQuery};
use crate::problem::Problem;
use crate::request_id;

/// The most bytes of one piece.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Why a client that takes nothing gets no more.
const STALLED: &str = "client_stalled";

/// What is exported: the query of a page.
#[derive(Debug)]
pub(super) enum Question {
    Readings(ReadingsQuery),
    Buckets(BucketsQuery),
}

/// An export on its way. It holds a place until the client has all or leaves.
struct Export {
    app: Arc<App>,
    file: File,
    /// The next page; `None` after the last.
    next: Option<Question>,
    /// How many rows may still be given.
    n_left: u64,
    n_given: u64,
    request_id: Arc<str>,
    _place: OwnedSemaphorePermit,
}

/// Why a body ends before it is whole.
#[derive(Debug, thiserror::Error)]
#[error("export cut off: {0}")]
struct Cut(&'static str);

/// What is handed over.
enum Piece {
    Part(Bytes),
    /// It is whole.
    End,
    Cut(Cut),
}

/// Answers with all rows, or the first `limit`, as a file. The next page is asked for when all but the
/// last piece of the one before has been taken to be sent.
///
/// # Errors
/// A problem if the first page cannot be had, too many exports are on their way, or the client
/// could not tell a whole file from a part.
pub(super) async fn stream(
    app: Arc<App>,
    question: Question,
    file: File,
    limit: Option<u64>,
    version: Version,
) -> Result<Response, Problem> {
    if version < Version::HTTP_11 {
        let detail = "An export needs HTTP/1.1: before, a file that is cut off looks whole.";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "http_1_1_required", detail));
    }
    let Ok(place) = Arc::clone(&app.exports).try_acquire_owned() else {
        let detail = format!("{EXPORTS_MAX} exports are on their way: come back later.");
        return Err(Problem::later("too_many_exports", detail, 10));
    };
    let (device, metric) = question.subject();
    let headers = file.headers(device, metric);
    let mut first = Vec::new();
    question.begin(file, &mut first);
    let n_left = limit.unwrap_or(u64::MAX);
    let (next, request_id) = (Some(question), request_id::current());
    let mut export = Export { app, file, next, n_left, n_given: 0, request_id, _place: place };
    export.page(&mut first).await?;
    let (pieces, taken) = mpsc::channel(1);
    let request_id = Arc::clone(&export.request_id);
    let tracker = export.app.tracker.clone();
    tracker.spawn(request_id::during(request_id, export.give(first, pieces)));
    let body = stream::try_unfold(taken, |mut taken| async move {
        match taken.recv().await {
            Some(Piece::Part(bytes)) => Ok(Some((bytes, taken))),
            Some(Piece::End) => Ok(None),
            Some(Piece::Cut(cut)) => Err(cut),
            None => Err(Cut(STALLED)),
        }
    });
    Ok((headers, Body::from_stream(body)).into_response())
}

impl Question {
    /// Of which device, if not of all, and of which metric, if not of all.
    const fn subject(&self) -> (Option<&DeviceId>, Option<&MetricName>) {
        match self {
            Self::Readings(query) => (Some(&query.device), query.metric.as_ref()),
            Self::Buckets(query) => (query.device.as_ref(), query.metric.as_ref()),
        }
    }

    /// Writes what stands before the first row.
    fn begin(&self, file: File, out: &mut Vec<u8>) {
        match self {
            Self::Readings(_) => file.begin::<ReadingRow>(out),
            Self::Buckets(query) if query.by.is_some() => file.begin::<Grouped>(out),
            Self::Buckets(_) => file.begin::<Bucket>(out),
        }
    }
}

impl Export {
    /// Hands over this page and all that follow, until the client has all, leaves, or stands still.
    async fn give(mut self, first: Vec<u8>, pieces: mpsc::Sender<Piece>) {
        let mut page = Bytes::from(first);
        loop {
            while !page.is_empty() {
                let part = page.split_to(page.len().min(PIECE_BYTES_MAX));
                if self.hand(&pieces, Piece::Part(part)).await.is_break() {
                    return;
                }
            }
            let end = match self.next {
                None => Some(Piece::End),
                Some(_) => {
                    let mut fresh = Vec::new();
                    let made = tokio::select! {
                        () = pieces.closed() => return,
                        made = self.page(&mut fresh) => made,
                    };
                    page = Bytes::from(fresh);
                    made.err().map(|problem| Piece::Cut(self.cut(problem.code())))
                }
            };
            if let Some(end) = end {
                // Nothing follows, whether it is taken or not.
                let _ = self.hand(&pieces, end).await;
                return;
            }
        }
    }

    /// Hands over one piece, as soon as there is room for it.
    async fn hand(&self, pieces: &mpsc::Sender<Piece>, piece: Piece) -> ControlFlow<()> {
        let patience = Duration::from_millis(self.app.config.body_timeout_ms.get());
        match timeout(patience, pieces.send(piece)).await {
            Ok(Ok(())) => ControlFlow::Continue(()),
            // The client has left.
            Ok(Err(_)) => ControlFlow::Break(()),
            Err(_) => {
                self.cut(STALLED);
                ControlFlow::Break(())
            }
        }
    }

    /// Writes the next page, if there is one.
    ///
    /// # Errors
    /// A problem if history has no answer.
    async fn page(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        match self.next.take() {
            None => {}
            Some(Question::Readings(query)) => {
                let page = self.app.history(|it| it.readings(query.clone())).await?;
                self.rows(page.rows, out);
                let next = |after| Question::Readings(ReadingsQuery { after, ..query });
                self.go_on(page.next, next);
            }
            Some(Question::Buckets(query)) => {
                let page = self.app.history(|it| it.buckets(query.clone())).await?;
                let buckets = page.rows.into_iter().map(Bucket::from);
                if query.by.is_some() {
                    self.rows(buckets.map(Grouped), out);
                } else {
                    self.rows(buckets, out);
                }
                let next = |after| Question::Buckets(BucketsQuery { after, ..query });
                self.go_on(page.next, next);
            }
        }
        Ok(())
    }

    /// Writes as many of `rows` as may still be given.
    fn rows<R: Row>(&mut self, rows: impl IntoIterator<Item = R>, out: &mut Vec<u8>) {
        for row in rows {
            if self.n_left == 0 {
                return;
            }
            self.file.row(&row, out);
            self.n_left -= 1;
            self.n_given += 1;
        }
    }

    fn go_on(&mut self, after: Option<String>, next: impl FnOnce(Option<String>) -> Question) {
        self.next = after.filter(|_| self.n_left > 0).map(|after| next(Some(after)));
    }

    /// Says that the export ends here, to the log and to the connection.
    fn cut(&self, code: &'static str) -> Cut {
        let (n_rows, request_id) = (self.n_given, &self.request_id);
        self.app.metrics.http.exports_cut.inc();
        warn!(n_rows, code, %request_id, "An export was cut off after {n_rows} rows: {code}.");
        Cut(code)
    }
}
