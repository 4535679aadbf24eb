//! Who is asking, and what they may do.
//!
//! [`people`], [`sessions`] and [`throttle`] are plain data that are told the time; [`gate`] has them in
//! memory and, through a port, in files; [`layer`] asks it for each request, and looks into [`table`] for
//! what the route needs.

pub(crate) mod cookie;
pub(crate) mod gate;
pub(crate) mod layer;
pub(crate) mod metrics;
pub mod name;
pub(crate) mod origin;
pub mod password;
pub mod people;
pub mod secret;
pub mod sessions;
pub mod table;
pub mod throttle;
pub(crate) mod vigil;
mod who;
pub(crate) mod within;

pub use gate::new_token;
pub use who::{Pass, Role, Scope, Via, Who};

#[cfg(test)]
mod tests;
