//! What the tests share: programs, linkers, and commands that end in time.
#![allow(dead_code)] // each test file uses a part

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Every command ends after this many seconds.
const SECONDS: &str = "120";

/// The program under test.
pub const MV_LINK: &str = env!("CARGO_BIN_EXE_mv-link");

pub const HELLO: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static int count;
__attribute__((constructor)) static void early(void) { count++; }
_Thread_local int local = 5;
int unused(void) { return 3; }
int main(int argc, char **argv) {
    printf("%d %d %s %s\n", count, local, argv[argc - 1], getenv("X") ? getenv("X") : "unset");
    return 7;
}
"#;

pub const LINKERS: [&str; 4] = ["bfd", "gold", "lld", "mold"];
pub const KINDS: [&[&str]; 4] = [
    &["-static", "-fno-pie"],
    &["-static-pie", "-fPIE"],
    &["-pie", "-fPIE"],
    &["-no-pie", "-fno-pie"],
];

pub struct Dir {
    pub dir: TempDir,
}

impl Dir {
    /// A directory with `hello.c`, and with `bin/` where mv-link has the name of every linker.
    pub fn new() -> Dir {
        let dir = tempfile::tempdir().expect("tempdir");
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).expect("mkdir");
        for name in ["ld", "ld.bfd", "ld.gold", "ld.lld", "ld.mold"] {
            symlink(MV_LINK, bin.join(name)).expect("symlink");
        }
        fs::write(dir.path().join("hello.c"), HELLO).expect("write");
        Dir { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command in this directory, with a time limit and without the variables that steer Multiverse.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut c = Command::new("timeout");
        c.arg("--signal=KILL").arg(SECONDS).arg(program.as_ref());
        c.current_dir(self.dir.path()).stdin(Stdio::null());
        for v in [
            "HRT_PLATFORM",
            "HRT_STATS",
            "HRT_TRACE",
            "MV_LINK_REAL",
            "MV_CONFIG",
            "X",
        ] {
            c.env_remove(v);
        }
        c
    }

    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Output {
        let name = program.as_ref().to_owned();
        self.command(program)
            .args(args)
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}", name.to_string_lossy()))
    }

    /// Runs and wants success.
    pub fn ok(&self, program: &str, args: &[&str]) -> Output {
        let out = self.run(program, args);
        assert!(out.status.success(), "{program} {args:?}: {}", text(&out));
        out
    }

    /// Compiles with gcc, plain.
    pub fn gcc(&self, args: &[&str]) -> Output {
        self.run("gcc", args)
    }

    /// Compiles with gcc, which takes mv-link for its linker.
    pub fn mv_gcc(&self, args: &[&str]) -> Output {
        let dir = format!("-B{}/", self.path("bin").display());
        let mut all = vec![dir.as_str()];
        all.extend(args);
        self.run("gcc", &all)
    }

    /// Runs a hello program and checks what it does, on the platforms that need nothing of the machine.
    pub fn check_hello(&self, file: &str) {
        self.check_hello_on(file, &["native", "hosted", "auto"]);
    }

    pub fn check_hello_on(&self, file: &str, platforms: &[&str]) {
        for &platform in platforms {
            let out = self
                .command(self.path(file))
                .args(["a", "last"])
                .env("HRT_PLATFORM", platform)
                .env("X", "y")
                .output()
                .expect("runs");
            if platform == "hosted" && out.status.code() == Some(125) {
                skip(&format!("hosted cannot run here: {}", text(&out)));
                continue;
            }
            assert_eq!(
                out.status.code(),
                Some(7),
                "{file} on {platform}: {}",
                text(&out)
            );
            assert_eq!(
                String::from_utf8_lossy(&out.stdout),
                "1 5 last y\n",
                "{file} on {platform}"
            );
            assert!(
                out.stderr.is_empty(),
                "{file} on {platform}: {}",
                text(&out)
            );
        }
    }

    /// Whether mv-link says that the file is an active hybrid.
    pub fn is_hybrid(&self, file: &str) -> bool {
        let out = self.run(MV_LINK, &["--inspect", file, "--json"]);
        out.status.success() && String::from_utf8_lossy(&out.stdout).contains("\"active\": true")
    }

    pub fn same(&self, a: &str, b: &str) -> bool {
        fs::read(self.path(a)).expect(a) == fs::read(self.path(b)).expect(b)
    }
}

pub fn text(out: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

/// Says loudly what is not tested here, past the test harness, which hides what a test prints.
pub fn skip(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIP: {why}\n").as_bytes());
}

/// Says what cannot be tested anywhere, because it does not work without mv-link either.
pub fn impossible(why: &str) {
    eprintln!("impossible: {why}");
}

pub fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|p| std::env::split_paths(&p).any(|d| d.join(program).is_file()));
    if !found {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// The linkers that are installed, by the name for `-fuse-ld=`.
pub fn linkers() -> Vec<&'static str> {
    LINKERS
        .into_iter()
        .filter(|l| have(&format!("ld.{l}")))
        .collect()
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
