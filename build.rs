//! Tells the linker where the DuckDB library lies at run time, so that the bare binary finds it.
//!
//! The duckdb crate sets no rpath when it links a library that it did not build itself.

use std::env;

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    if let Some(folder) = env::var_os("DUCKDB_LIB_DIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}
