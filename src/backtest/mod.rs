//! Backtests: rules tried on readings that are there already, from a file or from the database.
//!
//! [`trial`] is the run itself, beside that of the running rules; [`csv`] and [`stored`] give it
//! readings; [`line`] and [`stream`] say what came of it
//! as JSON. The command line and the API use all of it alike.

pub(crate) mod csv;
pub(crate) mod line;
pub(crate) mod rules;
pub(crate) mod stored;
pub(crate) mod stream;
pub(crate) mod trial;
pub(crate) mod words;
