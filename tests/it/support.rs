//! What the tests share.

pub(crate) mod fault;
pub(crate) mod tree;
