//! `docs/api.md` is what the header says, in another form: this makes it, and fails where the two differ. `HRT_BLESS=1` writes it.

use std::fmt::Write;
use std::path::Path;

/// One comment of the header with the declarations that follow it.
#[derive(Default)]
struct Entry {
    comment: String,
    code: Vec<String>,
}

/// The text of a comment, joined to one paragraph for each of its own.
fn text(lines: &[&str]) -> String {
    let mut out = String::new();
    let mut code = false;
    for line in lines {
        let line = line
            .trim_start()
            .trim_start_matches("/*")
            .trim_end()
            .trim_end_matches("*/")
            .trim_end();
        let body = line.strip_prefix('*').unwrap_or(line);
        let indented = body.starts_with("     ");
        let body = body.trim();
        if body.is_empty() {
            out.push_str("\n\n");
            code = false;
        } else if indented {
            let _ = write!(out, "\n\n    {body}\n\n");
            code = true;
        } else {
            if !out.is_empty() && !out.ends_with('\n') && !code {
                out.push(' ');
            }
            out.push_str(body);
            code = false;
        }
    }
    out.trim().replace('*', "\\*")
}

/// A declaration without its body.
fn declaration(line: &str) -> String {
    let line = line
        .trim_start_matches("static inline ")
        .trim_start_matches("extern ");
    match line.find(") {") {
        Some(at) => format!("{};", &line[..=at]),
        None => line.to_owned(),
    }
}

fn document(header: &str) -> String {
    let mut out = String::from(
        "# The kernel's API\n\n\
         Made from `hrt-runtime-shim/api/hrt.h` (`HRT_BLESS=1 cargo test -p hrt --test document`). The crate `hrt` beside it has the same for Rust:\n\
         `cargo doc -p hrt`.\n",
    );
    let lines: Vec<&str> = header.lines().collect();
    let mut at = lines
        .iter()
        .position(|l| l.starts_with("#define HRT_ENOTSUP"))
        .expect("the header begins so")
        - 1;
    let mut entries: Vec<Entry> = Vec::new();
    while at < lines.len() {
        let line = lines[at];
        if line.starts_with("/*") {
            let start = at;
            while !lines[at].contains("*/") {
                at += 1;
            }
            at += 1;
            let comment = text(&lines[start..at]);
            entries.push(Entry {
                comment,
                code: Vec::new(),
            });
            continue;
        }
        at += 1;
        let wanted = [
            "static inline ",
            "typedef ",
            "struct ",
            "enum ",
            "#define HRT_",
        ];
        let internal = [
            "hrt_cached(",
            "hrt_absent(",
            "struct hrt_late",
            "define HRT_CALL_",
            "define HRT_ARG",
        ];
        let numbers = line == "enum {" && lines[at].contains("HRT_FN_");
        let skipped =
            numbers || internal.iter().any(|i| line.contains(i)) && !line.contains("return HRT");
        let Some(entry) = entries.last_mut() else {
            continue;
        };
        if skipped || !wanted.iter().any(|w| line.starts_with(w)) {
            while numbers && !lines[at - 1].ends_with("};") {
                at += 1;
            }
            continue;
        }
        entry.code.push(declaration(line));
        let opens = line.ends_with('{');
        let function = line.starts_with("static inline ");
        while opens && !lines[at].starts_with('}') {
            if !function {
                entry.code.push(lines[at].to_owned());
            }
            at += 1;
        }
        if opens {
            if !function {
                entry.code.push(lines[at].to_owned());
            }
            at += 1;
        }
    }
    for Entry { comment, code } in entries {
        if let Some(rest) = comment.strip_prefix("---- ") {
            let (title, rest) = rest.split_once(" ----").expect("a title between dashes");
            let _ = write!(out, "\n## {title}\n");
            if !rest.trim().is_empty() {
                let _ = write!(out, "\n{}\n", rest.trim());
            }
        } else if !code.is_empty() {
            let _ = write!(out, "\n{comment}\n");
        }
        if !code.is_empty() {
            let _ = write!(out, "\n```c\n{}\n```\n", code.join("\n"));
        }
    }
    out
}

#[test]
fn the_page_is_what_the_header_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = std::fs::read_to_string(root.join("hrt.h")).expect("the header");
    let page = root.join("../../docs/api.md");
    let wanted = document(&header);
    for name in [
        "hrt_thread_create",
        "hrt_mutex_lock",
        "hrt_init",
        "hrt_set_fault_handler",
    ] {
        assert!(wanted.contains(name), "{name} is missing");
    }
    if std::env::var_os("HRT_BLESS").is_some() {
        std::fs::write(&page, &wanted).expect("the page can be written");
    }
    let have = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        have == wanted,
        "docs/api.md is not what hrt.h says: HRT_BLESS=1 cargo test -p hrt --test document writes it"
    );
}
