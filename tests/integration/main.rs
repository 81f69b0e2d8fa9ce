//! The integration tests, in one binary: one module a topic.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod floors;
mod materializations;
mod postgres;
mod support;
mod warehouse_data;
