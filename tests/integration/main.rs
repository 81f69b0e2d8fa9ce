//! The integration tests, in one binary: one module a topic.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod board;
mod calendars;
mod cli_reference;
mod compiled_sql;
mod copied_files;
mod crowd;
mod dynamic_tables;
mod exports;
mod first_morning;
mod floors;
mod followed;
mod kill;
mod landing;
mod ledger;
mod lost_commits;
mod materializations;
mod merge;
mod microbatch;
mod ods;
mod opt_in;
mod partition_commands;
mod pipeline;
mod postgres;
mod postgres_features;
mod postgres_runs;
mod refused;
mod rules;
mod run_loop;
mod same_rows;
mod secrets;
mod separable;
mod snowflake;
mod story;
mod support;
mod tls;
mod warehouse;
mod warehouse_data;
mod wrong_input;
