//! `--hybridize` and `--strip-hybrid`.

mod common;

use common::{Dir, KINDS, MV_LINK, exists, have, impossible, linkers, skip, text};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Hybridizes `file`; says whether its program headers stayed in place. Checks that it can be undone.
fn hybridize(d: &Dir, file: &str) -> bool {
    let out = d.ok(MV_LINK, &["--hybridize", file, "-o", "hybrid"]);
    assert!(
        d.is_hybrid("hybrid"),
        "{}",
        text(&d.run(MV_LINK, &["--inspect", "hybrid"]))
    );
    d.ok(MV_LINK, &["--strip-hybrid", "hybrid", "-o", "back"]);
    assert!(
        d.same(file, "back"),
        "{file}: not byte for byte the original"
    );
    out.stderr.is_empty()
}

#[test]
fn every_kind() {
    let d = Dir::new();
    for linker in linkers() {
        for kind in KINDS {
            let choose = format!("-fuse-ld={linker}");
            let args = [&["-g", "hello.c", "-o", "plain", choose.as_str()][..], kind].concat();
            if !d.gcc(&args).status.success() {
                impossible(&format!("gcc {args:?} does not link"));
                continue;
            }
            let in_place = hybridize(&d, "plain");
            d.check_hello("hybrid");
            for line in [
                "strip OUT",
                "strip --strip-debug OUT",
                "objcopy --strip-all OUT",
                "patchelf --set-rpath /some/where OUT",
            ] {
                if !in_place && !line.starts_with("patchelf") {
                    skip(&format!(
                        "{linker} {kind:?}: program headers moved, '{line}' is known to break that"
                    ));
                    continue;
                }
                if line.starts_with("patchelf") && !have("patchelf") {
                    continue;
                }
                let tried = |from: &str, to: &str| {
                    let done = d.run(
                        "sh",
                        &[
                            "-c",
                            &format!("cp {from} {to} && {}", line.replace("OUT", to)),
                        ],
                    );
                    done.status.success() && d.run(d.path(to), &["x"]).status.code() == Some(7)
                };
                if !tried("plain", "p") {
                    impossible(&format!(
                        "{linker} {kind:?}: '{line}' breaks the plain program too"
                    ));
                    continue;
                }
                assert!(tried("hybrid", "h"), "{linker} {kind:?}: {line}");
                assert!(d.is_hybrid("h"), "{linker} {kind:?}: {line}");
                d.check_hello("h");
                let undo = d.run(MV_LINK, &["--strip-hybrid", "h", "-o", "no"]);
                assert!(
                    undo.status.code() == Some(1) && text(&undo).contains("changed after"),
                    "{}",
                    text(&undo)
                );
                assert!(!exists(&d.path("no")));
            }
        }
    }
}

#[test]
fn stripped_and_without_sections() {
    let d = Dir::new();
    for kind in KINDS {
        assert!(
            d.gcc(&[&["-s", "hello.c", "-o", "plain"][..], kind].concat())
                .status
                .success()
        );
        hybridize(&d, "plain");
        d.check_hello("hybrid");
        // No section headers: e_shoff, e_shnum and e_shstrndx are zero.
        let mut bytes = fs::read(d.path("plain")).expect("read");
        bytes[40..48].fill(0);
        bytes[60..64].fill(0);
        fs::write(d.path("bare"), &bytes).expect("write");
        fs::set_permissions(d.path("bare"), fs::Permissions::from_mode(0o755)).expect("chmod");
        hybridize(&d, "bare");
        d.check_hello("hybrid");
    }
}

#[test]
fn big_bss() {
    let d = Dir::new();
    let c = fs::read_to_string(d.path("hello.c")).expect("read");
    for size in ["100000", "(64 << 20)"] {
        let c = c
            .replace("int unused", &format!("char big[{size}];\nint unused"))
            .replace("return 7", "return big[argc] + 7");
        fs::write(d.path("big.c"), c).expect("write");
        for kind in KINDS {
            assert!(
                d.gcc(&[&["big.c", "-o", "plain"][..], kind].concat())
                    .status
                    .success()
            );
            hybridize(&d, "plain");
            d.check_hello("hybrid");
            let size = fs::metadata(d.path("hybrid")).expect("there").len();
            assert!(size < 18 << 20, "{size}");
        }
    }
}

#[test]
fn appended_data() {
    let d = Dir::new();
    let c = r#"
#include <stdio.h>
#include <string.h>
int main(void) {
    char b[8] = {0};
    FILE *f = fopen("/proc/self/exe", "rb");
    fseek(f, -7, SEEK_END);
    fread(b, 1, 7, f);
    puts(b);
    return strcmp(b, "TRAILER") ? 1 : 0;
}
"#;
    fs::write(d.path("end.c"), c).expect("write");
    assert!(d.gcc(&["end.c", "-o", "plain"]).status.success());
    let mut bytes = fs::read(d.path("plain")).expect("read");
    bytes.extend(b"some data, then a TRAILER");
    fs::write(d.path("plain"), bytes).expect("write");
    hybridize(&d, "plain");
    let out = d.run(d.path("hybrid"), &[]);
    assert!(out.status.success(), "{}", text(&out));
}

#[test]
fn musl_and_go() {
    let d = Dir::new();
    if have("musl-gcc") {
        for flags in [&[][..], &["-static"], &["-static-pie", "-fPIE"]] {
            let args = [&["hello.c", "-o", "plain"][..], flags].concat();
            let out = d.run("musl-gcc", &args);
            if !out.status.success() || d.run(d.path("plain"), &["x"]).status.code() != Some(7) {
                impossible(&format!(
                    "musl-gcc {flags:?} makes no program that runs here"
                ));
                continue;
            }
            hybridize(&d, "plain");
            d.check_hello("hybrid");
        }
    }
    if have("go") {
        fs::write(d.path("hello.go"), "package main\nimport (\"fmt\"; \"os\")\nfunc main() { fmt.Println(\"go\", len(os.Args)); os.Exit(7) }\n").expect("write");
        let cache = d.path("cache");
        let built = d
            .command("go")
            .args(["build", "-o", "plain", "hello.go"])
            .env("GOCACHE", &cache)
            .env("GOFLAGS", "-mod=mod")
            .env("GO111MODULE", "off")
            .env("HOME", d.dir.path())
            .output()
            .expect("runs");
        if !built.status.success() {
            skip(&format!("go does not build: {}", text(&built)));
            return;
        }
        assert!(
            hybridize(&d, "plain"),
            "Go leaves room behind its program headers"
        );
        for platform in ["native", "auto"] {
            let out = d
                .command(d.path("hybrid"))
                .arg("x")
                .env("HRT_PLATFORM", platform)
                .output()
                .expect("runs");
            assert!(
                out.status.code() == Some(7) && out.stdout == b"go 2\n",
                "{platform}: {}",
                text(&out)
            );
        }
    }
}

#[test]
fn modes() {
    let d = Dir::new();
    assert!(d.gcc(&["hello.c", "-o", "plain"]).status.success());
    for (mode, want) in [(0o700, 0o700), (0o4755, 0o755), (0o2711, 0o711)] {
        fs::set_permissions(d.path("plain"), fs::Permissions::from_mode(mode)).expect("chmod");
        d.ok(MV_LINK, &["--hybridize", "plain", "-o", "hybrid"]);
        let got = fs::metadata(d.path("hybrid"))
            .expect("there")
            .permissions()
            .mode()
            & 0o7777;
        assert_eq!(got, want, "{mode:o}");
    }
}

#[test]
fn refusals() {
    let d = Dir::new();
    assert!(d.gcc(&["hello.c", "-o", "plain"]).status.success());
    d.ok(MV_LINK, &["--hybridize", "plain", "-o", "hybrid"]);
    assert!(d.gcc(&["-c", "hello.c", "-o", "object.o"]).status.success());
    assert!(
        d.gcc(&["-shared", "-fPIC", "hello.c", "-o", "lib.so"])
            .status
            .success()
    );
    let elf = fs::read(d.path("plain")).expect("read");
    let change = |name: &str, at: usize, with: &[u8]| {
        let mut b = elf.clone();
        b[at..at + with.len()].copy_from_slice(with);
        fs::write(d.path(name), b).expect("write");
    };
    change("elf32", 4, &[1]);
    change("big", 5, &[2]);
    change("arm", 18, &[183]);
    change("phdrs", 32, &[0xff; 8]);
    change("entry", 24, &[0xff; 8]);
    fs::write(d.path("cut"), &elf[..elf.len() / 2]).expect("write");
    fs::write(d.path("empty"), "").expect("write");
    fs::write(d.path("script"), "#!/bin/sh\n").expect("write");
    for (file, says) in [
        ("hybrid", "a hybrid already"),
        ("object.o", "not an executable"),
        ("lib.so", "no entry point"),
        ("elf32", "64-bit"),
        ("big", "little-endian"),
        ("arm", "another machine"),
        ("phdrs", "program header table"),
        ("entry", "entry point"),
        ("cut", "past the end"),
        ("empty", "not an ELF"),
        ("script", "not an ELF"),
        ("none", "cannot read"),
        ("/dev/null", "not a regular file"),
    ] {
        let out = d.run(MV_LINK, &["--hybridize", file, "-o", "x"]);
        assert_eq!(out.status.code(), Some(1), "{file}: {}", text(&out));
        assert!(text(&out).contains(says), "{file}: {}", text(&out));
        assert!(out.stdout.is_empty() && !exists(&d.path("x")), "{file}");
        if file != "hybrid" {
            for mode in [
                &["--inspect", file][..],
                &["--strip-hybrid", file, "-o", "x"],
            ] {
                let out = d.run(MV_LINK, mode);
                assert_eq!(out.status.code(), Some(1), "{mode:?}: {}", text(&out));
                assert!(!exists(&d.path("x")), "{mode:?}");
            }
        }
    }
    let out = d.run(MV_LINK, &["--inspect", "plain"]);
    assert!(
        out.status.code() == Some(1) && text(&out).contains("not a hybrid"),
        "{}",
        text(&out)
    );
}

#[test]
fn doctor() {
    let d = Dir::new();
    let out = d.ok(MV_LINK, &["--doctor"]);
    assert!(
        text(&out).contains("HRT_PLATFORM=auto takes: "),
        "{}",
        text(&out)
    );
    let json: serde_json::Value =
        serde_json::from_slice(&d.ok(MV_LINK, &["--doctor", "--json"]).stdout).expect("JSON");
    assert!(json["platform"].is_string() && json["reasons"].is_array());
    assert!(json["probes"].as_array().is_some_and(|p| p.len() > 10));

    // It says what `auto` really does.
    assert!(
        d.mv_gcc(&["-pie", "-fPIE", "hello.c", "-o", "hello"])
            .status
            .success()
    );
    let stats = d.path("stats");
    let hello = d
        .command(d.path("hello"))
        .env("HRT_STATS", &stats)
        .output()
        .expect("runs");
    assert_eq!(hello.status.code(), Some(7), "{}", text(&hello));
    let taken = std::fs::read_to_string(&stats)
        .ok()
        .and_then(|line| serde_json::from_str::<serde_json::Value>(&line).ok())
        .map_or("native".into(), |line| line["platform"].clone());
    assert_eq!(json["platform"], taken, "{}", text(&out));
}
