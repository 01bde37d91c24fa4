//! Builds the payload and the entry stub, and hands both to the crate as bytes.
//!
//! The payload is the freestanding binary of `hrt-runtime-shim`, built by the same cargo in a target directory of its
//! own, flattened to `header, image, relocations` (see `hrt_abi::PayloadHeader`). The stub is assembled from `stub.S`.

use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The largest payload that is accepted, in bytes of the file.
const MAX_PAYLOAD: usize = 256 * 1024;
const PAGE: u64 = 4096;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let manifest =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let root = manifest.parent().expect("the crate lies in the workspace");
    for dir in [
        "hrt-kernel/src",
        "hrt-kernel/abi/src",
        "hrt-runtime-shim/src",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(dir).display());
    }
    for file in [
        "Cargo.toml",
        "Cargo.lock",
        "hrt-kernel/Cargo.toml",
        "hrt-kernel/abi/Cargo.toml",
        "hrt-runtime-shim/Cargo.toml",
        "hrt-runtime-shim/build.rs",
        "hrt-runtime-shim/payload.ld",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(file).display());
    }

    let binary = build_payload(root, &out);
    let elf = fs::read(&binary).unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
    let blob = flatten(&elf);
    assert!(
        blob.len() <= MAX_PAYLOAD,
        "the payload has {} bytes, more than {MAX_PAYLOAD}",
        blob.len()
    );
    fs::write(out.join("payload.bin"), blob).expect("OUT_DIR is writable");
    fs::write(out.join("stub.bin"), stub(root)).expect("OUT_DIR is writable");
}

/// Builds the freestanding binary; returns its path.
fn build_payload(root: &Path, out: &Path) -> PathBuf {
    let target = out.join("payload-target");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "-p",
            "hrt-runtime-shim",
            "--bin",
            "payload",
        ])
        .args(["--features", "payload", "--profile", "payload"])
        .arg("--target-dir")
        .arg(&target);
    // What the outer build was told must not leak into this one: the same sources give the same payload, whether mv-link
    // itself is built for release, tests or coverage.
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let keep = ["CARGO_HOME", "CARGO_NET_OFFLINE"].contains(&text)
            || text.starts_with("CARGO_REGISTR");
        if !keep
            && (text.starts_with("CARGO_")
                || text.starts_with("RUSTC")
                || text == "RUSTFLAGS"
                || text == "MAKEFLAGS")
        {
            command.env_remove(&name);
        }
    }
    // Baseline x86-64 only; frame pointers for the backtrace of a panic; paths of this machine stay out of its messages.
    let remap = format!(
        "--remap-path-prefix={}=. --remap-path-prefix={}=cargo",
        root.display(),
        env::var("CARGO_HOME")
            .unwrap_or_else(|_| format!("{}/.cargo", env::var("HOME").unwrap_or_default()))
    );
    command.env(
        "RUSTFLAGS",
        format!(
            "-Crelocation-model=pie -Cforce-unwind-tables=no -Cforce-frame-pointers=yes {remap}"
        ),
    );
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "building the payload failed: {status}");
    target.join("payload/payload")
}

/// The stub's section, as `stub.S` has it.
fn stub(root: &Path) -> Vec<u8> {
    let source = root.join("hrt-runtime-shim/src/stub.S");
    let objects = cc::Build::new()
        .file(&source)
        .cargo_metadata(false)
        .debug(false)
        .compile_intermediates();
    let [path] = &objects[..] else {
        panic!("one source gives one object")
    };
    let bytes = fs::read(path).expect("the stub's object was just written");
    let file = object::File::parse(&*bytes).expect("the assembler writes ELF");
    let section = file
        .section_by_name(hrt_abi::STUB_SECTION)
        .expect("stub.S has the section");
    assert_eq!(
        section.relocations().count(),
        0,
        "the stub must need no relocation"
    );
    section.data().expect("the section has contents").to_vec()
}

/// Makes the blob of the linked binary.
fn flatten(elf: &[u8]) -> Vec<u8> {
    let file = object::File::parse(elf).expect("the linker writes ELF");
    let symbols: HashMap<&str, u64> = file
        .symbols()
        .filter_map(|s| Some((s.name().ok()?, s.address())))
        .collect();
    let symbol = |name: &str| {
        *symbols
            .get(name)
            .unwrap_or_else(|| panic!("payload.ld defines {name}"))
    };
    let text_end = symbol("__hrt_text_end");
    let data_start = symbol("__hrt_data_start");
    let image_end = symbol("__hrt_image_end");
    let mem_end = symbol("__hrt_mem_end");
    for (what, at) in [
        ("text end", text_end),
        ("data start", data_start),
        ("end", mem_end),
    ] {
        assert_eq!(at % PAGE, 0, "{what} at {at:#x}");
    }

    let mut image = vec![0u8; usize::try_from(image_end).expect("small")];
    for s in file.sections() {
        let (start, data) = (s.address(), s.data().expect("readable"));
        let object::SectionFlags::Elf { sh_flags, .. } = s.flags() else {
            panic!("not ELF")
        };
        if sh_flags.0 & object::elf::SHF_ALLOC.0 == 0 || start >= image_end || data.is_empty() {
            continue;
        }
        let start = usize::try_from(start).expect("small");
        image[start..start + data.len()].copy_from_slice(data);
    }

    let mut places = Vec::new();
    for (at, r) in file.dynamic_relocations().into_iter().flatten() {
        let RelocationFlags::Elf { r_type } = r.flags() else {
            panic!("not ELF")
        };
        assert_eq!(
            r_type,
            object::elf::R_X86_64_RELATIVE,
            "relocation at {at:#x}"
        );
        let place = usize::try_from(at).expect("small");
        // Only what is not executable is written after the copy.
        assert!(
            at >= text_end && at + 8 <= image_end,
            "relocation at {at:#x}"
        );
        image[place..place + 8].copy_from_slice(&r.addend().to_le_bytes());
        places.push(u32::try_from(at).expect("small"));
    }
    places.sort_unstable();

    let small = |v: u64| u32::try_from(v).expect("small");
    let image_offset = 64u32;
    let image_size = small(image.len() as u64);
    let reloc_offset = (image_offset + image_size).next_multiple_of(4);
    let mut version = [0u8; 16];
    let text = env!("CARGO_PKG_VERSION").as_bytes();
    version[..text.len()].copy_from_slice(text);

    let mut blob = Vec::new();
    blob.extend(hrt_abi::PAYLOAD_MAGIC);
    for v in [
        hrt_abi::ABI_VERSION,
        image_offset,
        image_size,
        small(mem_end),
        small(symbol("hrt_payload_entry")),
        0,
        small(text_end),
        reloc_offset,
        small(places.len() as u64),
        small(data_start),
    ] {
        blob.extend(v.to_le_bytes());
    }
    blob.extend(version);
    assert_eq!(blob.len(), image_offset as usize);
    blob.extend(image);
    blob.resize(reloc_offset as usize, 0);
    for p in places {
        blob.extend(p.to_le_bytes());
    }
    blob
}
