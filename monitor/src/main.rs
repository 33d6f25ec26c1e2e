//! The node daemon and operator CLI.

use std::process::ExitCode;

fn main() -> ExitCode {
    obit_monitor::cli::main()
}
