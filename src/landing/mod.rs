//! Files as sources: what a table of a source says of its files, which there are, and how their rows
//! get into a table of the declared columns.
//!
//! A partition is text here, such as `2026-11-05`, as the path of its files writes it. Whether a
//! partition is due, stale or recorded is for others to say.

mod copy;
mod csv;
mod export;
mod faults;
mod layout;
mod list;
mod load;
mod manifest;
mod pattern;
mod spec;
mod sql;

pub use export::{Spool, Written, carry, place, put};
pub use list::{FileEntry, Listing, Surroundings, checksum, list, version};
pub use load::{Counts, Destination, LoadFailure, joined, load, staging};
pub use pattern::{Pattern, bounds};
pub use spec::{
    Compression, CsvOptions, Cut, ExtraColumns, FileColumn, FileSource, Format, Header, Kind,
    Location, Stage, file_source,
};
pub use sql::Readers;
