//! What operators do with alerts: from the API into the log, and what *judge* says of it back.

mod board;
mod port;

pub(super) use board::Board;
pub(super) use port::HandlingPort;
