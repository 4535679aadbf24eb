//! What holds for the whole of Bellwire: its layout, its habits, and its promises end to end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod arrows;
mod backup;
mod bad_input;
mod bridge;
mod care;
mod chaos;
mod cli;
mod commands;
mod console;
mod crash;
mod device_data;
mod doors;
mod durability;
mod full_database;
mod history;
mod http_door;
mod journey;
mod listeners;
mod mappings;
mod mqtt;
mod older_copy;
mod outage;
mod poison;
mod presence;
mod reader;
mod recording;
mod registry;
mod replay;
mod rules;
mod rules_api;
mod sessions;
mod shim;
mod sparkplug;
mod stopped;
mod support;
mod tidy;
mod time;
mod two_writers;
