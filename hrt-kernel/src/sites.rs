//! Where a system-call site can be patched, decided on bytes alone.
//!
//! Only two kinds of patch are made, and both replace exactly one instruction by one instruction. So no thread, signal
//! frame or jump target can ever be in the middle of a patch, and a site may be patched while other threads run it:
//!
//! * the `mov $nr, %eax` before the `syscall` becomes `jmp rel32`; the `syscall` itself stays for whoever jumps there;
//! * the two bytes of `syscall` become `jmp rel8` to a *springboard*: a long `nop` within reach, whose SIB and
//!   displacement bytes (which the processor ignores) hold a `jmp rel32`. Falling through the `nop` is still a `nop`.

/// `syscall`.
pub const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// A way to patch a site. Offsets are from the start of the code given to [`plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Overwrite five bytes at `at` with `jmp rel32` to the number's own entry; execution resumes after the `syscall`.
    Mov {
        /// Offset of the `mov`.
        at: usize,
    },
    /// Write `jmp rel32` into five bytes at `pad`, then `jmp rel8` to it over the `syscall`.
    Springboard {
        /// Offset of the springboard's `jmp rel32`.
        pad: usize,
    },
}

/// A `mov $nr, %eax` or `mov $nr, %rax` that ends at `site`, if the bytes say so and agree with the number `nr` that
/// was in `%rax` when the site was seen to execute.
///
/// The system call that returns from a signal is left out: unwinders know it by its bytes.
#[must_use]
pub fn mov_before(code: &[u8], site: usize, nr: u64) -> Option<usize> {
    const RT_SIGRETURN: u64 = 15;
    if nr >= 512 || nr == RT_SIGRETURN {
        return None;
    }
    let imm = (nr as u32).to_le_bytes();
    // mov $imm32, %rax: 48 c7 c0 imm32
    if let Some(at) = site.checked_sub(7) {
        if code.get(at..at + 3)? == [0x48, 0xc7, 0xc0] && code.get(at + 3..site)? == imm {
            return Some(at);
        }
    }
    // mov $imm32, %eax: b8 imm32; after a REX prefix, 0f or a ModRM-bearing opcode the b8 would mean something else
    let at = site.checked_sub(5)?;
    if *code.get(at)? != 0xb8 || code.get(at + 1..site)? != imm {
        return None;
    }
    match at.checked_sub(1).and_then(|p| code.get(p)) {
        Some(0x40..=0x4f | 0x0f) | None => None,
        Some(_) => Some(at),
    }
}

/// A springboard that a two-byte jump at `site` reaches: offset of the five free bytes of a long `nop`.
#[must_use]
pub fn springboard(code: &[u8], site: usize) -> Option<usize> {
    // nopw/nopl disp32(%rax,%rax,1): [66]* [2e] 0f 1f 84 00 00 00 00 00
    const NOP: [u8; 8] = [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
    let from = (site + 2).saturating_sub(128 + 3);
    let to = (site + 2 + 127 + 5).min(code.len());
    let window = code.get(from..to)?;
    let mut best: Option<usize> = None;
    for (i, w) in window.windows(8).enumerate() {
        if w != NOP {
            continue;
        }
        let pad = from + i + 3;
        let reach = pad as isize - (site as isize + 2);
        if !(-128..=127).contains(&reach) {
            continue;
        }
        // The nearest, preferably one whose five bytes lie within eight aligned ones: see `one_store`.
        if best.is_none_or(|b| b.abs_diff(site) > pad.abs_diff(site)) {
            best = Some(pad);
        }
    }
    best
}

/// How to patch the `syscall` at offset `site` of `code`, which was seen to execute with `nr` in `%rax`.
#[must_use]
pub fn plan(code: &[u8], site: usize, nr: u64) -> Option<Plan> {
    if code.get(site..site + 2)? != SYSCALL {
        return None;
    }
    if let Some(at) = mov_before(code, site, nr) {
        return Some(Plan::Mov { at });
    }
    springboard(code, site).map(|pad| Plan::Springboard { pad })
}

/// True if `len` bytes at `addr` can be written by one aligned store of eight bytes, which other processors see
/// whole or not at all.
#[must_use]
pub const fn one_store(addr: usize, len: usize) -> bool {
    addr % 8 + len <= 8
}

/// `jmp rel32` from `at` to `to`, if it reaches.
#[must_use]
pub fn jmp32(at: usize, to: usize) -> Option<[u8; 5]> {
    let rel = (to as i64).checked_sub(at as i64)?.checked_sub(5)?;
    let rel = i32::try_from(rel).ok()?.to_le_bytes();
    Some([0xe9, rel[0], rel[1], rel[2], rel[3]])
}

/// `jmp rel8` from `at` to `to`, if it reaches.
#[must_use]
pub fn jmp8(at: usize, to: usize) -> Option<[u8; 2]> {
    let rel = (to as i64).checked_sub(at as i64)?.checked_sub(2)?;
    Some([0xeb, i8::try_from(rel).ok()? as u8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mov_is_found() {
        // glibc's getpid: endbr64-less padding, mov $0x27,%eax; syscall; ret
        let code = [0x90, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3];
        assert_eq!(plan(&code, 6, 0x27), Some(Plan::Mov { at: 1 }));
        // the number in %rax disagrees: these bytes are not what set it
        assert_eq!(plan(&code, 6, 0x28), None);
    }

    #[test]
    fn a_rex_prefix_makes_it_another_register() {
        let code = [0x41, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3]; // mov $0x27,%r8d
        assert_eq!(plan(&code, 6, 0x27), None);
    }

    #[test]
    fn the_long_mov_is_found_but_not_sigreturn() {
        let code = [0x48, 0xc7, 0xc0, 0x60, 0, 0, 0, 0x0f, 0x05];
        assert_eq!(plan(&code, 7, 0x60), Some(Plan::Mov { at: 0 }));
        let code = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
        assert_eq!(plan(&code, 7, 0x0f), None);
    }

    #[test]
    fn a_long_nop_is_a_springboard() {
        // xor %eax,%eax; syscall; ret; cs nopw 0(%rax,%rax,1)
        let code = [
            0x31, 0xc0, 0x0f, 0x05, 0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x90,
        ];
        assert_eq!(plan(&code, 2, 0), Some(Plan::Springboard { pad: 10 }));
        // a used one no longer looks free
        let mut used = code;
        used[10] = 0xe9;
        assert_eq!(plan(&used, 2, 0), None);
    }

    #[test]
    fn springboards_reach_as_far_as_a_byte() {
        for distance in 0..300usize {
            for before in [false, true] {
                let mut code = vec![0xccu8; 700];
                let site = 350;
                code[site..site + 2].copy_from_slice(&SYSCALL);
                let at = if before {
                    site - 8 - distance
                } else {
                    site + 2 + distance
                };
                code[at..at + 8].copy_from_slice(&[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]);
                let pad = at + 3;
                match plan(&code, site, 0) {
                    Some(Plan::Springboard { pad: p }) => {
                        assert_eq!(p, pad);
                        assert!(jmp8(site, pad).is_some());
                    }
                    Some(other) => panic!("{other:?}"),
                    None => assert!(jmp8(site, pad).is_none(), "missed at {at}"),
                }
            }
        }
    }

    #[test]
    fn edges_do_not_panic() {
        for len in 0..20 {
            let code = vec![0x0fu8; len];
            for site in 0..len + 3 {
                let _ = plan(&code, site, 1);
            }
        }
        assert_eq!(plan(&[0x0f, 0x05], 0, 1), None);
    }

    #[test]
    fn jumps() {
        assert_eq!(jmp32(0x1000, 0x1005), Some([0xe9, 0, 0, 0, 0]));
        assert_eq!(jmp32(0x1000, 0x1_0000_0000), None);
        assert_eq!(jmp8(0x1000, 0x0f82), Some([0xeb, 0x80]));
        assert_eq!(jmp8(0x1000, 0x1082), None);
        assert!(one_store(0x1003, 5) && !one_store(0x1004, 5));
    }
}
