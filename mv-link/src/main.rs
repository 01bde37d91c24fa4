//! `mv-link`: a drop-in `ld`, and tools for hybrid executables. All of it is in the library.

use anyhow::Result;
use clap::Parser;
use mv_link::predict::{self, measure};
use mv_link::{Blobs, cli, ld, payload};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    run(&argv).unwrap_or_else(|e| {
        eprintln!("mv-link: {e:#}");
        ExitCode::FAILURE
    })
}

fn run(argv: &[OsString]) -> Result<ExitCode> {
    let blobs = Blobs {
        payload: payload::PAYLOAD,
        stub: payload::STUB,
    };
    if let [_, mode, name, number] = argv {
        if mode == predict::MEASURE {
            let number = number.to_string_lossy().parse()?;
            measure::run(&name.to_string_lossy(), number)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    if cli::is_own(argv) {
        return Ok(cli::run(&cli::Cli::parse_from(argv), &blobs)?);
    }
    let status = ld::run(argv, &blobs)?;
    Ok(ExitCode::from(ld::end_as(status) as u8))
}
