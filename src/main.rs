//! The `usher` command.

use std::process::ExitCode;

/// Gives freed memory back to the system in the background, so that a peak does not stay.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    usher::cli::main()
}
