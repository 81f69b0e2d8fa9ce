//! The binary: everything is in the library.

/// For the whole process, the embedded DuckDB included, which allocates more than we do. Without huge
/// pages (`no_thp`): they are cleared whole, and a short run pays for memory that it never uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    daygrain::cli::main()
}
