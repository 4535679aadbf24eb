//! Rows as a file, however many: page after page, as fast as the client takes them.
//!
//! The first page is asked for before the answer begins, so that what is wrong from the start is a
//! problem as everywhere else. After that the status is sent; if history has no answer for a later
//! page, the connection is cut without the last chunk (RFC 9112, section 8), which no client takes
//! for the end of the file. HTTP/1.0 has no chunks, hence no way to tell: it gets no exports.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, MetricName};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tracing::warn;

use super::format::File;
use super::rows::{Grouped, Row};
use crate::app::{App, EXPORTS_MAX};
use crate::fill::Bucket;
use crate::ports::{BucketsQuery, ReadingRow, ReadingsQuery};
use crate::problem::Problem;

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
    _place: OwnedSemaphorePermit,
}

/// Why a body ends before it is whole.
#[derive(Debug, thiserror::Error)]
#[error("export cut off: {0}")]
struct Cut(&'static str);

/// Answers with all rows, or the first `limit`, as a file. The next page is asked for when the one
/// before has been written to the socket.
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
    let mut export = Export { app, file, next: Some(question), n_left, n_given: 0, _place: place };
    export.page(&mut first).await?;
    let first = stream::iter([Ok(Bytes::from(first))]);
    let rest = stream::try_unfold(export, |mut export| async move {
        if export.next.is_none() {
            return Ok(None);
        }
        let mut page = Vec::new();
        match export.page(&mut page).await {
            Ok(()) => Ok(Some((Bytes::from(page), export))),
            Err(problem) => Err(export.cut(&problem)),
        }
    });
    Ok((headers, Body::from_stream(first.chain(rest))).into_response())
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
    fn cut(&self, problem: &Problem) -> Cut {
        let (n_rows, code) = (self.n_given, problem.code());
        self.app.metrics.http.exports_cut.inc();
        warn!(n_rows, code, "An export was cut off after {n_rows} rows: {code}.");
        Cut(code)
    }
}
