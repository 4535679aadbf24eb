//! The log as others use it: the contract of every log, and what a local disk can do to ours.

mod backpressure;
mod contract;
mod crash;
mod damage;
mod failure;
mod files;
mod retention;
mod support;
