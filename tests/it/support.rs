//! What the tests share.

pub(crate) mod device;
pub(crate) mod fault;
pub(crate) mod http;
pub(crate) mod live;
pub(crate) mod raw;
pub(crate) mod service;
pub(crate) mod shim;
pub(crate) mod tree;
