//! gcc with mv-link for its linker, across linkers and kinds of executable.

mod common;

use common::{Dir, KINDS, MV_LINK, exists, have, impossible, linkers, skip, text};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;

/// Links plain and hybrid with the same options: same messages, same status, and the hybrid does the same.
fn matrix(options: &[&str]) {
    let d = Dir::new();
    for linker in linkers() {
        for kind in KINDS {
            let choose = format!("-fuse-ld={linker}");
            let mut args = vec!["-O1", "hello.c", "-o", "out", choose.as_str()];
            args.extend(kind);
            args.extend(options);
            let plain = d.gcc(&args);
            let _ = fs::remove_file(d.path("out"));
            let hybrid = d.mv_gcc(&args);
            assert_eq!(plain.status, hybrid.status, "{args:?}: {}", text(&hybrid));
            if plain.status.success() {
                assert_eq!(text(&plain), text(&hybrid), "{args:?}");
                assert!(
                    d.is_hybrid("out"),
                    "{args:?}: {}",
                    text(&d.run(MV_LINK, &["--inspect", "out"]))
                );
                d.check_hello("out");
            } else {
                impossible(&format!("gcc {args:?} does not link plainly either"));
                assert!(!exists(&d.path("out")), "{args:?} left an output");
            }
        }
    }
}

#[test]
fn default_options() {
    matrix(&[]);
}

#[test]
fn gc_sections() {
    matrix(&[
        "-ffunction-sections",
        "-fdata-sections",
        "-Wl,--gc-sections",
    ]);
}

#[test]
fn lto() {
    matrix(&["-flto"]);
}

#[test]
fn hardened_and_strict() {
    matrix(&[
        "-Wl,-z,relro",
        "-Wl,-z,now",
        "-Wl,--build-id",
        "-Wl,--fatal-warnings",
        "-fcf-protection",
    ]);
}

#[test]
fn other_layouts() {
    matrix(&["-Wl,-z,noseparate-code"]);
    matrix(&["-Wl,--icf=all"]);
    matrix(&["-s"]);
}

#[test]
fn version_script() {
    let d = Dir::new();
    fs::write(d.path("v.map"), "{ global: main; local: *; };\n").expect("write");
    for linker in linkers() {
        let choose = format!("-fuse-ld={linker}");
        let out = d.mv_gcc(&[
            "hello.c",
            "-o",
            "out",
            &choose,
            "-rdynamic",
            "-Wl,--version-script=v.map",
        ]);
        assert!(out.status.success(), "{}", text(&out));
        d.check_hello("out");
    }
}

#[test]
fn properties_stay() {
    let d = Dir::new();
    for args in [
        &["-fcf-protection"][..],
        &["-static", "-fcf-protection"],
        &["-fcf-protection=none"],
    ] {
        let with = |o: &'static str| [&["hello.c", "-o", o][..], args].concat();
        assert!(d.gcc(&with("plain")).status.success());
        assert!(d.mv_gcc(&with("hybrid")).status.success());
        let properties = |f: &str| -> Vec<String> {
            let out = d.ok("readelf", &["-nW", f]);
            let lines = String::from_utf8_lossy(&out.stdout).into_owned();
            lines
                .lines()
                .filter(|l| l.contains("x86"))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(properties("plain"), properties("hybrid"));
        let stack = |f: &str| {
            String::from_utf8_lossy(&d.ok("readelf", &["-lW", f]).stdout).contains("GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RW ")
        };
        assert!(stack("plain") && stack("hybrid"));
    }
}

#[test]
fn reproducible() {
    let d = Dir::new();
    assert!(d.gcc(&["-c", "hello.c"]).status.success());
    for linker in linkers() {
        let choose = format!("-fuse-ld={linker}");
        for name in ["a", "b"] {
            let out = d.mv_gcc(&["hello.o", "-o", "out", &choose, "-Wl,-Map=map"]);
            assert!(out.status.success(), "{}", text(&out));
            fs::rename(d.path("out"), d.path(name)).expect("rename");
            fs::rename(d.path("map"), d.path(&format!("{name}.map"))).expect("rename");
        }
        assert!(d.same("a", "b"), "{linker}: two links differ");
        // gcc's own temporary file (-fresolution) never shows; the object has one name.
        assert!(d.same("a.map", "b.map"), "{linker}: two maps differ");
    }
}

#[test]
fn plain_links_are_the_real_linkers() {
    let d = Dir::new();
    fs::write(d.path("x.ld"), "SECTIONS { . = 0x400000; .text : { *(.text*) } .all : { *(.data* .rodata* .bss* .note* .eh_frame*) } }").expect("write");
    fs::write(
        d.path("bare.c"),
        "void _start(void) { __asm__(\"mov $60, %eax; syscall\"); }",
    )
    .expect("write");
    for args in [
        &["-shared", "-fPIC", "hello.c", "-o", "out"][..],
        &["-r", "hello.c", "-o", "out"],
        &[
            "-nostdlib",
            "-static",
            "-Wl,--build-id=none",
            "-T",
            "x.ld",
            "bare.c",
            "-o",
            "out",
        ],
        &[
            "-nostdlib",
            "-static",
            "-Wl,--oformat=binary",
            "bare.c",
            "-o",
            "out",
        ],
    ] {
        let plain = d.gcc(args);
        assert!(plain.status.success(), "{}", text(&plain));
        fs::rename(d.path("out"), d.path("plain")).expect("rename");
        let hybrid = d.mv_gcc(args);
        assert_eq!(text(&plain), text(&hybrid), "{args:?}");
        assert!(!d.is_hybrid("out"), "{args:?}");
    }
    for args in [
        &["--version"][..],
        &["-v"],
        &["--help"],
        &["-V"],
        &[],
        &["--nonsense"],
        &["-o", "x", "none.o"],
    ] {
        let real = d.run("/usr/bin/ld", args);
        let ours = d.run(d.path("bin/ld"), args);
        let clean = |s: String| s.replace(&d.path("bin/ld").display().to_string(), "/usr/bin/ld");
        assert_eq!(clean(text(&real)), clean(text(&ours)), "{args:?}");
    }
}

#[test]
fn failures_and_odd_outputs() {
    let d = Dir::new();
    fs::write(
        d.path("bad.c"),
        "int nope(void); int main(void) { return nope(); }",
    )
    .expect("write");
    for linker in linkers() {
        let choose = format!("-fuse-ld={linker}");
        let out = d.mv_gcc(&["bad.c", "-o", "bad", &choose]);
        assert_eq!(out.status.code(), Some(1));
        assert!(!exists(&d.path("bad")));
        // autoconf and others link to /dev/null.
        let out = d.mv_gcc(&["hello.c", "-o", "/dev/null", &choose]);
        assert!(out.status.success(), "{}", text(&out));
        assert!(
            fs::metadata("/dev/null")
                .expect("there")
                .file_type()
                .is_char_device()
        );
        // A dependency file names what a build tool can find.
        let out = d.mv_gcc(&[
            "hello.c",
            "-o",
            "out",
            &choose,
            "-Wl,--dependency-file=deps",
        ]);
        if out.status.success() {
            let deps = fs::read_to_string(d.path("deps")).expect("deps");
            assert!(
                deps.contains("crtn.o") && !deps.contains("/proc/"),
                "{linker}: {deps}"
            );
        } else {
            impossible(&format!("{linker} has no --dependency-file"));
        }
    }
    fs::write(d.path("target"), "").expect("write");
    symlink("target", d.path("link")).expect("symlink");
    assert!(d.mv_gcc(&["hello.c", "-o", "link"]).status.success());
    d.check_hello("link");
}

#[test]
fn modes() {
    let d = Dir::new();
    let bin = d.path("bin").display().to_string();
    let mode = |f: &str| {
        let meta = fs::metadata(d.path(f)).expect("there");
        meta.permissions().mode()
    };
    for umask in ["022", "027", "0222"] {
        d.ok(
            "sh",
            &["-c", &format!("umask {umask}; gcc hello.c -o plain")],
        );
        let link = format!("umask {umask}; gcc -B{bin}/ hello.c -o hybrid");
        d.ok("sh", &["-c", &link]);
        assert_eq!(mode("plain"), mode("hybrid"), "umask {umask}");
        assert!(d.is_hybrid("hybrid"), "umask {umask}");
    }
}

#[test]
fn an_input_of_another_format() {
    let d = Dir::new();
    fs::write(
        d.path("bare.c"),
        "void _start(void) { __asm__(\"mov $60, %eax; mov $5, %edi; syscall\"); }",
    )
    .expect("write");
    fs::write(d.path("data"), "data").expect("write");
    assert!(d.gcc(&["-c", "bare.c"]).status.success());
    for linker in linkers() {
        if linker == "mold" {
            impossible("mold has no --format=binary");
            continue;
        }
        let out = d.run(
            d.path(&format!("bin/ld.{linker}")),
            &["bare.o", "-b", "binary", "data", "-o", "out"],
        );
        assert!(out.status.success(), "{linker}: {}", text(&out));
        assert!(d.is_hybrid("out"), "{linker}");
        assert_eq!(d.run(d.path("out"), &[]).status.code(), Some(5), "{linker}");
    }
}

#[test]
fn choice_of_the_linker() {
    let d = Dir::new();
    let comment = |f: &str| {
        String::from_utf8_lossy(&d.ok("readelf", &["-p", ".comment", f]).stdout).into_owned()
    };
    assert!(d.gcc(&["-c", "hello.c"]).status.success());
    let dir = format!("-B{}/", d.path("bin").display());
    if have("ld.lld") {
        let out = d
            .command("gcc")
            .args([&dir, "hello.o", "-o", "out"])
            .env("MV_LINK_REAL", "ld.lld")
            .output()
            .expect("runs");
        assert!(out.status.success(), "{}", text(&out));
        assert!(comment("out").contains("LLD"));
        d.check_hello("out");
        if have("clang") {
            let path = format!("--ld-path={MV_LINK}");
            let out = d
                .command("clang")
                .args([&path, "hello.c", "-o", "out"])
                .env("MV_LINK_REAL", "ld.lld")
                .output()
                .expect("runs");
            assert!(out.status.success(), "{}", text(&out));
            assert!(d.is_hybrid("out"));
            d.check_hello("out");
        }
    }
    let out = d
        .command("gcc")
        .args([&dir, "hello.o", "-o", "out"])
        .env("MV_LINK_REAL", "/none")
        .output()
        .expect("runs");
    assert!(
        !out.status.success() && text(&out).contains("cannot find the linker '/none'"),
        "{}",
        text(&out)
    );
}

#[test]
fn configuration() {
    let d = Dir::new();
    let link = |config: &str| {
        fs::write(d.path("multiverse.toml"), config).expect("write");
        d.mv_gcc(&["hello.c", "-o", "out", "-Wl,--mv-config=multiverse.toml"])
    };
    assert!(link("[options]\nplatform = 'native'\n").status.success());
    let json = d.ok(MV_LINK, &["--inspect", "out", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["options"]["platform"], "native");
    assert_eq!(json["kind"], "linked");
    d.check_hello("out");
    let _ = fs::remove_file(d.path("out"));
    for (config, says) in [
        (
            "[options]\nplatform = 3\n",
            "multiverse.toml:2:12: this must be a string",
        ),
        (
            "[overrides]\nopen = 'hrt_cycle'\n",
            "multiverse.toml:2:8: unknown kernel function 'hrt_cycle' (did you mean 'hrt_cycles'?)",
        ),
    ] {
        let out = link(config);
        assert!(
            !out.status.success() && text(&out).contains(says),
            "{}",
            text(&out)
        );
        assert!(!exists(&d.path("out")));
    }
}

#[test]
fn survives_the_tools() {
    let d = Dir::new();
    for linker in linkers() {
        for kind in KINDS {
            let choose = format!("-fuse-ld={linker}");
            let mut args = vec!["-g", "hello.c", choose.as_str()];
            args.extend(kind);
            let plain = d.gcc(&[&args[..], &["-o", "plain"]].concat());
            if !plain.status.success() {
                impossible(&format!("gcc {args:?} does not link plainly either"));
                continue;
            }
            let hybrid = d.mv_gcc(&[&args[..], &["-o", "hybrid"]].concat());
            assert!(hybrid.status.success(), "{}", text(&hybrid));
            tools(&d, &format!("{linker} {kind:?}"));
        }
    }
}

/// Puts `hybrid` through what distributions do to executables. What breaks `plain` too is not our doing.
fn tools(d: &Dir, what: &str) {
    for line in [
        "strip OUT",
        "strip --strip-debug OUT",
        "install -s hybrid OUT",
        "objcopy --only-keep-debug OUT OUT.debug && strip --strip-debug OUT && objcopy --add-gnu-debuglink=OUT.debug OUT",
        "objcopy --strip-all OUT",
        // As Racket CS appends its boot files, which are then installed.
        "objcopy --add-section .rackboot=hello.c OUT && strip OUT",
        "patchelf --set-rpath /some/where OUT",
        "patchelf --set-interpreter /lib64/ld-linux-x86-64.so.2 OUT",
    ] {
        if line.starts_with("patchelf") && !have("patchelf") {
            continue;
        }
        let tried = |from: &str, to: &str| {
            let line = line.replace("hybrid", from).replace("OUT", to);
            let done = d.run("sh", &["-c", &format!("cp {from} {to} && {line}")]);
            done.status.success() && d.run(d.path(to), &["x"]).status.code() == Some(7)
        };
        if !tried("plain", "p") {
            impossible(&format!("{what}: '{line}' breaks the plain program too"));
            continue;
        }
        assert!(tried("hybrid", "h"), "{what}: {line}");
        assert!(d.is_hybrid("h"), "{what}: {line}");
        d.check_hello("h");
    }
}

#[test]
fn debuggers_and_packagers() {
    let d = Dir::new();
    assert!(d.mv_gcc(&["-g", "hello.c", "-o", "out"]).status.success());
    if have("gdb") {
        let out = d.ok(
            "gdb",
            &[
                "-batch",
                "-nx",
                "-ex",
                "info symbol main",
                "-ex",
                "info line main",
                "out",
            ],
        );
        let said = text(&out);
        assert!(
            said.contains("main in section .text") && said.contains("hello.c"),
            "{said}"
        );
    }
    if have("dpkg-shlibdeps") {
        fs::create_dir(d.path("debian")).expect("mkdir");
        fs::write(
            d.path("debian/control"),
            "Source: x\n\nPackage: x\nArchitecture: any\n",
        )
        .expect("write");
        let out = d.ok("dpkg-shlibdeps", &["-O", "out"]);
        assert!(text(&out).contains("libc6"), "{}", text(&out));
    }
}

#[test]
fn restored_entry() {
    let d = Dir::new();
    assert!(d.mv_gcc(&["hello.c", "-o", "out"]).status.success());
    d.ok(MV_LINK, &["--strip-hybrid", "out", "-o", "plain"]);
    d.check_hello("plain");
    let said = text(&d.ok(MV_LINK, &["--inspect", "plain"]));
    assert!(said.contains("linked, not active"), "{said}");
    let again = d.run(MV_LINK, &["--strip-hybrid", "plain", "-o", "x"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(!exists(&d.path("x")));
    let again = d.run(MV_LINK, &["--hybridize", "out", "-o", "x"]);
    assert!(
        again.status.code() == Some(1) && text(&again).contains("hybrid already"),
        "{}",
        text(&again)
    );
}

#[test]
fn dies_like_the_linker() {
    let d = Dir::new();
    fs::write(d.path("killer"), "#!/bin/sh\nkill -$SIGNAL $$\n").expect("write");
    fs::set_permissions(d.path("killer"), fs::Permissions::from_mode(0o755)).expect("chmod");
    for (signal, number) in [("SEGV", 11), ("TERM", 15), ("PIPE", 13)] {
        let script = format!("{} x.o; echo $?", d.path("bin/ld").display());
        let out = d
            .command("sh")
            .args(["-c", &script])
            .env("SIGNAL", signal)
            .env("MV_LINK_REAL", d.path("killer"))
            .output()
            .expect("runs");
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            format!("{}\n", 128 + number)
        );
        // A shell's $? does not tell a signal from a status; the kernel does.
        let status = std::process::Command::new(d.path("bin/ld"))
            .arg("x.o")
            .env("SIGNAL", signal)
            .env("MV_LINK_REAL", d.path("killer"))
            .status()
            .expect("runs");
        assert_eq!(status.signal(), Some(number), "{status}");
    }
}

#[test]
fn no_marker_that_programs_search_themselves_for() {
    // Racket CS patches the first match of this in its own executable.
    let marker = b"BooT FilE OffsetS:";
    assert!(
        !mv_link::payload::PAYLOAD
            .windows(marker.len())
            .any(|w| w == marker)
    );
}

#[test]
fn layouts_of_static_programs() {
    let d = Dir::new();
    for linker in linkers() {
        let choose = format!("-fuse-ld={linker}");
        for option in [
            "-Wl,-N",
            "-Wl,-n",
            "-Wl,-q",
            "-Wl,-Ttext=0x1000000",
            "-Wl,-z,nosectionheader",
            "-Wl,--no-rosegment",
            "-mcmodel=large",
        ] {
            let args = [
                "-static", "-fno-pie", "hello.c", "-o", "out", &choose, option,
            ];
            let plain = d.gcc(&args);
            if !plain.status.success() || d.run(d.path("out"), &["x"]).status.code() != Some(7) {
                impossible(&format!("gcc {args:?} makes no program that runs"));
                continue;
            }
            let hybrid = d.mv_gcc(&args);
            assert_eq!(text(&plain), text(&hybrid), "{args:?}");
            assert!(d.is_hybrid("out"), "{args:?}");
            if option == "-Wl,-N" {
                // lld and gold then load no program headers, so that AT_PHDR is 0.
                skip("-N: only native, the hosted platform reads AT_PHDR unchecked");
                d.check_hello_on("out", &["native"]);
            } else {
                d.check_hello("out");
            }
        }
    }
}
