//! What holds for the whole of Bellwire: its layout, its habits, and its promises end to end.

mod arrows;
mod shim;
mod support;
mod tidy;
