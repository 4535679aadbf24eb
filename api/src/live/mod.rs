//! The live feed: a snapshot of the present, then every transition exactly once and in order.
//!
//! A transition's way: *judge* calls [`hub::Hub::transition`]; the pump encodes it and adds it to
//! the [`feed::Feed`]; each client's [`client::Subscriber`] is woken, takes what it has not had,
//! and [`session`] (WebSocket), [`events`] (SSE) or [`poll`] sends it. A client that comes back
//! is brought up to date by [`resume`]. What they say is in [`frames`], and for users in
//! `docs/live.md`.

pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod frames;
pub(crate) mod hub;
pub(crate) mod inbox;
pub(crate) mod interest;
pub(crate) mod message;
pub(crate) mod poll;
pub(crate) mod resume;
pub(crate) mod session;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod websocket;

pub(crate) use frames::Resume;
