//! What holds for the whole of Bellwire: its layout, its habits, and its promises end to end.

mod arrows;
mod support;
mod tidy;
