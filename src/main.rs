//! argv → Config → Doorway::run → exit code. Nothing else.

use std::process::ExitCode;

use doorway::server::command_line;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command_line::run(std::env::args_os())
}
