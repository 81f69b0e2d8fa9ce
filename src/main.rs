//! The binary: everything is in the library.

use std::alloc::GlobalAlloc;

/// mimalloc takes the place of the system's `malloc` for the whole process, the embedded DuckDB
/// included, which allocates more than we do. Without huge pages (`no_thp`): they are cleared whole, and
/// a short run pays for memory that it never uses.
///
/// It is no `#[global_allocator]`: by that way each size that is no power of two is over-allocated and
/// then aligned, which takes longer and more memory. This reference alone has it linked.
#[used]
static ALLOCATOR: &(dyn GlobalAlloc + Sync) = &mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    daygrain::cli::main()
}
