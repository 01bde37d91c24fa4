//! `mv-link`: see the library.

use mv_link::{Blobs, args, ld};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let blobs: Blobs<'static> = mv_link::blobs::tiny::blobs();
    let _ = args::is_linker_name;
    match ld::run(&argv, &blobs) {
        Ok(status) => ExitCode::from(ld::end_as(status) as u8),
        Err(e) => {
            eprintln!("mv-link: {e}");
            ExitCode::FAILURE
        }
    }
}
