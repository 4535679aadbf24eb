//! The engine from outside: rules and readings in, transitions out.

mod arithmetic;
mod backtest;
mod clocks;
mod docs;
mod errors;
mod files;
mod groups;
mod handling;
mod hostile;

mod kapacitor;
mod labels;
mod numbers;
mod options;
mod presence;
mod prometheus;
mod recordings;
mod reference;
mod reload;
mod restart;
mod rng;
mod selection;
mod shuffle;
mod simulation;
mod states;
mod words;
mod world;
