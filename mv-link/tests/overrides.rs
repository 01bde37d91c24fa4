//! Overrides: what a configuration file says, found in the program, reported, and executed.

mod common;

use common::{Dir, KINDS, MV_LINK, exists, impossible, linkers, text};
use serde_json::Value;
use std::fs;

/// Prints what its own function, a local one and the C library's say; with overrides it says nothing else.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
__attribute__((noinline)) void *zeroes(int tag, size_t n) { return calloc(tag ? 1 : 2, n); }
__attribute__((noinline, noclone)) static long local(long *t) { return *t = 1; }
int main(void) {
    char *p = zeroes(3, 100), *q = malloc(2000000);
    long t = 0;
    memset(q, 1, 2000000);
    q = realloc(q, 3000000);
    printf("%d %d %d\n", p[99], q[1999999], local(&t) == t && t > 0);
    free(p);
    free(q);
    return 7;
}
"#;

const CONFIG: &str = "sets = ['malloc']\n[overrides]\n\
    zeroes = { function = 'hrt_calloc', args = [{ constant = 1 }, 1] }\nlocal = 'hrt_seconds'\n\
    [syscalls]\nptrace = { deny = 'EPERM' }\n[memory]\npolicy = 'arena'\n";

fn dir() -> Dir {
    let d = Dir::new();
    fs::write(d.path("p.c"), PROGRAM).expect("write");
    fs::write(d.path("c.toml"), CONFIG).expect("write");
    d
}

/// Runs it and checks what it prints, and how often each override was called.
fn check(d: &Dir, file: &str, what: &str) {
    for platform in ["hosted", "native"] {
        let stats = d.path("stats.json");
        let _ = fs::remove_file(&stats);
        let out = d
            .command(d.path(file))
            .env("HRT_PLATFORM", platform)
            .env("HRT_STATS", &stats)
            .output()
            .expect("runs");
        if out.status.code() == Some(125) {
            common::skip(&format!("{platform} cannot run here: {}", text(&out)));
            continue;
        }
        assert_eq!(
            out.status.code(),
            Some(7),
            "{what} on {platform}: {}",
            text(&out)
        );
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "0 1 1\n",
            "{what} on {platform}"
        );
        if platform == "native" {
            assert!(!exists(&stats));
            continue;
        }
        let line: Value =
            serde_json::from_slice(&fs::read(&stats).expect("statistics")).expect("JSON");
        for name in ["zeroes", "local", "realloc"] {
            assert_eq!(
                line["overrides"][name]["calls"], 1,
                "{what}: {name}: {line}"
            );
        }
        assert!(
            line["overrides"]["malloc"]["calls"].as_u64() >= Some(1),
            "{what}: {line}"
        );
        assert!(
            line["overrides"]["free"]["places"].as_u64() >= Some(1),
            "{what}: {line}"
        );
    }
}

#[test]
fn linked_and_rewritten() {
    let d = dir();
    for linker in linkers() {
        for kind in KINDS {
            let choose = format!("-fuse-ld={linker}");
            let mut args = vec!["-O1", "p.c", choose.as_str()];
            args.extend(kind);
            let what = format!("{args:?}");
            if !d
                .gcc(&[&args[..], &["-o", "plain"]].concat())
                .status
                .success()
            {
                impossible(&format!("gcc {what} does not link plainly either"));
                continue;
            }
            let linked = [&args[..], &["-o", "linked", "-Wl,--mv-config=c.toml"]].concat();
            let out = d.mv_gcc(&linked);
            assert!(
                out.status.success() && out.stderr.is_empty(),
                "{what}: {}",
                text(&out)
            );
            check(&d, "linked", &what);
            fs::rename(d.path("linked"), d.path("first")).expect("rename");
            assert!(d.mv_gcc(&linked).status.success());
            assert!(
                d.same("linked", "first"),
                "{what}: not the same bytes again"
            );
            // Names may go once the functions are found.
            d.ok("strip", &["linked"]);
            check(&d, "linked", &what);

            d.ok(
                MV_LINK,
                &[
                    "--hybridize",
                    "plain",
                    "-o",
                    "rewritten",
                    "--config",
                    "c.toml",
                ],
            );
            check(&d, "rewritten", &what);
            d.ok(MV_LINK, &["--strip-hybrid", "rewritten", "-o", "back"]);
            assert!(d.same("plain", "back"), "{what}");
        }
    }
}

#[test]
fn inspected() {
    let d = dir();
    let out = d.mv_gcc(&["-O1", "p.c", "-o", "out", "-Wl,--mv-config=c.toml"]);
    assert!(out.status.success(), "{}", text(&out));
    let json = d.ok(MV_LINK, &["--inspect", "out", "--json"]).stdout;
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["overrides"]["free"], "hrt_free");
    assert_eq!(json["overrides"]["zeroes"]["function"], "hrt_calloc");
    assert_eq!(json["overrides"]["zeroes"]["args"][0]["constant"], 1);
    assert_eq!(json["overrides"]["zeroes"]["args"][1], 1);
    assert_eq!(json["syscalls"]["ptrace"]["deny"], "EPERM");
    assert_eq!(json["policies"]["memory"], "arena");
    let text = d.ok(MV_LINK, &["--inspect", "out"]).stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("zeroes = { args = [{ constant = 1 }, 1], function = \"hrt_calloc\" }"),
        "{text}"
    );
    assert!(
        text.contains("system calls:    ptrace = { deny = \"EPERM\" }"),
        "{text}"
    );
    // Without a configuration there is nothing of one.
    assert!(d.mv_gcc(&["-O1", "p.c", "-o", "bare"]).status.success());
    let text = d.ok(MV_LINK, &["--inspect", "bare"]).stdout;
    assert!(String::from_utf8_lossy(&text).ends_with("overrides:       none\n"));
}

#[test]
fn mistakes() {
    let d = dir();
    fs::write(
        d.path("twice.c"),
        "static int f(void) { return 1; } int g(void); int main(void) { return f() + g(); }\n",
    )
    .expect("write");
    fs::write(
        d.path("more.c"),
        "static int f(void) { return 2; } int g(void) { return f(); }\n",
    )
    .expect("write");
    let link = |config: &str, args: &[&str]| {
        fs::write(d.path("m.toml"), config).expect("write");
        let _ = fs::remove_file(d.path("out"));
        let out = d.mv_gcc(&[args, &["-O0", "-o", "out", "-Wl,--mv-config=m.toml"]].concat());
        assert_eq!(out.status.success(), exists(&d.path("out")), "{config}");
        (out.status.success(), text(&out))
    };
    for (config, args, says) in [
        (
            "[overrides]\nzeros = 'hrt_cycles'\n",
            &["p.c"][..],
            "m.toml:2:1: the program has no function 'zeros', and imports none (did you mean 'zeroes'?) (optional = true",
        ),
        (
            "[overrides]\nopenat = 'hrt_cycles'\n",
            &["p.c"],
            "m.toml:2:1: the program has no function 'openat'",
        ),
        (
            "[overrides]\nf = 'hrt_cycles'\n",
            &["twice.c", "more.c"],
            "m.toml:2:1: the program has 2 functions called 'f'",
        ),
        (
            "sets = ['malloc']\n",
            &["p.c", "-static", "-s"],
            "the program has no symbol table; link without -s",
        ),
        (
            "[overrides]\nzeroes = 'hrt_cycles'\n",
            &["p.c", "-s"],
            "m.toml:2:1: cannot look for 'zeroes': the program has no symbol table",
        ),
        (
            "[overrides]\nmemalign = 'hrt_memalign'\naligned_alloc = 'hrt_cycles'\n",
            &["p.c", "-static"],
            "are one function in this program, and cannot become two",
        ),
    ] {
        let (linked, said) = link(config, args);
        assert!(!linked && said.contains(says), "{config}: {said}");
    }
    // A function that is shorter than a jump, with another one right behind it.
    fs::write(
        d.path("short.s"),
        ".globl short\n.type short,@function\nshort: ret\n.size short,.-short\n.globl next\n.type next,@function\nnext: xor %eax,%eax\nret\n\
         .size next,.-next\n.section .note.GNU-stack\n",
    )
    .expect("write");
    let (linked, said) = link("[overrides]\nshort = 'hrt_cycles'\n", &["p.c", "short.s"]);
    assert!(
        !linked && said.contains("'short' has 1 bytes, too few for a jump"),
        "{said}"
    );
    for config in [
        "[overrides]\nopenat = { function = 'hrt_cycles', optional = true }\n",
        // What is imported is found when the libraries are loaded.
        "[overrides]\nprintf = { function = 'hrt_cycles', args = [] }\n",
    ] {
        let (linked, said) = link(config, &["p.c"]);
        assert!(linked, "{config}: {said}");
    }
}

#[test]
fn found_beside_the_build() {
    let d = dir();
    fs::create_dir(d.path(".git")).expect("mkdir");
    fs::create_dir(d.path("build")).expect("mkdir");
    fs::write(
        d.path("multiverse.toml"),
        "programs = ['out', 'other*']\n[overrides]\nzeroes = 'hrt_malloc'\n",
    )
    .expect("write");
    let overridden = |output: &str| {
        let dir = format!("-B{}/", d.path("bin").display());
        let out = d
            .command("gcc")
            .current_dir(d.path("build"))
            .args([&dir, "-O0", "../p.c", "-o", output])
            .output()
            .expect("gcc");
        assert!(
            out.status.success() && out.stderr.is_empty(),
            "{output}: {}",
            text(&out)
        );
        let json = d
            .ok(
                MV_LINK,
                &["--inspect", &format!("build/{output}"), "--json"],
            )
            .stdout;
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        json["overrides"]
            .as_object()
            .map_or(0, serde_json::Map::len)
    };
    assert_eq!(overridden("out"), 1);
    assert_eq!(overridden("otherwise"), 1);
    assert_eq!(overridden("helper"), 0);
    assert_eq!(overridden("conftest"), 0);
    // For all programs: but build systems' trials have other functions, and must not fail for it.
    fs::write(
        d.path("multiverse.toml"),
        "[overrides]\nnot_there = 'hrt_cycles'\nzeroes = 'hrt_malloc'\n",
    )
    .expect("write");
    assert_eq!(overridden("conftest"), 0);
    assert_eq!(overridden("cmTC_1a2b3"), 0);
    assert_eq!(overridden("a.out"), 2);
    // A nearer one is taken instead.
    fs::write(d.path("build/multiverse.toml"), "").expect("write");
    assert_eq!(overridden("out"), 0);
}
