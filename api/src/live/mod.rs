//! The live feed: a snapshot of the present, then every transition exactly once and in order.
//!
//! A transition's way: *judge* calls [`hub::Hub::transition`]; the pump encodes it and adds it to
//! the [`feed::Feed`]; for the clients whose [`filter`] it passes ([`crowd`]) it makes a [`round`]: who has
//! all that was before is written to at once ([`lane`]), others are woken, and then each one's
//! [`client::Subscriber`] takes what it has not had, and [`session`] (WebSocket), [`events`] (SSE) or
//! [`poll`] sends it. A client that comes back is brought up to date by [`resume`]. What they say is in
//! [`frames`] and [`message`], how it is sent in [`encoded`], and for users in `docs/live.md`.

pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod deflate;
pub(crate) mod encoded;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod filter;
pub(crate) mod frames;
pub(crate) mod hub;
pub(crate) mod inbox;
pub(crate) mod interest;
pub(crate) mod lane;
pub(crate) mod message;
pub(crate) mod operators;
pub(crate) mod poll;
pub(crate) mod resume;
pub(crate) mod round;
pub(crate) mod session;
pub(crate) mod socket;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod websocket;
pub(crate) mod wire;

pub(crate) use frames::{Frame, Resume};
