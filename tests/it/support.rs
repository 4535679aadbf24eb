//! What the tests share.

pub(crate) mod fault;
pub(crate) mod shim;
pub(crate) mod tree;
