//! The `mv-cc` command. See the library for how it works.

use std::io::Write;
use std::process::ExitCode;

use mv_cc::environment::Environment;
use mv_cc::invocation::Action;

fn run() -> anyhow::Result<()> {
    match Action::new(std::env::args_os(), &Environment::of_process())? {
        Action::Print(text) => Ok(std::io::stdout().write_all(text.as_bytes())?),
        Action::Run(invocation) => {
            if invocation.verbose {
                // With standard error closed there is nobody to tell; the compiler runs all the same.
                let _ = writeln!(std::io::stderr(), "{}", invocation.describe());
            }
            Err(invocation.exec().into())
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "mv-cc: {error:#}");
            ExitCode::FAILURE
        }
    }
}
