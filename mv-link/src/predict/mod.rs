//! `--predict`: runs a plain program, counts what it asks of Linux, and says what hybridizing it would gain or cost here.
//!
//! Two runs: one as the program always runs, for its time, its output and its exit status; and one under [`trace`], unseen, for
//! the counts. What things cost is measured here and now ([`calibrate`]); [`model`] puts both together.

pub mod calibrate;
pub mod measure;
pub mod model;
pub mod proc;
pub mod report;
pub mod streams;
pub mod sys;
pub mod trace;

use crate::blobs::Blobs;
use crate::elf::FileSource;
use crate::error::{Error, Result};
use crate::options::Config;
use crate::{doctor, inspect, ld, output, rewrite};
use calibrate::Pair;
use hrt_kernel::platform::Platform;
use model::Times;
use report::{NotPredicted, Report, Usage};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Instant;
use streams::{Input, Unseen};
use sys::Program;
use trace::Counts;

/// The argument by which this program is its own calibration run.
pub const MEASURE: &str = "--measure-operation";
/// Where exits are emulated, operations are timed so many times fewer.
const EMULATED: u32 = 50;

const CANNOT_TRACE: &str = "cannot trace a program (a tracer of this process, a jail or kernel.yama.ptrace_scope forbids it)";

/// Exit statuses of our own, as those of env(1): this mode failed, the program cannot be executed, there is none.
const FAILED: u8 = 125;
const CANNOT: u8 = 126;
const NO_PROGRAM: u8 = 127;

/// What was asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// The program and its arguments.
    pub command: &'a [OsString],
    /// One run only, traced.
    pub once: bool,
    /// The platform to predict for; without it, those that `HRT_PLATFORM=auto` takes.
    pub platform: Option<Platform>,
    /// The report's file; stderr without.
    pub output: Option<&'a Path>,
    /// The report in JSON.
    pub json: bool,
}

/// Does it; the exit status is the program's. Errors are said on stderr.
pub fn run(request: &Request<'_>, blobs: &Blobs<'_>) -> ExitCode {
    match attempt(request, blobs) {
        Ok(status) => ExitCode::from(ld::end_as(status) as u8),
        Err(e) => {
            let status = match &e {
                Error::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    NO_PROGRAM
                }
                Error::Execute { .. } => CANNOT,
                _ => FAILED,
            };
            eprintln!("mv-link: {:#}", anyhow::Error::from(e));
            ExitCode::from(status)
        }
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, source }
}

fn attempt(request: &Request<'_>, blobs: &Blobs<'_>) -> Result<ExitStatus> {
    let Some(name) = request.command.first() else {
        return Err(Error::Predict("no program to run".into()));
    };
    // All that can be known to be wrong comes before the program runs.
    let file = find(name);
    if let Some(file) = &file {
        // SAFETY: no arguments.
        if unsafe { libc::geteuid() != 0 } && privileged(file) {
            return Err(Error::Refused(format!(
                "{}: its file gives it more rights than its caller has (set-user-ID, set-group-ID or capabilities), \
                 which Linux takes away where it is traced; ask root to run this",
                file.display()
            )));
        }
    }
    let place = request.output.map(Place::new).transpose()?;
    let mut not_predicted = Vec::new();
    let platforms = platforms(request.platform, &mut not_predicted);
    let pair = match platforms.is_empty() {
        true => None,
        false => Some(Pair::new(blobs)?),
    };
    let mut notes = Vec::new();
    let mut extra = Vec::new();
    if file.as_deref().is_some_and(is_active_hybrid) {
        notes.push("the program is a hybrid already; it was run on native".to_owned());
        extra.push(("HRT_PLATFORM", "native"));
    }
    let program = Program::new(request.command, &extra).map_err(|source| Error::Execute {
        program: name.into(),
        source,
    })?;
    let input = Input::look();
    let once = request.once || matches!(input, Input::Once);
    if once && !request.once {
        notes.push(
            "standard input is a pipe, which can be read only once: so there was one run, traced, and the plain run's time is not known \
             (give it a file, or </dev/null)"
                .into(),
        );
    }

    let passing = sys::PassSignals::begin();
    let (counts, status, usage) = if once {
        let start = Instant::now();
        let counts = count(&program, name, [None; 3])?;
        let mut u = counts.usage;
        u.elapsed = start.elapsed().as_secs_f64();
        let status = counts.status;
        (counts, status, u)
    } else {
        let start = Instant::now();
        let started =
            sys::start(&program, [None; 3], None).map_err(failed("cannot start the program"))?;
        let ended = sys::wait(started.pid).map_err(failed("cannot wait for the program"))?;
        let elapsed = start.elapsed().as_secs_f64();
        executed(&started, name)?;
        let mut u = Usage::of(&ended.usage);
        u.elapsed = elapsed;
        u.delayed = ended.delayed.min(elapsed);
        let unseen =
            Unseen::new(&input).map_err(failed("cannot make streams for the second run"))?;
        let counts = count(&program, name, unseen.borrow())?;
        if counts.status != ended.status {
            notes.push(format!(
                "the counting run ended otherwise ({}) than the first ({}): a program that cannot be run twice wants --once",
                describe(counts.status),
                describe(ended.status)
            ));
        }
        (counts, ended.status, u)
    };
    drop(passing);
    let own = &counts.images[0];
    note_what_differs(&counts, &mut notes);
    let times = (!once).then_some(Times {
        elapsed: usage.elapsed - usage.delayed,
        user: usage.user,
        system: usage.system,
    });
    // What of the faults is neither anonymous nor the dynamic linker's is known where there is one executable only.
    let others = own.anonymous_faults + own.faults_before_entry;
    let file_faults = (counts.images.len() == 1).then(|| usage.minor_faults.saturating_sub(others));
    let mut predictions = Vec::new();
    let measured = pair
        .iter()
        .flat_map(|p| platforms.iter().map(move |x| (p, *x)));
    for (pair, (platform, divisor)) in measured {
        if let Err(why) = pair.runs_on(platform) {
            not_predicted.push(NotPredicted { platform, why });
            continue;
        }
        let calibration = pair.calibrate(platform, divisor)?;
        let file_faults = file_faults.filter(|_| platform == "kvm");
        predictions.push(model::predict(own, times, file_faults, calibration)?);
    }
    let hybridizable = match output::read(&own.path) {
        Ok(file) => rewrite::hybridize(&file.bytes, blobs, &Config::default()).map(|_| ()),
        Err(e) => Err(e),
    };
    if let Err(e) = hybridizable {
        if extra.is_empty() {
            notes.push(format!(
                "mv-link --hybridize would not take {}: {e}",
                own.path.display()
            ));
        }
    }
    let report = Report {
        command: request
            .command
            .iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect(),
        status: describe(status),
        runs: if once { 1 } else { 2 },
        usage,
        programs: counts.images,
        predictions,
        not_predicted,
        notes,
    };
    let text = if request.json {
        serde_json::to_string_pretty(&report)
            .map_err(io::Error::from)
            .map(|j| j + "\n")
    } else {
        Ok(report.to_string())
    };
    let text = text.map_err(failed("cannot write the report"))?;
    match place {
        Some(place) => place.write(&text)?,
        None => io::stderr()
            .write_all(text.as_bytes())
            .map_err(failed("cannot write the report"))?,
    }
    Ok(ExitStatus::from_raw(status))
}

/// The counting run.
fn count(
    program: &Program,
    name: &OsStr,
    streams: [Option<std::os::fd::BorrowedFd<'_>>; 3],
) -> Result<Counts> {
    let started =
        sys::start(program, streams, Some(trace::OPTIONS)).map_err(|source| Error::Io {
            action: CANNOT_TRACE,
            source,
        })?;
    let counts =
        trace::follow(started.pid).map_err(failed("cannot count what the program does"))?;
    executed(&started, name)?;
    if counts.images.is_empty() {
        return Err(Error::Predict(format!(
            "{}: ended before it could be watched",
            name.to_string_lossy()
        )));
    }
    Ok(counts)
}

/// That the program was executed.
fn executed(started: &sys::Started, name: &OsStr) -> Result<()> {
    match started.failure() {
        Some(source) => Err(Error::Execute {
            program: name.into(),
            source,
        }),
        None => Ok(()),
    }
}

/// What made the counting run another one than the plain run.
fn note_what_differs(counts: &Counts, notes: &mut Vec<String>) {
    const PTRACE: u64 = 101;
    for path in &counts.unprivileged {
        notes.push(format!(
            "{} ran without the rights that its file gives, since it was traced",
            path.display()
        ));
    }
    if counts.images.iter().any(|i| i.count(PTRACE) > 0) {
        notes.push(
            "the program uses ptrace, and may have done other things because it was traced itself"
                .into(),
        );
    }
    if counts.left > 0 {
        notes.push(format!(
            "{} processes went on when the program had ended, and were not watched any longer",
            counts.left
        ));
    }
    if counts.images.len() > 1 {
        notes.push("it started other programs: the prediction is for the first alone, the others staying plain".into());
    }
}

/// The platforms to predict for, each with a divisor for the number of operations.
fn platforms(
    wanted: Option<Platform>,
    not_predicted: &mut Vec<NotPredicted>,
) -> Vec<(&'static str, u32)> {
    let machine = doctor::examine();
    let divisor = if machine.platform == "kvm" {
        1
    } else {
        EMULATED
    };
    match wanted {
        Some(Platform::Kvm) => vec![("kvm", divisor)],
        Some(Platform::Hosted) => vec![("hosted", 1)],
        Some(Platform::Native) => {
            let why = "a hybrid runs as the plain program there".into();
            not_predicted.push(NotPredicted {
                platform: "native",
                why,
            });
            Vec::new()
        }
        Some(Platform::Auto) | None => {
            if machine.platform == "kvm" {
                return vec![("kvm", 1), ("hosted", 1)];
            }
            if let Some(why) = machine.reasons.first() {
                not_predicted.push(NotPredicted {
                    platform: "kvm",
                    why: why.strip_prefix("kvm: ").unwrap_or(why).to_owned(),
                });
            }
            vec![("hosted", 1)]
        }
    }
}

/// An exit status in words.
fn describe(status: i32) -> String {
    ExitStatus::from_raw(status).to_string()
}

/// The program's file, as execvp(3) finds it.
fn find(name: &OsStr) -> Option<PathBuf> {
    let usable = |p: &PathBuf| fs::metadata(p).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0);
    if name.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(usable);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|d| d.join(name))
        .find(usable)
}

/// Whether a file gives other rights than those of this process.
fn privileged(file: &Path) -> bool {
    let Ok(m) = fs::metadata(file) else {
        return false;
    };
    // SAFETY: no arguments.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let user = m.mode() & libc::S_ISUID != 0 && m.uid() != uid;
    let group = m.mode() & libc::S_ISGID != 0 && m.mode() & 0o010 != 0 && m.gid() != gid;
    let mut none = [0u8; 0];
    user || group || rustix::fs::getxattr(file, "security.capability", &mut none[..]).is_ok()
}

/// Whether a file is a hybrid that starts in its stub.
fn is_active_hybrid(file: &Path) -> bool {
    let look = || -> Option<bool> {
        let open = File::open(file).ok()?;
        let len = open.metadata().ok().filter(fs::Metadata::is_file)?.len();
        Some(inspect::inspect(&FileSource(&open, len)).ok()?.active)
    };
    look().unwrap_or(false)
}

/// Where the report goes: known to be writable before the program runs.
struct Place<'a> {
    path: &'a Path,
}

impl Place<'_> {
    fn new(path: &Path) -> Result<Place<'_>> {
        let dir = output::folder(path)?;
        tempfile::tempfile_in(dir).map_err(Error::file(path, "cannot write"))?;
        Ok(Place { path })
    }

    fn write(&self, text: &str) -> Result<()> {
        output::write(self.path, text.as_bytes(), 0o644)
    }
}
