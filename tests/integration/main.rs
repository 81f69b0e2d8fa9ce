//! The integration tests, in one binary: one module a topic.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod board;
mod cli_reference;
mod compiled_sql;
mod floors;
mod landing;
mod materializations;
mod merge;
mod microbatch;
mod opt_in;
mod postgres;
mod rules;
mod run_loop;
mod secrets;
mod separable;
mod story;
mod support;
mod warehouse;
mod warehouse_data;
mod wrong_input;
