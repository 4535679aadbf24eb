//! The API as its users meet it: real sockets in front, ports of the test's own behind.

mod auditing;
mod backtests;
mod channels;
mod charts;
mod conform;
mod errors;
mod exports;
mod feed;
mod guard;
mod handling;
mod kept;
mod limits;
mod registry;
mod replay;
mod resume;
mod routes;
mod rules;
mod shutdown;
mod sse;
mod subscriptions;
mod support;
mod telemetry;
