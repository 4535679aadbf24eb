//! What operators do with alerts, and what mutes, escalates and latches them.

mod desk;
mod simulation;
mod steps;
