//! Bad days of the `kvm` platform: what it needs is missing, forbidden, too small or something else.
//!
//! `HRT_PLATFORM=kvm` must then say in one line why it cannot run and end with status 125; `HRT_PLATFORM=auto` must just run the
//! program, as plain Linux does. Then: programs with more rights than their caller obey none of our variables, and processes
//! that end or are killed leave nothing behind.
//!
//! `MV_CC_BIN` names the `mv-cc` to test. `MV_DAYS_FULL=1` starts 1,000 processes, 8 at a time, instead of 100, 4 at a time.

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::process::{Pid, Signal, getuid, kill_process_group};
use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use testsuite::build::{self, Language, Program, Toolchain};
use testsuite::directives::{Directives, Variant};
use testsuite::run::tail;

/// Exit status of `probe.c`.
const PROBE: i32 = 7;
/// Exit status where a platform that was asked for cannot run.
const CANNOT_RUN: i32 = 125;
/// An account without rights.
const NOBODY: u32 = 65534;
/// Seconds until a program counts as hung; ring 0 of an emulated VM is slow.
const LIMIT: &str = "60";

/// What `HRT_PLATFORM=kvm` is to do.
#[derive(Clone, Copy)]
enum Named {
    /// Say that it cannot run, with these words.
    Refuses(&'static str),
    /// Run the program, where `kvm` works at all.
    Runs,
    /// One or the other.
    MayRefuse(&'static str),
    /// As `Refuses`, or be killed by SIGSYS: the one jail that cannot be seen beforehand.
    RefusesOrDies(&'static str),
}
use Named::{MayRefuse, Refuses, RefusesOrDies, Runs};

/// A bad day.
#[derive(Clone, Copy)]
struct Day {
    name: &'static str,
    /// Shell commands before the program is executed; `$JAIL` is `jail.c`, `$GROUP` a memory cgroup.
    before: &'static str,
    /// What the program is executed by.
    by: &'static str,
    /// In a mount namespace of its own, for which it takes root.
    mounts: bool,
    /// Runs without rights, for which it takes root.
    nobody: bool,
    /// MiB of the memory cgroup.
    memory: u32,
    /// What is in the environment.
    env: &'static [(&'static str, &'static str)],
    named: Named,
    /// `kvm` must have got so far that it needs one that works.
    late: bool,
}

const DAY: Day = Day {
    name: "",
    before: "",
    by: "",
    mounts: false,
    nobody: false,
    memory: 0,
    env: &[],
    named: Runs,
    late: false,
};

/// Numbers of system calls, for `jail.c`: ioctl is 16, prctl 157, unshare 272.
const DAYS: &[Day] = &[
    Day {
        name: "good",
        ..DAY
    },
    Day {
        name: "no_dev",
        before: "mount -t tmpfs none /dev",
        mounts: true,
        named: Refuses("there is no /dev/kvm"),
        ..DAY
    },
    Day {
        name: "not_permitted",
        nobody: true,
        named: Refuses("/dev/kvm may not be opened"),
        ..DAY
    },
    Day {
        name: "null_device",
        before: "mount -t tmpfs none /mnt && cp -a /dev/null /mnt/null && mount -t tmpfs none /dev && touch /dev/kvm && mount --bind /mnt/null /dev/kvm",
        mounts: true,
        named: Refuses("/dev/kvm is no KVM device"),
        ..DAY
    },
    Day {
        name: "regular_file",
        before: "mount -t tmpfs none /dev && echo x >/dev/kvm",
        mounts: true,
        named: Refuses("/dev/kvm is no KVM device"),
        ..DAY
    },
    Day {
        name: "directory",
        before: "mount -t tmpfs none /dev && mkdir /dev/kvm",
        mounts: true,
        named: Refuses("/dev/kvm does not open"),
        ..DAY
    },
    Day {
        name: "pipe",
        before: "mount -t tmpfs none /dev && mkfifo /dev/kvm",
        mounts: true,
        named: Refuses("/dev/kvm is no KVM device"),
        ..DAY
    },
    Day {
        name: "no_proc",
        before: "mount -t tmpfs none /proc",
        mounts: true,
        named: Refuses("there is no /proc/self/maps"),
        late: true,
        ..DAY
    },
    Day {
        name: "strange_maps",
        before: "mount -t tmpfs none /proc && mkdir /proc/self && echo none >/proc/self/maps",
        mounts: true,
        named: Refuses("/proc does not tell what is mapped"),
        late: true,
        ..DAY
    },
    Day {
        name: "nofile_4",
        before: "ulimit -n 4",
        named: Refuses("too many open files"),
        late: true,
        ..DAY
    },
    Day {
        name: "nofile_5",
        before: "ulimit -n 5",
        named: Refuses("too many open files"),
        late: true,
        ..DAY
    },
    Day {
        name: "nofile_6",
        before: "ulimit -n 6",
        named: Refuses("too many open files"),
        late: true,
        ..DAY
    },
    Day {
        name: "nofile_16",
        before: "ulimit -n 16",
        ..DAY
    },
    Day {
        name: "nofile_127",
        before: "ulimit -n 127",
        ..DAY
    },
    Day {
        name: "nofile_128",
        before: "ulimit -n 128",
        ..DAY
    },
    Day {
        name: "memlock_0",
        before: "ulimit -l 0",
        ..DAY
    },
    Day {
        name: "address_space_3M",
        before: "ulimit -v 3000",
        named: Refuses("no memory"),
        ..DAY
    },
    Day {
        name: "address_space_6M",
        before: "ulimit -v 6000",
        named: Refuses("no memory"),
        ..DAY
    },
    Day {
        name: "address_space_9M",
        before: "ulimit -v 9000",
        named: Refuses("no memory"),
        late: true,
        ..DAY
    },
    Day {
        name: "address_space_12M",
        before: "ulimit -v 12000",
        named: MayRefuse("memory"),
        ..DAY
    },
    Day {
        name: "address_space_14M",
        before: "ulimit -v 14000",
        named: MayRefuse("memory"),
        ..DAY
    },
    Day {
        name: "address_space_16M",
        before: "ulimit -v 16000",
        named: MayRefuse("memory"),
        ..DAY
    },
    Day {
        name: "address_space_20M",
        before: "ulimit -v 20000",
        named: MayRefuse("memory"),
        ..DAY
    },
    Day {
        name: "address_space_100M",
        before: "ulimit -v 100000",
        ..DAY
    },
    Day {
        name: "jail_ioctl_eperm",
        by: "$JAIL 1 16 --",
        named: Refuses("a jail forbids ioctl"),
        late: true,
        ..DAY
    },
    Day {
        name: "jail_ioctl_enosys",
        by: "$JAIL 38 16 --",
        named: Refuses("a jail forbids ioctl"),
        late: true,
        ..DAY
    },
    Day {
        name: "jail_ioctl_kill",
        by: "$JAIL kill 16 --",
        named: RefusesOrDies("jail"),
        ..DAY
    },
    Day {
        name: "jail_prctl_unshare_eperm",
        by: "$JAIL 1 157 272 --",
        ..DAY
    },
    Day {
        name: "jail_other",
        by: "$JAIL 1 165 --",
        ..DAY
    },
    Day {
        name: "ring_0",
        env: &[("HRT_RING", "0")],
        named: MayRefuse("HRT_RING=0"),
        late: true,
        ..DAY
    },
    Day {
        name: "ring_3",
        env: &[("HRT_RING", "3")],
        ..DAY
    },
    Day {
        name: "memory_group_16M",
        memory: 16,
        named: MayRefuse("memory"),
        ..DAY
    },
    Day {
        name: "memory_group_64M",
        memory: 64,
        ..DAY
    },
];

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn of(command: &mut Command) -> Result<Outcome> {
        let out = command
            .output()
            .with_context(|| format!("starting {command:?}"))?;
        let outcome = Outcome {
            status: out
                .status
                .code()
                .unwrap_or_else(|| 128 + out.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        };
        ensure!(outcome.status != 124, "hung for {LIMIT} s: {command:?}");
        Ok(outcome)
    }

    /// It says in one line that `kvm` cannot run, with `words`.
    fn refuses(&self, words: &str) -> Result<()> {
        let line = self.stderr.strip_suffix('\n').unwrap_or_default();
        ensure!(
            self.status == CANNOT_RUN
                && self.stdout.is_empty()
                && line.starts_with("multiverse: HRT_PLATFORM=kvm cannot run: ")
                && !line.contains('\n')
                && line.contains(words),
            "want status {CANNOT_RUN} and one line with {words:?}, have {self:?}"
        );
        Ok(())
    }

    fn is(&self, want: &Outcome) -> Result<()> {
        ensure!(self == want, "plain  {want:?}\nhybrid {self:?}");
        Ok(())
    }
}

/// What all trials share.
struct Days {
    root: PathBuf,
    manifest: PathBuf,
    target: PathBuf,
    cache: PathBuf,
    /// `plain/`, `hybrid/`, and what trials make.
    scratch: PathBuf,
    built: OnceLock<Result<(), String>>,
}

impl Days {
    /// Builds the programs, plain and hybrid, once.
    fn build(&self) -> Result<()> {
        let once = || -> Result<()> {
            let toolchain = Toolchain::find(&self.cache, &self.target, &self.manifest)?;
            for (kind, tools) in [("plain", None), ("hybrid", Some(&toolchain))] {
                let dir = self.scratch.join(kind);
                std::fs::create_dir(&dir)?;
                for (name, variant) in [
                    ("probe", Variant::StaticPie),
                    ("busy", Variant::DynamicPie),
                    ("channel", Variant::DynamicPie),
                    ("panic", Variant::DynamicPie),
                    ("jail", Variant::Static),
                ] {
                    let source = self.root.join("days").join(name).with_extension("c");
                    let program = Program {
                        name: format!("days/{name}"),
                        text: std::fs::read_to_string(&source)?,
                        source,
                        language: Language::C,
                        directives: Directives::parse("//@ flags: -pthread\n")?,
                    };
                    let programs = self.root.join("programs");
                    let made = build::executable(&programs, &self.cache, &program, variant, tools)?;
                    std::fs::copy(made, dir.join(name))?;
                }
            }
            Ok(())
        };
        self.built
            .get_or_init(|| once().map_err(|e| format!("{e:#}")))
            .clone()
            .map_err(|e| anyhow::anyhow!("{e}"))
    }

    fn program(&self, kind: &str, name: &str) -> PathBuf {
        self.scratch.join(kind).join(name)
    }

    /// A command with a time limit and an empty environment; `platform` goes to `HRT_PLATFORM`.
    fn command(&self, kind: &str, platform: &str) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["-k", "5", LIMIT])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .env("HRT_PLATFORM", platform)
            .current_dir(self.scratch.join(kind))
            .stdin(Stdio::null());
        command
    }

    /// Has a bad day, with the program of `kind`.
    fn have(
        &self,
        day: &Day,
        kind: &str,
        platform: &str,
        deep: bool,
        group: Option<&Group>,
    ) -> Result<Outcome> {
        let mut command = self.command(kind, platform);
        if day.mounts {
            command.args(["unshare", "--mount", "--propagation", "private"]);
        }
        let mut script = String::new();
        if let Some(group) = group {
            command.env("GROUP", &group.0);
            script += "echo $$ >\"$GROUP/cgroup.procs\" || exit 99\n";
        }
        if !day.before.is_empty() {
            script += day.before;
            script += " || exit 99\n";
        }
        script += "exec ";
        script += day.by;
        script += " ./probe";
        if deep {
            script += " deep";
        }
        command
            .env("JAIL", self.program("plain", "jail"))
            .envs(day.env.iter().copied())
            .args(["sh", "-c", &script]);
        if day.nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        let outcome = Outcome::of(&mut command)?;
        ensure!(outcome.status != 99, "{}: {outcome:?}", day.name);
        Ok(outcome)
    }

    /// Why a day cannot be had here, if that is so.
    fn cannot(&self, day: &Day, platform: &str) -> Result<Option<String>> {
        let root = getuid().is_root();
        if (day.mounts || day.nobody) && !root {
            return Ok(Some("takes root".to_owned()));
        }
        if day.mounts {
            let trial = self
                .command("plain", "native")
                .args(["unshare", "--mount", "--propagation", "private"])
                .args(["mount", "-t", "tmpfs", "none", "/mnt"])
                .output()?;
            if !trial.status.success() {
                return Ok(Some(format!(
                    "no mount namespaces here: {}",
                    String::from_utf8_lossy(&trial.stderr).trim()
                )));
            }
        }
        if day.nobody {
            if !self.reachable(&self.program("plain", "probe")) {
                return Ok(Some(format!(
                    "{} is not for everybody to reach",
                    self.scratch.display()
                )));
            }
            let others = std::fs::metadata("/dev/kvm").map(|m| m.permissions().mode() & 0o6);
            if platform == "kvm" && others.as_ref().is_ok_and(|mode| *mode == 0o6) {
                return Ok(Some("/dev/kvm is for everybody here".to_owned()));
            }
            if platform == "kvm" && others.is_err() {
                return Ok(Some("there is no /dev/kvm here".to_owned()));
            }
        }
        if platform == "kvm" && (day.late || !matches!(day.named, Refuses(_))) {
            return self.no_kvm();
        }
        Ok(None)
    }

    /// True if everybody may execute `file`.
    fn reachable(&self, file: &Path) -> bool {
        Command::new("test")
            .arg("-x")
            .arg(file)
            .current_dir("/")
            .uid(NOBODY)
            .gid(NOBODY)
            .status()
            .is_ok_and(|s| s.success())
    }

    /// Why `kvm` cannot run here at all, if that is so.
    fn no_kvm(&self) -> Result<Option<String>> {
        let outcome = Outcome::of(self.command("hybrid", "kvm").arg("./probe"))?;
        if outcome.status != CANNOT_RUN {
            return Ok(None);
        }
        outcome.refuses("")?;
        Ok(Some(outcome.stderr.trim().to_owned()))
    }

    /// Whether `auto` takes `kvm` on a good day.
    fn auto_takes_kvm(&self) -> Result<bool> {
        let stats = tempfile::NamedTempFile::new_in(&self.scratch)?;
        let mut command = self.command("hybrid", "auto");
        command.env("HRT_STATS", stats.path());
        Outcome::of(command.arg("./probe"))?;
        Ok(std::fs::read_to_string(stats.path())?.contains("\"platform\":\"kvm\""))
    }

    fn day(&self, day: &Day, platform: &str) -> Result<Completion> {
        self.build()?;
        if let Some(why) = self.cannot(day, platform)? {
            return skip(&why);
        }
        let group = match day.memory {
            0 => None,
            mib => match Group::new(mib, &format!("{}-{platform}", day.name)) {
                Ok(group) => Some(group),
                Err(why) => return skip(&format!("{why:#}")),
            },
        };
        // A `kvm` that runs has descriptors and a thread of its own; one that was tried leaves none.
        let deep = platform == "auto"
            && (matches!(day.named, Refuses(_) | RefusesOrDies(_)) || !self.auto_takes_kvm()?);
        let plain = self.have(day, "plain", "native", deep, group.as_ref())?;
        if day.memory != 0 && plain.status != PROBE {
            return skip("the plain program does not fit either");
        }
        ensure!(plain.status == PROBE, "plain: {plain:?}");
        let hybrid = self.have(day, "hybrid", platform, deep, group.as_ref())?;
        if platform == "auto" {
            hybrid.is(&plain)?;
            return Ok(Completion::Completed);
        }
        match day.named {
            Refuses(words) => hybrid.refuses(words)?,
            RefusesOrDies(words) => {
                const SIGSYS: i32 = 31;
                if hybrid.status != 128 + SIGSYS {
                    hybrid.refuses(words)?;
                }
            }
            Runs => hybrid.is(&plain)?,
            MayRefuse(words) if hybrid.status == CANNOT_RUN => hybrid.refuses(words)?,
            MayRefuse(_) => hybrid.is(&plain)?,
        }
        Ok(Completion::Completed)
    }

    /// A setting that means nothing is an error on every platform.
    fn bad_setting(&self) -> Result<Completion> {
        self.build()?;
        for platform in ["kvm", "hosted", "native", "auto"] {
            let have = Outcome::of(
                self.command("hybrid", platform)
                    .env("HRT_RING", "9")
                    .arg("./probe"),
            )?;
            let want = Outcome {
                status: CANNOT_RUN,
                stdout: String::new(),
                stderr: "multiverse: HRT_RING has a value that means nothing (it may be 0 or 3)\n"
                    .to_owned(),
            };
            ensure!(have == want, "{platform}: {have:?}");
        }
        Ok(Completion::Completed)
    }

    /// The ring that was asked for is the one that the program is in.
    fn ring(&self, ring: u8) -> Result<Completion> {
        self.build()?;
        if let Some(why) = self.no_kvm()? {
            return skip(&why);
        }
        let stats = self.scratch.join(format!("ring-{ring}"));
        let mut command = self.command("hybrid", "kvm");
        command
            .env("HRT_RING", ring.to_string())
            .env("HRT_STATS", &stats);
        let outcome = Outcome::of(command.arg("./probe"))?;
        if ring == 0 && outcome.status == CANNOT_RUN {
            outcome.refuses("HRT_RING=0")?;
            return skip(outcome.stderr.trim());
        }
        ensure!(outcome.status == PROBE, "{outcome:?}");
        let text = std::fs::read_to_string(&stats)?;
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line)?;
            ensure!(
                line["platform"] == "kvm" && line["ring"] == ring,
                "not in ring {ring}: {line}"
            );
        }
        ensure!(!text.is_empty(), "no statistics");
        Ok(Completion::Completed)
    }

    /// The kernel that cannot go on says why and where, and the process ends by SIGABRT, with a core dump if abort(3) makes one.
    fn panic(&self, what: &str, ring: &str, words: &[&str]) -> Result<Completion> {
        const CANNOT: i32 = 77;
        self.build()?;
        if let Some(why) = self.no_kvm()? {
            return skip(&why);
        }
        let run = |kind: &str, what: &str| -> Result<std::process::Output> {
            let dir = tempfile::tempdir_in(&self.scratch)?;
            let script = format!(
                "ulimit -c unlimited; exec {} {what}",
                self.program(kind, "panic").display()
            );
            Command::new("sh")
                .args(["-c", &script])
                .current_dir(dir.path())
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("HRT_PLATFORM", "kvm")
                .env("HRT_RING", ring)
                .stdin(Stdio::null())
                .output()
                .context("starting sh")
        };
        let aborted = run("plain", "abort")?;
        let have = run("hybrid", what)?;
        let stderr = String::from_utf8_lossy(&have.stderr).into_owned();
        if ring == "0" && have.status.code() == Some(CANNOT_RUN) && stderr.contains("HRT_RING=0") {
            return skip(stderr.trim());
        }
        ensure!(have.status.code() != Some(CANNOT), "{have:?}");
        ensure!(
            have.status.signal() == Some(6)
                && have.status.core_dumped() == aborted.status.core_dumped()
                && have.stdout.is_empty(),
            "plain abort: {:?}; {have:?}",
            aborted.status
        );
        let first = stderr.lines().next().unwrap_or_default();
        ensure!(
            first.starts_with("multiverse: HRT kernel panic: "),
            "{stderr}"
        );
        for word in words {
            ensure!(stderr.contains(word), "no {word:?} in\n{stderr}");
        }
        Ok(Completion::Completed)
    }

    /// How many calls of `channel.c`, executed by `by`, went through the polled channel.
    fn polled(&self, by: &[&str], channel: &str) -> Result<u64> {
        let stats = tempfile::NamedTempFile::new_in(&self.scratch)?;
        let mut command = self.command("hybrid", "kvm");
        command
            .env("HRT_STATS", stats.path())
            .env("HRT_CHANNEL", channel)
            .args(by);
        let outcome = Outcome::of(command.arg("./channel"))?;
        ensure!(outcome.status == PROBE, "{outcome:?}");
        let line: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(stats.path())?)?;
        let of = |key: &str| {
            line[key]
                .as_u64()
                .with_context(|| format!("no {key}: {line}"))
        };
        let calls = line["by_number"]["110"][1].as_u64().unwrap_or(0);
        ensure!(calls == 40_001, "not all calls were counted: {line}");
        let polled = of("channel")?;
        ensure!(of("exits")? + polled >= calls, "calls went nowhere: {line}");
        Ok(polled)
    }

    /// The polled channel takes calls where there is a core for it, and only there.
    fn channel(&self) -> Result<Completion> {
        self.build()?;
        if let Some(why) = self.no_kvm()? {
            return skip(&why);
        }
        let off = self.polled(&[], "0")?;
        ensure!(off == 0, "HRT_CHANNEL=0: {off} calls through it");
        let one = [
            "sh",
            "-c",
            "exec taskset -c \"$(taskset -cp $$ | sed 's/.*[ ,-]//')\" \"$@\"",
            "sh",
        ];
        let alone = self.polled(&one, "1")?;
        ensure!(alone == 0, "one core: {alone} calls through it");
        if std::thread::available_parallelism()?.get() < 2 {
            return skip("there is one core only");
        }
        // The cores may be busy with something else for a while.
        for _ in 0..10 {
            if self.polled(&[], "1")? >= 1000 {
                return Ok(Completion::Completed);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        bail!("no core was free for the channel, ten times")
    }

    /// A program with more rights than its caller (AT_SECURE) obeys no variable, and says nothing.
    fn secure(&self, by: Rights, platform: &str) -> Result<Completion> {
        self.build()?;
        if !getuid().is_root() {
            return skip("takes root");
        }
        let dir = tempfile::Builder::new()
            .prefix("secure-")
            .tempdir_in(&self.scratch)?;
        // Everybody may write there: so that a file could be made.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777))?;
        for kind in ["plain", "hybrid"] {
            let file = dir.path().join(kind);
            std::fs::copy(self.program(kind, "probe"), &file)?;
            match by {
                Rights::User => {
                    chown(&file, Some(NOBODY), Some(NOBODY))?;
                    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4755))?;
                }
                Rights::Capability => {
                    let set = Command::new("setcap")
                        .arg("cap_net_raw+ep")
                        .arg(&file)
                        .output();
                    match set {
                        Ok(out) if out.status.success() => {}
                        Ok(out) => {
                            let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
                            return skip(&format!("setcap: {why}"));
                        }
                        Err(e) => return skip(&format!("setcap: {e}")),
                    }
                }
            }
        }
        let run = |kind: &str, stats: &Path, trace: &Path| {
            let mut command = self.command("plain", platform);
            let mut traced = OsString::from("syscalls:");
            traced.push(trace);
            command
                .env("HRT_STATS", stats)
                .env("HRT_TRACE", traced)
                .env("HRT_RING", "9")
                .current_dir(dir.path());
            if matches!(by, Rights::Capability) {
                command.uid(NOBODY).gid(NOBODY);
            }
            Outcome::of(command.arg(format!("./{kind}")))
        };
        if matches!(by, Rights::Capability) && !self.reachable(&dir.path().join("plain")) {
            return skip("the scratch directory is not for everybody to reach");
        }
        let (stats, trace) = (dir.path().join("stats"), dir.path().join("trace"));
        let plain = run("plain", &stats, &trace)?;
        if !plain.stdout.contains("secure: 1\n") {
            return skip("AT_SECURE is not set here (nosuid?)");
        }
        let hybrid = run("hybrid", &stats, &trace)?;
        hybrid.is(&plain)?;
        ensure!(
            hybrid.status == PROBE && hybrid.stderr.is_empty(),
            "{hybrid:?}"
        );
        ensure!(
            !stats.exists() && !trace.exists(),
            "a variable was obeyed: {:?}",
            std::fs::read_dir(dir.path())?.flatten().collect::<Vec<_>>()
        );
        Ok(Completion::Completed)
    }

    /// Starts a program in a process group of its own.
    fn start(&self, kind: &str, name: &str, platform: &str) -> Result<Child> {
        Command::new(self.program(kind, name))
            .env_clear()
            .env("HRT_PLATFORM", platform)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("starting a program")
    }

    /// Many processes, one after the other and beside each other: each ends as it should, and nothing of it stays.
    fn ended(&self) -> Result<Completion> {
        self.build()?;
        if let Some(why) = self.no_kvm()? {
            return skip(&why);
        }
        let want = Outcome::of(self.command("plain", "native").arg("./probe"))?.stdout;
        let (count, beside) = if full() { (1000, 8) } else { (100, 4) };
        let before = kernel_memory()?;
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| -> Result<()> {
            let all: Vec<_> = (0..beside)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < count {
                            let child = self.start("hybrid", "probe", "kvm")?;
                            let pid = child.id();
                            let out = within(child, Duration::from_secs(60))?;
                            let stdout = String::from_utf8_lossy(&out.stdout);
                            ensure!(
                                out.status.code() == Some(PROBE)
                                    && stdout == want
                                    && out.stderr.is_empty(),
                                "{out:?}"
                            );
                            gone(pid)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            all.into_iter()
                .try_for_each(|t| t.join().unwrap_or_else(|_| bail!("a thread panicked")))
        })?;
        memory_is_back(before)
    }

    /// Processes that are killed, at any point of their lives.
    fn killed(&self) -> Result<Completion> {
        self.build()?;
        if let Some(why) = self.no_kvm()? {
            return skip(&why);
        }
        let count = if full() { 500 } else { 60 };
        let before = kernel_memory()?;
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        for i in 0..count {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Early, while the VM is made, more often than later.
            let pause = Duration::from_micros(random % if i % 3 == 0 { 200_000 } else { 20_000 });
            let mut child = self.start("hybrid", "busy", "kvm")?;
            let pid = child.id();
            std::thread::sleep(pause);
            if i % 2 == 0 {
                child.kill()?;
            } else {
                kill_process_group(Pid::from_child(&child), Signal::KILL)?;
            }
            let out = within(child, Duration::from_secs(30))
                .with_context(|| format!("killed after {pause:?}"))?;
            ensure!(
                out.status.signal() == Some(9) && out.stderr.is_empty() && out.stdout.is_empty(),
                "killed after {pause:?}: {out:?}"
            );
            gone(pid).with_context(|| format!("killed after {pause:?}"))?;
        }
        memory_is_back(before)
    }
}

/// How a program comes to more rights than its caller.
#[derive(Clone, Copy)]
enum Rights {
    /// chmod u+s.
    User,
    /// setcap(8).
    Capability,
}

impl Rights {
    fn name(self) -> &'static str {
        match self {
            Rights::User => "setuid",
            Rights::Capability => "capability",
        }
    }
}

/// A memory cgroup (version 1 or 2), gone in the end.
struct Group(PathBuf);

impl Group {
    fn new(mib: u32, name: &str) -> Result<Group> {
        ensure!(getuid().is_root(), "takes root");
        let name = format!("multiverse-{}-{name}", std::process::id());
        let bytes = (u64::from(mib) << 20).to_string();
        let mut why = anyhow::anyhow!("no memory cgroups");
        for (top, limit) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            if !Path::new(top).join("cgroup.procs").exists() {
                continue;
            }
            let dir = Path::new(top).join(&name);
            if let Err(e) = std::fs::create_dir(&dir) {
                why = anyhow::anyhow!("{}: {e}", dir.display());
                continue;
            }
            let group = Group(dir);
            match std::fs::write(group.0.join(limit), &bytes) {
                Ok(()) => return Ok(group),
                Err(e) => why = anyhow::anyhow!("{}: {e}", group.0.join(limit).display()),
            }
        }
        Err(why)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Not tested here: the harness says so, and counts it as ignored.
fn skip(why: &str) -> Result<Completion> {
    Ok(Completion::ignored_with(why))
}

fn full() -> bool {
    std::env::var_os("MV_DAYS_FULL").is_some()
}

/// Waits for a child, whose output is short; kills it after `limit`.
fn within(mut child: Child, limit: Duration) -> Result<std::process::Output> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > limit {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let out = child.wait_with_output()?;
            bail!(
                "hung for {limit:?}; stdout:\n{}\nstderr:\n{}",
                tail(&out.stdout),
                tail(&out.stderr)
            );
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(child.wait_with_output()?)
}

/// Nothing is left of the process group `group`, but for what nobody has waited for.
fn gone(group: u32) -> Result<()> {
    let start = Instant::now();
    loop {
        let left = members(group);
        if left.is_empty() {
            return Ok(());
        }
        ensure!(
            start.elapsed() < Duration::from_secs(10),
            "still there: {left:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The live processes of a group, as /proc/PID/stat has them.
fn members(group: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // PID (NAME) STATE PPID PGRP: the name may have anything in it.
        let mut rest = stat
            .rsplit_once(')')
            .map_or("", |(_, r)| r)
            .split_whitespace();
        let (state, _, pgrp) = (rest.next(), rest.next(), rest.next());
        if state != Some("Z") && pgrp.and_then(|p| p.parse().ok()) == Some(group) {
            found.push(stat);
        }
    }
    found
}

/// Memory that Linux itself holds and cannot give up, in KiB: slabs that stay, stacks of threads, page tables.
fn kernel_memory() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let value = |name: &str| -> u64 {
        text.lines()
            .find_map(|l| {
                l.strip_prefix(name)?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    };
    Ok(value("SUnreclaim:") + value("KernelStack:") + value("PageTables:"))
}

/// What Linux holds is as much as it was, but for what others do meanwhile.
fn memory_is_back(before: u64) -> Result<Completion> {
    const SLACK: u64 = 96 * 1024;
    let start = Instant::now();
    loop {
        let now = kernel_memory()?;
        if now < before + SLACK {
            return Ok(Completion::Completed);
        }
        ensure!(
            start.elapsed() < Duration::from_secs(20),
            "Linux held {before} KiB for itself before, and {now} KiB after"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn trials(days: &Arc<Days>) -> Vec<Trial> {
    type Body = Box<dyn Fn(&Days) -> Result<Completion> + Send>;
    let mut all: Vec<(String, Body)> = Vec::new();
    for day in DAYS {
        for platform in ["kvm", "auto"] {
            all.push((
                format!("{}::{platform}", day.name),
                Box::new(move |d| d.day(day, platform)),
            ));
        }
    }
    all.push(("bad_setting".to_owned(), Box::new(Days::bad_setting)));
    all.push(("channel".to_owned(), Box::new(Days::channel)));
    all.push((
        "panic_partner".to_owned(),
        Box::new(|days: &Days| {
            let words = [
                "signal 11 in the partner",
                "backtrace",
                "payload+0x",
                "guest",
                "efer",
            ];
            days.panic("partner", "3", &words)
        }),
    ));
    all.push((
        "panic_shutdown".to_owned(),
        Box::new(|days: &Days| {
            let words = ["reason 8 (shutdown", "backtrace", "guest", "efer"];
            days.panic("shutdown", "0", &words)
        }),
    ));
    for ring in [0, 3] {
        all.push((format!("ring::{ring}"), Box::new(move |d| d.ring(ring))));
    }
    for by in [Rights::User, Rights::Capability] {
        for platform in ["kvm", "hosted", "nonsense"] {
            all.push((
                format!("secure::{}::{platform}", by.name()),
                Box::new(move |d| d.secure(by, platform)),
            ));
        }
    }
    all.push(("leaks::ended".to_owned(), Box::new(Days::ended)));
    all.push(("leaks::killed".to_owned(), Box::new(Days::killed)));
    all.into_iter()
        .map(|(name, body)| {
            let days = Arc::clone(days);
            Trial::ignorable_test(name, move || {
                body(&days).map_err(|e| Failed::from(format!("{e:#}")))
            })
        })
        .collect()
}

fn main() -> Result<ExitCode> {
    let mut args = Arguments::from_args();
    args.test_threads.get_or_insert(2);
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = tmp.join("corpus");
    std::fs::create_dir_all(&cache)?;
    let scratch = tempfile::Builder::new()
        .prefix("kvm-days-")
        .tempdir_in(tmp)?;
    // Some programs run without rights.
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755))?;
    let days = Arc::new(Days {
        root: here.to_owned(),
        manifest: here.parent().context("no workspace")?.join("Cargo.toml"),
        target: tmp.parent().context("no target directory")?.to_owned(),
        cache,
        scratch: scratch.path().to_owned(),
        built: OnceLock::new(),
    });
    Ok(libtest_mimic::run(&args, trials(&days)).exit_code())
}
