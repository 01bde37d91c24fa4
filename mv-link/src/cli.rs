//! mv-link's own modes.

use crate::blobs::Blobs;
use crate::elf::FileSource;
use crate::error::{Error, Result};
use crate::options::Config;
use crate::{args, doctor, inspect, output, predict, restore, rewrite, table};
use clap::{ArgGroup, Parser};
use hrt_kernel::platform::Platform;
use serde::Serialize;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes hybrid executables. Called as ld (by that name, or with a linker's arguments) it links.
#[derive(Debug, Parser)]
#[command(name = "mv-link", version, group(ArgGroup::new("mode").required(true)))]
pub struct Cli {
    /// Make a hybrid of an executable
    #[arg(long, value_name = "IN", group = "mode", requires = "output")]
    hybridize: Option<PathBuf>,
    /// Give back what a hybrid was made of
    #[arg(long, value_name = "IN", group = "mode", requires = "output")]
    strip_hybrid: Option<PathBuf>,
    /// Say what a hybrid carries
    #[arg(long, value_name = "FILE", group = "mode")]
    inspect: Option<PathBuf>,
    /// Say which platform a hybrid takes on this machine, and why
    #[arg(long, group = "mode")]
    doctor: bool,
    /// Run COMMAND plainly, count what it asks of Linux, and say what hybridizing it would gain or cost here
    #[arg(long, group = "mode", requires = "command")]
    predict: bool,
    /// Where to write the result (with --predict: the report; stderr if not said)
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Configuration file (multiverse.toml)
    #[arg(long, value_name = "FILE", requires = "hybridize")]
    config: Option<PathBuf>,
    /// Report in JSON
    #[arg(long)]
    json: bool,
    /// Run the command once only, traced: then its plain time is not known
    #[arg(long, requires = "predict")]
    once: bool,
    /// Predict for this platform, not for what HRT_PLATFORM=auto may take
    #[arg(long, value_name = "NAME", requires = "predict", value_parser = platform)]
    platform: Option<Platform>,
    /// The program to run with --predict, and its arguments
    #[arg(last = true, requires = "predict", value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Whether a command line (with the program's name) asks for one of mv-link's own modes rather than for a link.
pub fn is_own(argv: &[OsString]) -> bool {
    let name = argv
        .first()
        .map_or(OsStr::new("mv-link"), |a| a.as_os_str());
    if args::is_linker_name(name) {
        return false;
    }
    // A compiler passes much more than one argument, and --version among them.
    let own = [
        "--hybridize",
        "--strip-hybrid",
        "--inspect",
        "--doctor",
        "--json",
        "--config",
        "--predict",
    ];
    match argv.get(1..).unwrap_or_default() {
        [] => true,
        [one] if ["-h", "--help", "-V", "--version"].iter().any(|a| one == a) => true,
        rest => rest.iter().any(|a| {
            let a = a.to_string_lossy();
            own.contains(&a.split('=').next().unwrap_or_default())
        }),
    }
}

/// Runs one of mv-link's own modes.
///
/// # Errors
/// As the mode's; nothing has been written then. `--predict` says its errors itself, since its exit status is the program's.
pub fn run(cli: &Cli, blobs: &Blobs<'_>) -> Result<ExitCode> {
    if cli.predict {
        let request = predict::Request {
            command: &cli.command,
            once: cli.once,
            platform: cli.platform,
            output: cli.output.as_deref(),
            json: cli.json,
        };
        return Ok(predict::run(&request, blobs));
    }
    on_files(cli, blobs).map(|()| ExitCode::SUCCESS)
}

/// The modes that work on a file or report on the machine.
fn on_files(cli: &Cli, blobs: &Blobs<'_>) -> Result<()> {
    let out = cli.output.as_deref().unwrap_or(Path::new(""));
    if let Some(file) = &cli.hybridize {
        let config = match &cli.config {
            Some(c) => Config::read(c)?,
            None => Config::default(),
        };
        let input = output::read(file)?;
        let hybrid = named(file, rewrite::hybridize(&input.bytes, blobs, &config))?;
        output::write(out, &hybrid.bytes, input.mode)?;
        if hybrid.table == table::Table::Moved {
            eprintln!(
                "mv-link: note: {}: no room for program headers, so they moved; strip and objcopy break such a file (strip the original instead)",
                out.display()
            );
        }
        Ok(())
    } else if let Some(file) = &cli.strip_hybrid {
        let input = output::read(file)?;
        let bytes = named(file, restore::strip_hybrid(&input.bytes))?;
        output::write(out, &bytes, input.mode)
    } else if let Some(file) = &cli.inspect {
        let meta = std::fs::metadata(file).map_err(Error::file(file, "cannot read"))?;
        if !meta.is_file() {
            return Err(Error::Refused(format!(
                "{}: not a regular file",
                file.display()
            )));
        }
        let open = std::fs::File::open(file).map_err(Error::file(file, "cannot read"))?;
        print(
            &named(file, inspect::inspect(&FileSource(&open, meta.len())))?,
            cli.json,
        )
    } else {
        print(&doctor::examine(), cli.json)
    }
}

/// Adds the file's name to an error about its contents.
fn named<T>(file: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|e| match e {
        Error::Elf(text) => Error::Elf(format!("{}: {text}", file.display())),
        Error::Refused(text) => Error::Refused(format!("{}: {text}", file.display())),
        other => other,
    })
}

fn print<T: Serialize + Display>(report: &T, json: bool) -> Result<()> {
    let text = if json {
        let json = serde_json::to_string_pretty(report).map_err(std::io::Error::from);
        json.map(|j| j + "\n")
    } else {
        Ok(report.to_string())
    };
    text.and_then(|t| std::io::stdout().write_all(t.as_bytes()))
        .map_err(|source| Error::Io {
            action: "cannot write the report",
            source,
        })
}

fn platform(name: &str) -> Result<Platform, &'static str> {
    Platform::from_name(name.as_bytes()).ok_or("it may be auto, kvm, hosted or native")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_or_ld() {
        let own = |line: &str| is_own(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "mv-link",
            "mv-link --version",
            "mv-link --doctor",
            "mv-link -o x --hybridize=y",
            "mv-link --inspect f",
        ] {
            assert!(own(line), "{line}");
        }
        for line in [
            "ld --version",
            "ld",
            "mv-link -o x y.o",
            "mv-link -z relro --version x.o",
            "/b/ld.lld --inspect",
        ] {
            assert!(!own(line), "{line}");
        }
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
