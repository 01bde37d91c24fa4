//! Runs a program in a directory of its own, under a time limit, and says what it did.

use crate::directives::Directives;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a run left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit status, or -1.
    pub exit: i32,
    /// The signal it died by.
    pub signal: Option<i32>,
    /// The files named by `files:`; `None` is a file that is not there.
    pub files: BTreeMap<String, Option<Vec<u8>>>,
}

/// A run with what the payload wrote about it.
#[derive(Debug)]
pub struct Run {
    /// What is compared.
    pub outcome: Outcome,
    /// Process id of the program.
    pub pid: u32,
    /// Lines of `HRT_STATS`.
    pub stats: Vec<Value>,
    /// Bytes of `HRT_TRACE`.
    pub trace: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

/// Where a program is run.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// For `HRT_PLATFORM`.
    pub platform: &'static str,
    /// For `HRT_RING`.
    pub ring: u8,
    /// With `HRT_TRACE`.
    pub trace: bool,
    /// How many times slower than usual it may be before it counts as hung.
    pub patience: u32,
}

/// Runs `executable` with everything its directives say.
pub fn run(
    scratch: &Path,
    executable: &Path,
    helpers: &[(String, PathBuf)],
    directives: &Directives,
    place: Place,
) -> Result<Run> {
    let top = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(scratch)?;
    let cwd = top.path().join("cwd");
    std::fs::create_dir(&cwd)?;
    put(executable, &cwd.join("prog"))?;
    for (name, file) in helpers {
        put(file, &cwd.join(name))?;
    }
    let stdin = top.path().join("stdin");
    std::fs::write(&stdin, &directives.stdin)?;
    let stdout = top.path().join("stdout");
    let stderr = top.path().join("stderr");
    let stats = top.path().join("stats.json");
    let traced = top.path().join("trace.txt");

    let mut command = Command::new("./prog");
    command
        .args(&directives.args)
        .current_dir(&cwd)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("HRT_PLATFORM", place.platform)
        .env("HRT_RING", place.ring.to_string())
        .env("HRT_STATS", &stats)
        .envs(directives.env.iter().map(|(k, v)| (k, v)))
        .stdin(File::open(&stdin)?)
        .stdout(Stdio::from(append(&stdout)?))
        .stderr(Stdio::from(append(&stderr)?))
        .process_group(0);
    if place.trace {
        let mut value = std::ffi::OsString::from("syscalls:");
        value.push(&traced);
        command.env("HRT_TRACE", value);
    }
    let limit = directives.limit * place.patience;
    let start = Instant::now();
    // The linker's descriptor may live on for a moment in a process that another trial is just starting (ETXTBSY).
    let mut child = loop {
        match command.spawn() {
            Err(e)
                if e.kind() == std::io::ErrorKind::ExecutableFileBusy
                    && start.elapsed() < BUSY_LIMIT =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => break other.context("starting the program")?,
        }
    };
    let pid = child.id();
    let group = Pid::from_child(&child);
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > limit {
            break None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    };
    let took = start.elapsed();
    // The group is the program's own; whatever it left behind goes with it.
    let _ = kill_process_group(group, Signal::KILL);
    let Some(status) = status else {
        child.wait()?;
        bail!(
            "hung: still running after {} s; stdout so far:\n{}\nstderr so far:\n{}",
            limit.as_secs(),
            tail(&std::fs::read(&stdout)?),
            tail(&std::fs::read(&stderr)?)
        );
    };
    let mut files = BTreeMap::new();
    for name in &directives.files {
        files.insert(name.clone(), std::fs::read(cwd.join(name)).ok());
    }
    Ok(Run {
        outcome: Outcome {
            stdout: std::fs::read(&stdout)?,
            stderr: without_ids(&std::fs::read(&stderr)?),
            exit: status.code().unwrap_or(-1),
            signal: status.signal(),
            files,
        },
        pid,
        stats: read_stats(&stats)?,
        trace: std::fs::read(&traced).unwrap_or_default(),
        took,
    })
}

/// How long an executable may be busy.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// Rust's messages name the thread with its id, `thread 'main' (1234) panicked`: that number is blotted out.
fn without_ids(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&b| b == b'\n') {
        let id = line
            .starts_with(b"thread '")
            .then(|| line.windows(3).position(|w| w == b"' ("))
            .flatten()
            .map(|at| at + 3);
        match id {
            Some(from) => {
                let digits = line[from..].iter().take_while(|b| b.is_ascii_digit());
                let to = from + digits.count();
                out.extend_from_slice(&line[..from]);
                out.extend_from_slice(if to > from { b"N" } else { b"" });
                out.extend_from_slice(&line[to..]);
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

fn put(from: &Path, to: &Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to)?;
    }
    Ok(())
}

fn append(path: &Path) -> Result<File> {
    Ok(File::options().create(true).append(true).open(path)?)
}

fn read_stats(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("HRT_STATS: bad line {line:?}"))
        })
        .collect()
}

/// The last part of a text, for messages.
#[must_use]
pub fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(40);
    let mut shown: String = lines[from..].join("\n");
    if shown.len() > 4000 {
        shown = shown.chars().take(4000).collect();
        shown.push('…');
    }
    if from > 0 {
        shown.insert_str(0, "…\n");
    }
    shown
}

/// Says where two texts part.
fn parting(what: &str, want: &[u8], have: &[u8]) -> Option<String> {
    if want == have {
        return None;
    }
    let (w, h) = (
        String::from_utf8_lossy(want).into_owned(),
        String::from_utf8_lossy(have).into_owned(),
    );
    let mut at = 1;
    let (mut wl, mut hl) = (w.lines(), h.lines());
    loop {
        match (wl.next(), hl.next()) {
            (Some(a), Some(b)) if a == b => at += 1,
            (a, b) => {
                let cut = |s: Option<&str>| match s {
                    None => "(end)".to_owned(),
                    Some(s) => format!("{:?}", s.chars().take(300).collect::<String>()),
                };
                return Some(format!(
                    "{what}, line {at}:\n  plain  {}\n  hybrid {}",
                    cut(a),
                    cut(b)
                ));
            }
        }
    }
}

impl Outcome {
    /// Everything in which `have` is another outcome.
    pub fn compare(&self, have: &Outcome) -> Result<()> {
        let mut wrong = Vec::new();
        if (self.exit, self.signal) != (have.exit, have.signal) {
            wrong.push(format!(
                "plain: exit {} signal {:?}; hybrid: exit {} signal {:?}",
                self.exit, self.signal, have.exit, have.signal
            ));
        }
        wrong.extend(parting("stdout", &self.stdout, &have.stdout));
        wrong.extend(parting("stderr", &self.stderr, &have.stderr));
        for (name, want) in &self.files {
            let have = have.files.get(name).cloned().flatten();
            if *want != have {
                wrong.push(format!(
                    "file {name}: plain {:?} bytes, hybrid {:?} bytes, not the same",
                    want.as_ref().map(Vec::len),
                    have.map(|f| f.len())
                ));
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    /// The outcome that a platform is to have, where it is documented as another one: `lines` are old and new.
    #[must_use]
    pub fn with_lines(&self, lines: &[(String, String)]) -> Outcome {
        let mut out = self.clone();
        if !lines.is_empty() {
            let text = String::from_utf8_lossy(&self.stdout).into_owned();
            let mut changed = String::new();
            for line in text.split_inclusive('\n') {
                let body = line.trim_end_matches('\n');
                match lines.iter().find(|(old, _)| old == body) {
                    Some((_, new)) => {
                        changed.push_str(new);
                        changed.push('\n');
                    }
                    None => changed.push_str(line),
                }
            }
            out.stdout = changed.into_bytes();
        }
        out
    }
}

impl Run {
    /// Asserts that the program ran at `place`, and what its directives say of the statistics.
    pub fn check_stats(&self, directives: &Directives, place: Place) -> Result<()> {
        let (platform, ring) = (place.platform, place.ring);
        if directives.no_stats || directives.signal.is_some() {
            return Ok(());
        }
        ensure!(
            !self.stats.is_empty(),
            "no statistics: it did not run as a hybrid"
        );
        for line in &self.stats {
            ensure!(
                line["platform"] == platform && line["ring"] == ring,
                "not on {platform}, ring {ring}: {line}"
            );
        }
        ensure!(
            self.stats.iter().any(|l| l["pid"] == self.pid),
            "no statistics of process {} itself, only of {:?}",
            self.pid,
            self.stats.iter().map(|l| &l["pid"]).collect::<Vec<_>>()
        );
        let in_ring0 = directives.ring0_stats.iter().filter(|_| ring == 0);
        for check in directives.stats.iter().chain(in_ring0) {
            check.check(&self.stats)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::without_ids;

    #[test]
    fn thread_ids_are_blotted_out() {
        let text = b"\nthread 'main' (1234) panicked at a.rs:1:2:\nother (77)\n";
        let want = b"\nthread 'main' (N) panicked at a.rs:1:2:\nother (77)\n";
        assert_eq!(without_ids(text), want);
        assert_eq!(without_ids(b"thread 'x' (y"), b"thread 'x' (y");
    }
}
