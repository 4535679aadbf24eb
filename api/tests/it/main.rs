//! The API as its users meet it: real sockets in front, ports of the test's own behind.

mod backtests;
mod charts;
mod errors;
mod exports;
mod feed;
mod kept;
mod limits;
mod registry;
mod replay;
mod resume;
mod routes;
mod rules;
mod shutdown;
mod sse;
mod support;
mod telemetry;
