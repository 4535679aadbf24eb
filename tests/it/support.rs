//! What the tests share.

pub(crate) mod device;
pub(crate) mod dice;
pub(crate) mod fault;
pub(crate) mod http;
pub(crate) mod live;
pub(crate) mod load;
pub(crate) mod mosquitto;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod shim;
pub(crate) mod tree;
pub(crate) mod watcher;
