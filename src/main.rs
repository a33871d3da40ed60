//! The binary: an allocator that returns freed memory, and the command line.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    pontoon::cli::main()
}
