//! mv-cc with real compilers and linkers.
//!
//! Most tests put a script in mv-link's place that notes how it is called and runs the real linker; those named
//! `hybrid` use the mv-link next to the tested mv-cc, or `MV_LINK_BIN`. What is not installed is skipped and said.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

type TestResult = Result<Completion, Failed>;
type Test = fn() -> TestResult;

const SECONDS: &str = "120";

/// Stands for mv-link: notes its name, the real linker it was told and its arguments, then links.
const FAKE: &str = r#"#!/bin/sh
name=${0##*/}
log=$(dirname "$(readlink -f "$0")")/log
echo "name=$name real=$MV_LINK_REAL args=$*" >>"$log"
for arg do
    shift
    case $arg in --mv-*) ;; *) set -- "$@" "$arg" ;; esac
done
exec "${MV_LINK_REAL:-/usr/bin/$name}" "$@"
"#;

/// A folder to work in, with a stand-in for mv-link.
struct Bench {
    folder: tempfile::TempDir,
    mv_link: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::Builder::new()
            .prefix("mv cc ")
            .tempdir()
            .expect("temporary directory");
        let mv_link = folder.path().join("fake/mv-link");
        fs::create_dir(folder.path().join("fake")).expect("mkdir");
        script(&mv_link, FAKE);
        let bench = Bench { folder, mv_link };
        bench.write(
            "ok.c",
            "#include <stdio.h>\nint main(void) { puts(\"fine\"); return 0; }\n",
        );
        bench.write(
            "ok.cc",
            "#include <iostream>\nint main() { std::cout << \"fine\" << std::endl; }\n",
        );
        bench.write("warning.c", "int main(void) { int unused; return 0; }\n");
        bench.write("error.c", "int main(void) { return x; }\n");
        bench.write(
            "undefined.c",
            "int nowhere(void); int main(void) { return nowhere(); }\n",
        );
        bench.write("library.c", "int nowhere(void) { return 0; }\n");
        bench
    }

    fn hybrid() -> Result<Bench, Completion> {
        let sibling = Path::new(mv_cc()).with_file_name("mv-link");
        let real = std::env::var_os("MV_LINK_BIN").map_or(sibling, PathBuf::from);
        if !real.is_file() {
            let why = format!(
                "no {} (cargo build -p mv-link, or set MV_LINK_BIN)",
                real.display()
            );
            return Err(Completion::ignored_with(why));
        }
        let mut bench = Bench::new();
        bench.mv_link = real;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write");
    }

    /// A command with a time limit, in the folder, without variables of ours from outside.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", SECONDS]).arg(program);
        for name in [
            "MV_CC_REAL",
            "MV_CXX_REAL",
            "MV_LINK_REAL",
            "MV_CONFIG",
            "MV_OFF",
            "MV_CC_SEEN",
        ] {
            command.env_remove(name);
        }
        command.env("MV_LINK", &self.mv_link);
        command
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("CCACHE_DIR", self.path("ccache"));
        command
            .env("LC_ALL", "C")
            .env("HRT_PLATFORM", "native")
            .current_dir(self.folder.path());
        command
    }

    fn mv_cc(&self, real: &str) -> Command {
        let mut command = self.command(mv_cc());
        command.env("MV_CC_REAL", real);
        command
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("fake/log")).unwrap_or_default()).into_owned()
    }

    /// Runs a program just built; it must say "fine".
    fn runs(&self, program: &str) -> Result<(), Failed> {
        let output = run(&mut self.command(self.path(program)))?;
        check(
            output.status.success() && output.stdout == b"fine\n",
            || format!("{program}: {output:?}"),
        )
    }
}

fn mv_cc() -> &'static str {
    env!("CARGO_BIN_EXE_mv-cc")
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

fn run(command: &mut Command) -> Result<Output, Failed> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    check(output.status.code() != Some(124), || {
        format!("{command:?}: took longer than {SECONDS} s")
    })?;
    Ok(output)
}

fn succeeds(command: &mut Command) -> Result<String, Failed> {
    let output = run(command)?;
    check(output.status.success(), || {
        format!("{command:?}: {output:?}")
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Fails with exit status 1 and exactly one line, which has `part` in it.
fn complains(command: &mut Command, part: &str) -> Result<(), Failed> {
    let output = run(command)?;
    let text = String::from_utf8_lossy(&output.stderr);
    check(
        output.status.code() == Some(1)
            && text.starts_with("mv-cc: ")
            && text.lines().count() == 1
            && text.contains(part),
        || format!("{command:?}: {output:?}"),
    )
}

fn check(good: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if good { Ok(()) } else { Err(why().into()) }
}

fn installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Command lines that must behave as those of the plain compiler; `a`, `b` and so on are made from the files above.
const SAME: &[(&str, &[&str])] = &[
    ("link", &["ok.c", "-o", "x"]),
    (
        "link_verbose_warning",
        &["-Wall", "-Wextra", "warning.c", "-o", "x"],
    ),
    ("error", &["error.c", "-o", "x"]),
    ("missing", &["gone.c", "-o", "x"]),
    ("undefined", &["undefined.o", "-o", "x"]),
    ("missing_library", &["ok.o", "-lgone", "-o", "x"]),
    ("missing_response", &["@gone", "-o", "x"]),
    ("unwritable", &["ok.o", "-o", "gone/x"]),
    ("unknown_linker", &["ok.o", "-fuse-ld=gone", "-o", "x"]),
    ("unknown_option", &["-frobnicate", "ok.c", "-o", "x"]),
    (
        "unknown_linker_option",
        &["ok.o", "-Wl,--frobnicate", "-o", "x"],
    ),
    ("compile", &["-c", "ok.c", "-o", "x"]),
    ("compile_error", &["-c", "error.c", "-o", "x"]),
    ("assembly", &["-S", "ok.c", "-o", "-"]),
    ("preprocess", &["-E", "ok.c"]),
    ("dependencies", &["-M", "ok.c"]),
    ("syntax", &["-fsyntax-only", "warning.c"]),
    ("version", &["--version"]),
    ("verbose", &["-v"]),
    ("help", &["--help"]),
    ("machine", &["-dumpmachine"]),
    ("search", &["-print-search-dirs"]),
    ("ld", &["-print-prog-name=ld"]),
    ("linker_version", &["-Wl,--version"]),
    ("linker_version_input", &["-Wl,--version", "ok.o"]),
    ("nothing", &[]),
    ("dash", &["-"]),
    ("no_option_value", &["ok.c", "-o"]),
    ("dry", &["-###", "ok.o", "-o", "x"]),
    ("null", &["ok.o", "-o", "/dev/null"]),
    ("shared", &["-shared", "-fPIC", "library.c", "-o", "x"]),
    ("relocatable", &["-r", "ok.o", "-o", "x"]),
];

/// Text of a compiler, with the random part of GCC's and Clang's temporary files taken out.
fn settled(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text).into_owned();
    text.split(['"', ' ', '=', '\n', '\''])
        .filter(|word| !word.starts_with("/tmp/"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn same(compiler: &str, args: &[&str], hybrid: bool) -> TestResult {
    if !installed(compiler) {
        return Ok(Completion::ignored_with(format!("no {compiler}")));
    }
    let bench = match hybrid {
        true => Bench::hybrid(),
        false => Ok(Bench::new()),
    };
    let bench = match bench {
        Ok(bench) => bench,
        Err(skip) => return Ok(skip),
    };
    for name in ["ok", "undefined"] {
        succeeds(bench.command(compiler).args(["-c", &format!("{name}.c")]))?;
    }
    let mut results = Vec::new();
    for mut command in [bench.command(compiler), bench.mv_cc(compiler)] {
        let output = run(command.args(args))?;
        // The result itself too: mv-link's stand-in makes what the linker makes.
        let file = fs::read(bench.path("x")).ok();
        let _ = fs::remove_file(bench.path("x"));
        results.push((output, file));
    }
    let [plain, ours] = &results[..] else {
        unreachable!()
    };
    let key = |output: &Output| {
        (
            output.status,
            settled(&output.stdout),
            settled(&output.stderr),
        )
    };
    check(key(&plain.0) == key(&ours.0), || {
        format!("plain {:?}\nmv-cc {:?}", plain.0, ours.0)
    })?;
    check(
        plain.1.is_some() == ours.1.is_some() && (hybrid || plain.1 == ours.1),
        || "another output file".to_owned(),
    )?;
    Ok(Completion::Completed)
}

/// Ways to link, and which compilers and linkers can.
const KINDS: &[(&str, &[&str])] = &[
    ("default", &[]),
    ("no_pie", &["-no-pie"]),
    ("pie", &["-fPIE", "-pie"]),
    ("static", &["-static"]),
    ("static_pie", &["-static-pie", "-fPIE"]),
    ("lto", &["-flto", "-O2"]),
];

const LINKERS: &[&str] = &["", "bfd", "gold", "lld", "mold"];

fn why_not(compiler: &str, linker: &str, kind: &str) -> Option<String> {
    if !installed(compiler) {
        return Some(format!("no {compiler}"));
    }
    if !linker.is_empty() && !installed(&format!("ld.{linker}")) {
        return Some(format!("no ld.{linker}"));
    }
    if kind == "lto" && compiler.contains('g') && !compiler.contains("clang") && linker == "lld" {
        return Some("lld has no plug-ins for GCC's link-time optimization".into());
    }
    None
}

/// Links C and checks that mv-link got the link, by the right name.
fn routed(bench: &Bench, compiler: &str, linker: &str, args: &[&str]) -> TestResult {
    let mut command = bench.mv_cc(compiler);
    if !linker.is_empty() {
        command.arg(format!("-fuse-ld={linker}"));
    }
    let probe = {
        let mut plain = bench.command(compiler);
        plain
            .args(command.get_args().skip(4))
            .args(args)
            .args(["ok.c", "-o", "plain"]);
        run(&mut plain)?
    };
    if !probe.status.success() {
        let text = String::from_utf8_lossy(&probe.stderr);
        return Ok(Completion::ignored_with(format!(
            "{compiler} alone cannot: {}",
            text.lines().next().unwrap_or_default()
        )));
    }
    let output = run(command.args(args).args(["ok.c", "-o", "x"]))?;
    check(output == probe, || format!("{output:?}, plain {probe:?}"))?;
    bench.runs("x")?;
    Ok(Completion::Completed)
}

fn routed_fake(compiler: &str, linker: &str, kind: &str, args: &[&str]) -> TestResult {
    if let Some(why) = why_not(compiler, linker, kind) {
        return Ok(Completion::ignored_with(why));
    }
    let bench = Bench::new();
    let completion = routed(&bench, compiler, linker, args)?;
    if matches!(completion, Completion::Completed) {
        let name = if linker.is_empty() {
            "name=ld ".to_owned()
        } else {
            format!("name=ld.{linker} ")
        };
        let log = bench.log();
        check(log.lines().count() == 1 && log.starts_with(&name), || {
            format!("log: {log}")
        })?;
    }
    Ok(completion)
}

fn routed_hybrid(compiler: &str, linker: &str, kind: &str, args: &[&str]) -> TestResult {
    if let Some(why) = why_not(compiler, linker, kind) {
        return Ok(Completion::ignored_with(why));
    }
    let bench = match Bench::hybrid() {
        Ok(bench) => bench,
        Err(skip) => return Ok(skip),
    };
    let completion = routed(&bench, compiler, linker, args)?;
    if matches!(completion, Completion::Completed) {
        is_hybrid(&bench, "x")?;
    }
    Ok(completion)
}

fn is_hybrid(bench: &Bench, file: &str) -> Result<(), Failed> {
    let note = fs::read(bench.path(file))?
        .windows(16)
        .any(|part| part == b".note.multiverse");
    check(note, || format!("{file} has no note of ours"))
}

fn own_options() -> TestResult {
    let bench = Bench::new();
    succeeds(
        bench
            .mv_cc("cc")
            .args(["--mv-config=a,b.toml", "ok.c", "-o", "x"]),
    )?;
    check(bench.log().contains(" --mv-config=a,b.toml "), || {
        bench.log()
    })?;
    succeeds(
        bench
            .mv_cc("cc")
            .env("MV_CONFIG", "c.toml")
            .args(["ok.c", "-o", "x"]),
    )?;
    check(bench.log().contains(" --mv-config=c.toml "), || bench.log())?;
    // Where nothing is linked they are taken out all the same.
    succeeds(bench.mv_cc("cc").args(["--mv-config=a", "-c", "ok.c"]))?;
    let before = bench.log();
    succeeds(bench.mv_cc("cc").args(["--mv-off", "ok.c", "-o", "x"]))?;
    succeeds(
        bench
            .mv_cc("cc")
            .env("MV_OFF", "1")
            .args(["ok.c", "-o", "x"]),
    )?;
    check(bench.log() == before, || {
        "a link went through mv-link".into()
    })?;
    let output = run(bench
        .mv_cc("cc")
        .args(["--mv-verbose", "ok.c", "-o", "x y"]))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    check(
        text.starts_with("mv-cc: link through ") && text.contains("-o 'x y'"),
        || text,
    )?;
    check(
        succeeds(bench.mv_cc("gone").arg("--mv-help"))?.contains("--mv-config"),
        || "help".into(),
    )?;
    check(
        succeeds(bench.mv_cc("gone").arg("--mv-version"))?.starts_with("mv-cc "),
        || "version".into(),
    )?;
    complains(bench.mv_cc("cc").args(["--mv-gone", "ok.c"]), "--mv-gone")?;
    Ok(Completion::Completed)
}

fn errors() -> TestResult {
    let bench = Bench::new();
    complains(bench.mv_cc("no-such-compiler").arg("ok.c"), "MV_CC_REAL")?;
    complains(bench.mv_cc("./no-such-compiler").arg("ok.c"), "MV_CC_REAL")?;
    complains(bench.mv_cc(mv_cc()).arg("ok.c"), "leads back to mv-cc")?;
    complains(
        bench
            .mv_cc("cc")
            .env("MV_LINK", "/gone/mv-link")
            .arg("ok.c"),
        "MV_LINK",
    )?;
    // Without a link there is no need of mv-link.
    succeeds(
        bench
            .mv_cc("cc")
            .env("MV_LINK", "/gone/mv-link")
            .args(["-c", "ok.c"]),
    )?;
    Ok(Completion::Completed)
}

/// A `PATH` with `first` in front.
fn path_with(first: &[&Path]) -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = first
        .iter()
        .map(|p| p.to_path_buf())
        .chain(std::env::split_paths(&old));
    std::env::join_paths(all).expect("no colons")
}

fn masquerade() -> TestResult {
    let bench = Bench::new();
    let bin = bench.path("bin");
    fs::create_dir(&bin)?;
    for name in ["cc", "gcc", "g++", "mv-c++"] {
        symlink(mv_cc(), bin.join(name))?;
    }
    let path = path_with(&[&bin]);
    for (name, source) in [
        ("gcc", "ok.c"),
        ("cc", "ok.c"),
        ("g++", "ok.cc"),
        ("mv-c++", "ok.cc"),
    ] {
        let _ = fs::remove_file(bench.path("fake/log"));
        succeeds(
            bench
                .command(name)
                .env("PATH", &path)
                .args([source, "-o", "x"]),
        )?;
        bench.runs("x")?;
        check(bench.log().lines().count() == 1, || {
            format!("{name}: {}", bench.log())
        })?;
    }
    // Nothing but ourselves on PATH.
    complains(
        Command::new(mv_cc())
            .env("PATH", &bin)
            .env_remove("MV_CC_REAL")
            .arg("ok.c"),
        "MV_CC_REAL",
    )?;
    Ok(Completion::Completed)
}

/// Wrappers that lead back to mv-cc end with an error, not never.
fn loops() -> TestResult {
    let bench = Bench::new();
    script(
        &bench.path("wrapper"),
        &format!("#!/bin/sh\nexec '{}' \"$@\"\n", mv_cc()),
    );
    complains(bench.mv_cc("./wrapper").arg("ok.c"), "leads back to mv-cc")?;
    // A copy is another file, so only the repetition tells.
    for name in ["one", "two"] {
        fs::create_dir(bench.path(name))?;
        fs::copy(mv_cc(), bench.path(name).join("cc"))?;
    }
    let path = std::env::join_paths([bench.path("one"), bench.path("two")]).expect("no colons");
    complains(
        Command::new(bench.path("one/cc"))
            .env("PATH", &path)
            .env_remove("MV_CC_REAL")
            .arg("ok.c"),
        "mv-cc",
    )?;
    // With a real compiler behind them, copies are harmless.
    let path = path_with(&[&bench.path("one"), &bench.path("two")]);
    succeeds(
        bench
            .command("cc")
            .env("PATH", &path)
            .args(["ok.c", "-o", "x"]),
    )?;
    bench.runs("x")?;
    Ok(Completion::Completed)
}

fn ccache() -> TestResult {
    if !installed("ccache") {
        return Ok(Completion::ignored_with("no ccache"));
    }
    let bench = Bench::new();
    for _ in 0..2 {
        succeeds(
            bench
                .command("ccache")
                .arg(mv_cc())
                .args(["-c", "ok.c", "-o", "ok.o"]),
        )?;
        succeeds(bench.mv_cc("ccache gcc").args(["-c", "ok.c", "-o", "ok.o"]))?;
    }
    succeeds(
        bench
            .command("ccache")
            .arg(mv_cc())
            .args(["ok.o", "-o", "x"]),
    )?;
    succeeds(bench.mv_cc("ccache gcc").args(["ok.o", "-o", "x"]))?;
    bench.runs("x")?;
    check(bench.log().lines().count() == 2, || bench.log())?;
    let statistics = succeeds(bench.command("ccache").arg("--print-stats"))?;
    let hits: u32 = statistics
        .lines()
        .filter_map(|line| {
            line.strip_prefix("direct_cache_hit")?
                .trim()
                .parse::<u32>()
                .ok()
        })
        .sum();
    check(hits >= 2, || statistics)?;
    // ccache's own masquerade behind ours: each looks for the other on PATH.
    let ccache = Path::new("/usr/lib/ccache");
    if ccache.join("gcc").exists() {
        let bin = bench.path("bin");
        fs::create_dir(&bin)?;
        symlink(mv_cc(), bin.join("gcc"))?;
        succeeds(
            bench
                .command("gcc")
                .env("PATH", path_with(&[&bin, ccache]))
                .args(["-c", "ok.c"]),
        )?;
        succeeds(
            bench
                .command("gcc")
                .env("PATH", path_with(&[ccache, &bin]))
                .args(["-c", "ok.c"]),
        )?;
    }
    Ok(Completion::Completed)
}

/// The user's own `-B` and `--ld-path` choose the real linker still.
fn users_linker() -> TestResult {
    let bench = Bench::new();
    let own = bench.path("own");
    fs::create_dir(&own)?;
    for name in ["ld", "ld.gold"] {
        script(
            &own.join(name),
            "#!/bin/sh\necho used >>own/log\nexec /usr/bin/ld \"$@\"\n",
        );
    }
    let mut expected = 0;
    let mut prefix = OsString::from("-B");
    prefix.push(&own);
    for extra in [&[][..], &["-fuse-ld=gold"]] {
        succeeds(
            bench
                .mv_cc("gcc")
                .arg(&prefix)
                .args(extra)
                .args(["ok.c", "-o", "x"]),
        )?;
        expected += 1;
    }
    if installed("clang") {
        let mut option = OsString::from("--ld-path=");
        option.push(own.join("ld.gold"));
        succeeds(
            bench
                .mv_cc("clang")
                .args(["ok.c", "-o", "x"])
                .arg(&option)
                .arg("--")
                .arg("library.c"),
        )?;
        expected += 1;
    }
    bench.runs("x")?;
    let used = fs::read_to_string(own.join("log")).unwrap_or_default();
    let log = bench.log();
    check(
        used.lines().count() == expected && log.lines().count() == expected,
        || format!("{used}\n{log}"),
    )?;
    check(
        log.lines()
            .all(|line| line.contains("real=") && !line.contains("real= ")),
        || log.clone(),
    )?;
    Ok(Completion::Completed)
}

fn names_of_all_kinds() -> TestResult {
    let bench = Bench::new();
    let name = OsStr::from_bytes(b"not \xff utf-8, *");
    succeeds(bench.mv_cc("cc").arg("ok.c").arg("-o").arg(name))?;
    check(bench.folder.path().join(name).is_file(), || {
        "no output".into()
    })?;
    bench.write("args", "ok.c -o 'from file'");
    succeeds(bench.mv_cc("cc").arg("@args"))?;
    bench.runs("from file")?;
    // From a pipe, which can be read once only.
    succeeds(
        bench
            .mv_cc("cc")
            .args(["@/dev/stdin", "-o", "piped"])
            .stdin(fs::File::open(bench.path("args"))?),
    )?;
    let mut links = 4;
    if installed("clang") {
        // GCC does not read a response file that is a pipe; Clang does.
        let piped = format!("echo ok.c | '{}' @/dev/stdin -o piped2", mv_cc());
        succeeds(
            bench
                .command("sh")
                .env("MV_CC_REAL", "clang")
                .args(["-c", &piped]),
        )?;
        bench.runs("piped2")?;
        links += 1;
    }
    let stdin = fs::File::open(bench.path("ok.c"))?;
    succeeds(
        bench
            .mv_cc("cc")
            .args(["-x", "c", "-", "-o", "stdin"])
            .stdin(stdin),
    )?;
    bench.runs("stdin")?;
    check(bench.log().lines().count() == links, || bench.log())?;
    Ok(Completion::Completed)
}

/// An installation of its own: the directory next to mv-cc, by many processes; and where that cannot be had.
fn installation() -> TestResult {
    let bench = Bench::new();
    let bin = bench.path("installed");
    fs::create_dir(&bin)?;
    fs::copy(mv_cc(), bin.join("mv-cc"))?;
    script(&bin.join("mv-link"), FAKE);
    succeeds(bench.command("cc").args(["-c", "ok.c"]))?;
    let link = |output: &str| {
        let mut command = bench.command(bin.join("mv-cc"));
        command.env_remove("MV_LINK").args(["ok.o", "-o", output]);
        command
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|i| scope.spawn(move || succeeds(&mut link(&format!("x{i}")))))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no panic").map(drop))
    })?;
    let mut names: Vec<_> = bin
        .join("multiverse-ld")
        .read_dir()?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    check(
        names == ["ld", "ld.bfd", "ld.gold", "ld.lld", "ld.mold"],
        || format!("{names:?}"),
    )?;
    fs::remove_dir_all(bin.join("multiverse-ld"))?;
    fs::write(bin.join("multiverse-ld"), "in the way")?;
    succeeds(&mut link("x"))?;
    check(bench.path("cache/multiverse").is_dir(), || {
        "nothing in the cache".into()
    })?;
    let log = fs::read_to_string(bin.join("log"))?;
    check(log.lines().count() == 9, || log)?;
    Ok(Completion::Completed)
}

fn rust() -> TestResult {
    if !installed("rustc") {
        return Ok(Completion::ignored_with("no rustc"));
    }
    let bench = Bench::new();
    bench.write("ok.rs", "fn main() { println!(\"fine\"); }\n");
    succeeds(
        bench
            .command("rustc")
            .arg(format!("-Clinker={}", mv_cc()))
            .args(["ok.rs", "-o", "x"]),
    )?;
    bench.runs("x")?;
    check(bench.log().lines().count() == 1, || bench.log())?;
    succeeds(
        bench
            .command("rustc")
            .arg(format!("-Clinker={}", mv_cc()))
            .args(["--crate-type=cdylib", "ok.rs"]),
    )?;
    check(bench.log().lines().count() == 1, || bench.log())?;
    Ok(Completion::Completed)
}

fn rust_hybrid() -> TestResult {
    if !installed("rustc") {
        return Ok(Completion::ignored_with("no rustc"));
    }
    let bench = match Bench::hybrid() {
        Ok(bench) => bench,
        Err(skip) => return Ok(skip),
    };
    bench.write("ok.rs", "fn main() { println!(\"fine\"); }\n");
    succeeds(
        bench
            .command("rustc")
            .arg(format!("-Clinker={}", mv_cc()))
            .args(["ok.rs", "-o", "x"]),
    )?;
    bench.runs("x")?;
    is_hybrid(&bench, "x")?;
    Ok(Completion::Completed)
}

/// mv-link was called for `x` and not for the shared library that it uses.
fn only_the_executable(bench: &Bench) -> Result<(), Failed> {
    let log = bench.log();
    check(log.contains(" -o x ") && !log.contains("-shared"), || {
        log.clone()
    })
}

fn cmake() -> TestResult {
    if !installed("cmake") || !installed("make") {
        return Ok(Completion::ignored_with("no cmake or no make"));
    }
    let bench = Bench::new();
    bench.write(
        "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.20)\nproject(p C)\nadd_library(l SHARED library.c)\n\
         add_executable(x ok.c)\ntarget_link_libraries(x l)\n",
    );
    let compiler = format!("-DCMAKE_C_COMPILER={}", mv_cc());
    let text = succeeds(
        bench
            .command("cmake")
            .args(["-S", ".", "-B", "build", &compiler]),
    )?;
    check(text.contains("GNU") || text.contains("Clang"), || {
        text.clone()
    })?;
    succeeds(bench.command("cmake").args(["--build", "build"]))?;
    bench.runs("build/x")?;
    only_the_executable(&bench)?;
    Ok(Completion::Completed)
}

fn meson() -> TestResult {
    if !installed("meson") || !installed("ninja") {
        return Ok(Completion::ignored_with("no meson or no ninja"));
    }
    let bench = Bench::new();
    bench.write(
        "meson.build",
        "project('p', 'c')\nassert(meson.get_compiler('c').has_function('puts'))\n\
         l = shared_library('l', 'library.c')\nexecutable('x', 'ok.c', link_with: l)\n",
    );
    succeeds(
        bench
            .command("meson")
            .env("CC", mv_cc())
            .args(["setup", "build"]),
    )?;
    succeeds(bench.command("ninja").args(["-C", "build"]))?;
    bench.runs("build/x")?;
    only_the_executable(&bench)?;
    Ok(Completion::Completed)
}

fn libtool() -> TestResult {
    if !installed("libtool") {
        return Ok(Completion::ignored_with("no libtool"));
    }
    let bench = Bench::new();
    let libtool = |args: &[&str], rest: &[&str]| {
        succeeds(
            bench
                .command("libtool")
                .arg("--tag=CC")
                .args(args)
                .arg(mv_cc())
                .args(rest),
        )
    };
    libtool(&["--mode=compile"], &["-c", "library.c"])?;
    libtool(&["--mode=compile"], &["-c", "ok.c"])?;
    libtool(
        &["--mode=link"],
        &[
            "-o",
            "liblibrary.la",
            "-rpath",
            "/usr/local/lib",
            "library.lo",
        ],
    )?;
    check(bench.log().is_empty(), || bench.log())?;
    libtool(&["--mode=link"], &["-o", "x", "ok.lo", "liblibrary.la"])?;
    bench.runs("x")?;
    check(bench.log().lines().count() == 1, || bench.log())?;
    Ok(Completion::Completed)
}

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for compiler in ["gcc", "clang"] {
        for (name, args) in SAME {
            trials.push(Trial::ignorable_test(
                format!("same::{compiler}::{name}"),
                move || same(compiler, args, false),
            ));
        }
        // Those in which mv-link may get a word in.
        for (name, args) in SAME
            .iter()
            .filter(|(_, args)| args.contains(&"x") && !args.contains(&"-###"))
        {
            let name = format!("hybrid::same::{compiler}::{name}");
            trials.push(Trial::ignorable_test(name, move || {
                same(compiler, args, true)
            }));
        }
    }
    for compiler in ["gcc", "clang"] {
        for linker in LINKERS {
            for (kind, args) in KINDS {
                let name = if linker.is_empty() { "ld" } else { linker };
                trials.push(Trial::ignorable_test(
                    format!("routed::{compiler}::{name}::{kind}"),
                    move || routed_fake(compiler, linker, kind, args),
                ));
                if ["default", "static_pie", "lto"].contains(kind) {
                    trials.push(Trial::ignorable_test(
                        format!("hybrid::{compiler}::{name}::{kind}"),
                        move || routed_hybrid(compiler, linker, kind, args),
                    ));
                }
            }
        }
    }
    let singles: &[(&str, Test)] = &[
        ("own_options", own_options),
        ("errors", errors),
        ("masquerade", masquerade),
        ("loops", loops),
        ("ccache", ccache),
        ("users_linker", users_linker),
        ("names_of_all_kinds", names_of_all_kinds),
        ("installation", installation),
        ("rust", rust),
        ("hybrid::rust", rust_hybrid),
        ("cmake", cmake),
        ("meson", meson),
        ("libtool", libtool),
    ];
    for (name, test) in singles {
        trials.push(Trial::ignorable_test(*name, *test));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
