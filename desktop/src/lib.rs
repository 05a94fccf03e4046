//! Foveate in a window. From the bottom up:
//!
//! - [`picture`]: pictures as small as they are shown.
//! - [`input`]: the picture that a drawing begins with, and what is painted on it, as plain data.
//! - [`engine`]: the thread that draws; commands in, events out.
//! - [`disk`]: the thread that reads and writes files.
//! - [`state`]: what the window shows, as plain data.
//! - [`views`]: what shows it; each view draws a part of the state and returns what the user did.
//! - [`app`]: the window's loop: takes in events, shows the views, does what the user did.
//!
//! It is a library for its own tests, which drive the app without a window.
#![allow(missing_docs, reason = "the parts of an app are public for its tests alone")]

pub mod app;
pub mod disk;
pub mod engine;
pub mod input;
pub mod picture;
pub mod state;
#[cfg(test)]
#[path = "../../studio/src/testing.rs"]
mod testing;
pub mod theme;
pub mod views;
