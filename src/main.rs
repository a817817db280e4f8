//! The `modelhaul` program: everything is in the library, so that an app can embed it.

use std::process::ExitCode;

fn main() -> ExitCode {
    modelhaul::cli::main()
}
