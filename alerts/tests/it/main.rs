//! The engine from outside: rules and readings in, transitions out.

mod arithmetic;
mod backtest;
mod clocks;
mod files;
mod hostile;
mod machine;
mod numbers;
mod reference;
mod reload;
mod restart;
mod rng;
mod selection;
mod simulation;
mod states;
mod words;
mod world;
