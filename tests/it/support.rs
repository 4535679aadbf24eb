//! What the tests share.

pub(crate) mod alertmanager;
pub(crate) mod device;
pub(crate) mod dice;
pub(crate) mod events;
pub(crate) mod fault;
pub(crate) mod haproxy;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod listener;
pub(crate) mod live;
pub(crate) mod load;
pub(crate) mod lossy;
pub(crate) mod mail;
pub(crate) mod mosquitto;
pub(crate) mod nginx;
pub(crate) mod people;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod shim;
pub(crate) mod tree;
pub(crate) mod tunnel;
pub(crate) mod watcher;
