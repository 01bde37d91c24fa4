//! Gives the payload binary its freestanding link: no libc, position-independent, laid out by `payload.ld`.

fn main() {
    println!("cargo:rerun-if-changed=payload.ld");
    println!("cargo:rerun-if-changed=src/stub.S");
    let dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    for arg in [
        // The linker script is written for GNU ld; rustc may bring another one.
        "-fuse-ld=bfd",
        "-nostartfiles",
        "-nostdlib",
        "-static-pie",
        "-Wl,--no-dynamic-linker",
        "-Wl,-z,norelro",
        "-Wl,-z,noexecstack",
        "-Wl,--build-id=none",
        "-Wl,--gc-sections",
        "-Wl,--no-warn-rwx-segments",
        "-Wl,-z,text",
        &format!("-Wl,-T,{dir}/payload.ld"),
    ] {
        println!("cargo:rustc-link-arg-bin=payload={arg}");
    }
}
