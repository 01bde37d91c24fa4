//! `mv-link --predict`: counts of programs of which it is known what they do, and that a program notices nothing.

mod common;

use common::{Dir, MV_LINK, exists, skip, text};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};

/// What all of the programs start with.
const HEAD: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int seen;
static void note(int sig) { (void)sig, seen++; }
static void *thread(void *arg) { return arg; }
"#;

fn compile(d: &Dir, name: &str, body: &str) {
    let source = format!("{name}.c");
    fs::write(d.path(&source), format!("{HEAD}{body}")).expect("write");
    let out = d.gcc(&["-O1", "-pthread", &source, "-o", name]);
    assert!(out.status.success(), "{}", text(&out));
}

/// A prediction for the platform `native` is none: counts only, which is quick.
const COUNT: [&str; 5] = ["--predict", "--platform=native", "--json", "-o", "report"];

fn counted(d: &Dir, options: &[&str], command: &[&str]) -> (Output, Value) {
    let mut args = COUNT.to_vec();
    args.extend(options);
    args.push("--");
    args.extend(command);
    let out = d.run(MV_LINK, &args);
    let report = fs::read(d.path("report")).unwrap_or_else(|e| panic!("{e}: {}", text(&out)));
    (out, serde_json::from_slice(&report).expect("JSON"))
}

#[test]
fn counts_are_exact() {
    let d = Dir::new();
    compile(
        &d,
        "known",
        r#"
static char *page;
static void open_page(int sig) { (void)sig, mprotect(page, 4096, PROT_READ | PROT_WRITE); }
int main(void) {
    for (int i = 0; i < 37; i++) getppid();
    for (int i = 0; i < 5; i++) munmap(mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8192);
    signal(SIGUSR1, note), signal(SIGRTMIN + 3, note);
    for (int i = 0; i < 4; i++) raise(SIGUSR1);
    raise(SIGRTMIN + 3);
    signal(SIGSEGV, open_page);
    page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *page = 1;
    // Code that is of no file.
    unsigned char code[] = {0xb8, 102, 0, 0, 0, 0x0f, 5, 0xc3}; // getuid
    char *jit = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(jit, code, sizeof code);
    for (int i = 0; i < 9; i++) ((void (*)(void))jit)();
    for (int i = 0; i < 2; i++) { pthread_t t; pthread_create(&t, 0, thread, 0), pthread_join(t, 0); }
    // A child that stops is seen to stop, and goes on.
    pid_t p = fork();
    if (!p) { kill(getpid(), SIGSTOP); _exit(5); }
    int s;
    if (waitpid(p, &s, WUNTRACED) != p || !WIFSTOPPED(s)) return 1;
    kill(p, SIGCONT);
    if (waitpid(p, &s, 0) != p || WEXITSTATUS(s) != 5) return 2;
    write(1, "once\n", 5);
    return seen == 5 ? 42 : 3;
}"#,
    );
    let (out, r) = counted(&d, &[], &["./known"]);
    assert_eq!(out.status.code(), Some(42), "{}", text(&out));
    assert_eq!(out.stdout, b"once\n", "the second run is not seen");
    assert_eq!(out.stderr, b"");
    assert_eq!(r["runs"], 2);
    assert_eq!(r["status"], "exit status: 42");
    let p = &r["programs"][0];
    assert_eq!(p["path"], d.path("known").to_str().expect("text"));
    let calls = |n: &str| p["calls"][n].as_u64().unwrap_or(0);
    assert_eq!(calls("110"), 37, "getppid: {p}");
    assert_eq!(calls("15"), 6, "rt_sigreturn: {p}");
    assert_eq!(calls("102"), 9, "getuid: {p}");
    assert_eq!(calls("1"), 1, "write: {p}");
    assert_eq!(p["trapping"]["102"], 9, "{p}");
    assert_eq!(
        (
            p["threads"].as_u64(),
            p["forks"].as_u64(),
            p["vforks"].as_u64()
        ),
        (Some(2), Some(1), Some(0))
    );
    assert_eq!(p["signals"]["10"], 4, "{p}");
    assert_eq!(p["signals"]["37"], 1, "SIGRTMIN + 3: {p}");
    assert_eq!(p["signals"]["11"], 1, "{p}");
    assert_eq!(p["signals"]["19"], 1, "SIGSTOP: {p}");
    // Of the five only these sizes are sure: threads and ld.so map memory of their own.
    assert!(p["memory"]["munmap"]["calls"].as_u64() >= Some(5), "{p}");
    assert!(p["memory"]["mmap_anonymous"]["bytes"].as_u64() >= Some(5 * 8192 + 8192));
    assert!(
        p["before_entry"].as_u64() > Some(10),
        "the dynamic linker: {p}"
    );
    assert!(r["usage"]["minor_faults"].as_u64() > Some(20));
}

#[test]
fn anonymous_memory() {
    let d = Dir::new();
    // Four ways to give memory back, 500 pages each; a child has its own.
    compile(
        &d,
        "touch",
        r#"
static char *get(void) {
    char *p = mmap(0, 500 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, 500 * 4096, MADV_NOHUGEPAGE);
    for (int i = 0; i < 500; i++) p[i * 4096] = 1;
    return p;
}
int main(void) {
    munmap(get(), 500 * 4096);
    madvise(get(), 500 * 4096, MADV_DONTNEED);
    mmap(get(), 500 * 4096, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!fork()) { get(); _exit(0); }
    wait(0);
    get();
    return 0;
}"#,
    );
    let (out, r) = counted(&d, &[], &["./touch"]);
    assert!(out.status.success(), "{}", text(&out));
    let n = r["programs"][0]["anonymous_faults"]
        .as_u64()
        .expect("a number");
    assert!((2500..2700).contains(&n), "{r}");
    assert_eq!(r["programs"][0]["memory"]["given_back"]["calls"], 1);
}

#[test]
fn other_programs_are_counted_apart() {
    let d = Dir::new();
    compile(
        &d,
        "other",
        "int main(void) { for (int i = 0; i < 11; i++) getppid(); return 6; }",
    );
    compile(
        &d,
        "first",
        r#"
static void *replace(void *arg) { execl("./other", "other", (char *)0); return arg; }
int main(void) {
    getppid();
    int s;
    pid_t p = vfork();
    if (!p) { execl("./other", "other", (char *)0); _exit(1); }
    waitpid(p, &s, 0);
    if (WEXITSTATUS(s) != 6) return 1;
    // A thread that is not the first executes.
    pthread_t t, u;
    pthread_create(&u, 0, (void *(*)(void *))pause, 0);
    pthread_create(&t, 0, replace, 0), pthread_join(t, 0);
    return 2;
}"#,
    );
    let (out, r) = counted(&d, &[], &["./first"]);
    assert_eq!(out.status.code(), Some(6), "{}", text(&out));
    let (first, other) = (&r["programs"][0], &r["programs"][1]);
    assert_eq!(first["calls"]["110"], 1, "{r}");
    assert_eq!(
        (&first["vforks"], &first["threads"]),
        (&1.into(), &2.into())
    );
    assert_eq!(
        (&other["calls"]["110"], &other["starts"]),
        (&22.into(), &2.into())
    );
    assert!(r["notes"].to_string().contains("other programs"), "{r}");
}

#[test]
fn many_threads_and_children() {
    let d = Dir::new();
    compile(
        &d,
        "storm",
        r#"
static void *work(void *arg) {
    for (int i = 0; i < 5; i++) {
        pthread_t t;
        pthread_create(&t, 0, thread, 0), pthread_join(t, 0);
        pid_t p = fork();
        if (!p) { if (i & 1) kill(getpid(), SIGKILL); _exit(0); }
        int s;
        if (waitpid(p, &s, 0) != p || !!WIFSIGNALED(s) != (i & 1)) exit(9);
    }
    return arg;
}
int main(void) {
    pthread_t t[12];
    for (int i = 0; i < 12; i++) pthread_create(&t[i], 0, work, 0);
    for (int i = 0; i < 12; i++) pthread_join(t[i], 0);
    return 0;
}"#,
    );
    let (out, r) = counted(&d, &[], &["./storm"]);
    assert!(out.status.success(), "{}", text(&out));
    let p = &r["programs"][0];
    assert_eq!(
        (&p["threads"], &p["forks"]),
        (&72.into(), &60.into()),
        "{r}"
    );
}

#[test]
fn ends_by_the_same_signal() {
    let d = Dir::new();
    compile(
        &d,
        "die",
        "int main(int n, char **v) { signal(atoi(v[1]), SIG_DFL); kill(getpid(), atoi(v[1])); return n; }",
    );
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGPIPE, 40] {
        // Without `timeout`, which would make a number of it.
        let out = Command::new(MV_LINK)
            .args(COUNT)
            .args(["--", "./die", &signal.to_string()])
            .current_dir(d.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("runs");
        assert_eq!(out.status.signal(), Some(signal), "{}", text(&out));
        let report = fs::read_to_string(d.path("report")).expect("report");
        assert!(report.contains("\"status\": \"signal: "), "{report}");
        fs::remove_file(d.path("report")).expect("there");
    }
}

#[test]
fn signals_reach_the_program() {
    let d = Dir::new();
    compile(
        &d,
        "wait",
        r#"int main(void) {
    signal(SIGTERM, note);
    sigset_t m, o;
    sigemptyset(&m), sigaddset(&m, SIGTERM), sigprocmask(SIG_BLOCK, &m, &o);
    close(open("ready", O_CREAT, 0600));
    while (!seen) sigsuspend(&o);
    return 33;
}"#,
    );
    let mut child = Command::new(MV_LINK)
        .args(COUNT)
        .args(["--once", "--", "./wait"])
        .current_dir(d.dir.path())
        .stdin(Stdio::null())
        .spawn()
        .expect("runs");
    for _ in 0..3000 {
        if exists(&d.path("ready")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // SAFETY: a signal to our own child, which has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert_eq!(child.wait().expect("ends").code(), Some(33));
    let report: Value =
        serde_json::from_slice(&fs::read(d.path("report")).expect("report")).expect("JSON");
    assert_eq!(report["programs"][0]["signals"]["15"], 1);
    assert_eq!(report["runs"], 1);
}

#[test]
fn both_runs_have_the_same_streams() {
    let d = Dir::new();
    compile(
        &d,
        "streams",
        r#"int main(void) {
    char line[100] = "";
    FILE *f = fopen("seen", "a");
    struct stat s[3];
    for (int i = 0; i < 3; i++) fstat(i, &s[i]);
    char *got = fgets(line, sizeof line, stdin);
    fprintf(f, "%o %o %o %d %s", s[0].st_mode >> 12, s[1].st_mode >> 12, s[2].st_mode >> 12, s[1].st_ino == s[2].st_ino, got ? got : "\n");
    puts("out");
    return 0;
}"#,
    );
    fs::write(d.path("in"), "skipped\nline\n").expect("write");
    let seen = |shell: &str| {
        let _ = fs::remove_file(d.path("seen"));
        let out = d
            .command("sh")
            .args(["-c", shell])
            .env("L", MV_LINK)
            .env("P", COUNT.join(" "))
            .output()
            .expect("runs");
        assert!(out.status.success(), "{shell}: {}", text(&out));
        let seen = fs::read_to_string(d.path("seen")).expect("seen");
        let lines: Vec<String> = seen.lines().map(str::to_owned).collect();
        (lines, String::from_utf8_lossy(&out.stdout).into_owned())
    };
    // Twice the same line, from where the file stood; a pipe for stdout, and for stderr another.
    let (lines, stdout) = seen("{ read -r skipped; $L $P -- ./streams; } <in");
    assert_eq!(lines, ["10 1 1 0 line", "10 1 1 0 line"]);
    assert_eq!(stdout, "out\n");
    let (lines, _) = seen("$L $P -- ./streams </dev/null >file 2>&1; cat file");
    assert_eq!(lines, ["2 10 10 1 ", "2 10 10 1 "]);
    assert_eq!(fs::read_to_string(d.path("file")).expect("file"), "out\n");
    // What is in a pipe can be read but once.
    let (lines, stdout) = seen("echo piped | $L $P -- ./streams");
    assert_eq!(lines, ["1 1 1 0 piped"]);
    assert_eq!(stdout, "out\n");
    let report = fs::read_to_string(d.path("report")).expect("report");
    assert!(report.contains("standard input is a pipe"), "{report}");
}

#[test]
fn what_goes_on_is_left_alone() {
    let d = Dir::new();
    compile(
        &d,
        "leave",
        r#"int main(void) {
    if (fork()) return 0;
    // Not to keep the test's pipes open.
    setsid(), close(0), close(1), close(2);
    for (int i = 0; i < 600 && access("go", F_OK); i++) usleep(100000);
    if (!access("go", F_OK)) close(open("went", O_CREAT, 0600));
    return 0;
}"#,
    );
    let (out, r) = counted(&d, &["--once"], &["./leave"]);
    assert!(out.status.success(), "{}", text(&out));
    assert!(
        r["notes"].to_string().contains("1 processes went on"),
        "{r}"
    );
    fs::write(d.path("go"), "").expect("write");
    for _ in 0..600 {
        if exists(&d.path("went")) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the process that was left did not go on");
}

#[test]
fn errors() {
    let d = Dir::new();
    compile(
        &d,
        "ran",
        "int main(void) { close(open(\"it-ran\", O_CREAT, 0600)); return 0; }",
    );
    fs::write(d.path("text"), "no program").expect("write");
    let run = |args: &[&str], status: i32, says: &str| {
        let out = d.run(MV_LINK, args);
        assert_eq!(out.status.code(), Some(status), "{args:?}: {}", text(&out));
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(stderr.contains(says), "{args:?}: {}", text(&out));
        assert!(out.stdout.is_empty(), "{args:?}: {}", text(&out));
    };
    run(
        &["--predict", "--", "./no-such"],
        127,
        "cannot run './no-such'",
    );
    run(
        &["--predict", "--once", "--", "no-such-program"],
        127,
        "No such file",
    );
    run(&["--predict", "--", "./text"], 126, "Permission denied");
    run(&["--predict"], 2, "COMMAND");
    run(&["--predict", "--platform=xen", "--", "true"], 2, "xen");
    run(&["--once", "--doctor"], 2, "--predict");
    // Known before the program runs.
    run(
        &["--predict", "-o", "no/report", "--", "./ran"],
        125,
        "no/report",
    );
    run(
        &["--predict", "-o", "/dev/null", "--", "./ran"],
        125,
        "not a regular file",
    );
    assert!(!exists(&d.path("it-ran")));
}

#[test]
fn set_user_id() {
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } != 0 {
        skip("--predict of a set-user-ID program: only root can make one of another's");
        return;
    }
    let d = Dir::new();
    let open = |p, mode| fs::set_permissions(p, fs::Permissions::from_mode(mode)).expect("chmod");
    open(d.dir.path().to_owned(), 0o777);
    fs::copy(MV_LINK, d.path("mv-link")).expect("copy");
    compile(
        &d,
        "privileged",
        "int main(void) { return geteuid() == 0 ? 4 : 5; }",
    );
    open(d.path("privileged"), 0o4755);
    let run = |uid| {
        let mut c = Command::new(d.path("mv-link"));
        c.args(COUNT)
            .args(["--", "./privileged"])
            .current_dir(d.dir.path())
            .stdin(Stdio::null())
            .uid(uid);
        c.output().expect("runs")
    };
    let out = run(65534);
    assert_eq!(out.status.code(), Some(125), "{}", text(&out));
    assert!(String::from_utf8_lossy(&out.stderr).contains("set-user-ID"));
    assert_eq!(run(0).status.code(), Some(4));
}

#[test]
fn predictions() {
    let d = Dir::new();
    compile(
        &d,
        "local",
        "int main(void) { for (int i = 0; i < 60000; i++) getpid(); return 0; }",
    );
    compile(
        &d,
        "trap",
        r#"int main(void) {
    unsigned char code[] = {0xb8, 110, 0, 0, 0, 0x0f, 5, 0xc3};
    char *jit = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(jit, code, sizeof code);
    for (int i = 0; i < 20000; i++) ((void (*)(void))jit)();
    return 0;
}"#,
    );
    let predicted = |program: &str| -> Option<Value> {
        let out = d.run(
            MV_LINK,
            &[
                "--predict",
                "--platform=hosted",
                "--json",
                "-o",
                "report",
                "--",
                program,
            ],
        );
        assert!(out.status.success(), "{}", text(&out));
        let report = fs::read(d.path("report")).expect("report");
        let r: Value = serde_json::from_slice(&report).expect("JSON");
        if r["predictions"][0].is_null() {
            skip(&format!(
                "--predict: hosted cannot run here: {}",
                r["not_predicted"]
            ));
            return None;
        }
        Some(r["predictions"][0].clone())
    };
    let Some(local) = predicted("./local") else {
        return;
    };
    let trap = predicted("./trap").expect("ran before");
    // On hosted, getpid never leaves the program; code of no file traps at each call.
    assert!(local["added"]["high"].as_f64() < Some(0.0), "{local}");
    assert!(
        local["processor_ratio"]["mid"].as_f64() < Some(0.9),
        "{local}"
    );
    assert!(trap["added"]["low"].as_f64() > Some(0.0), "{trap}");
    assert!(
        trap["processor_ratio"]["mid"].as_f64() > Some(1.5),
        "{trap}"
    );
    for p in [&local, &trap] {
        let terms = p["terms"].as_array().expect("terms");
        let sum: f64 = terms
            .iter()
            .filter_map(|t| t["seconds"]["mid"].as_f64())
            .sum();
        let added = p["added"]["mid"].as_f64().expect("a number");
        assert!((sum - added).abs() < 1e-9, "{p}");
        let (low, high) = (p["added"]["low"].as_f64(), p["added"]["high"].as_f64());
        assert!(low < Some(added) && Some(added) < high, "{p}");
    }
}

#[test]
fn text_goes_to_stderr() {
    let d = Dir::new();
    fs::write(d.path("in"), "text\n").expect("write");
    let out = d.run(
        MV_LINK,
        &["--predict", "--platform=native", "--", "cat", "in"],
    );
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!(out.stdout, b"text\n");
    let stderr = String::from_utf8_lossy(&out.stderr);
    for part in [
        "multiverse: cat in: exit status: 0",
        "forwarded read",
        "native: not predicted",
    ] {
        assert!(stderr.contains(part), "{stderr}");
    }
}
