//! What a seccomp filter says of a system call (seccomp(2); Linux, `Documentation/networking/filter.rst`): classic BPF,
//! as far as filters look at the call's number and architecture only.

/// One instruction (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Operation.
    pub code: u16,
    /// Jump if true.
    pub jt: u8,
    /// Jump if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}
const _: () = assert!(size_of::<Insn>() == 8);

/// `AUDIT_ARCH_X86_64`.
pub const ARCH: u32 = 0xc000_003e;

/// The verdict of `filter` on call `nr` (`SECCOMP_RET_*`), or `None` if it depends on more than number and architecture.
#[must_use]
pub fn verdict(filter: &[Insn], nr: u32) -> Option<u32> {
    let mut a = 0u32;
    let mut at = 0usize;
    loop {
        let i = filter.get(at)?;
        at += 1;
        let jump = |yes: bool| usize::from(if yes { i.jt } else { i.jf });
        match i.code {
            // BPF_LD | BPF_W | BPF_ABS: offsets in struct seccomp_data
            0x20 => {
                a = match i.k {
                    0 => nr,
                    4 => ARCH,
                    _ => return None,
                }
            }
            0x05 => at += usize::try_from(i.k).ok()?, // BPF_JMP | BPF_JA
            0x15 => at += jump(a == i.k),             // BPF_JEQ
            0x25 => at += jump(a > i.k),              // BPF_JGT
            0x35 => at += jump(a >= i.k),             // BPF_JGE
            0x45 => at += jump(a & i.k != 0),         // BPF_JSET
            0x54 => a &= i.k,                         // BPF_ALU | BPF_AND
            0x06 => return Some(i.k),                 // BPF_RET | BPF_K
            _ => return None,
        }
    }
}

/// True if the verdict lets the call pass, or cannot be told.
#[must_use]
pub fn allows(filter: &[Insn], nr: u32) -> bool {
    const ALLOW: u32 = 0x7fff_0000;
    const LOG: u32 = 0x7ffc_0000;
    verdict(filter, nr).is_none_or(|v| [ALLOW, LOG].contains(&(v & 0xffff_0000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    #[test]
    fn a_list_of_numbers() {
        let f = [
            insn(0x20, 0, 0, 4),
            insn(0x15, 1, 0, ARCH),
            insn(0x06, 0, 0, 0),
            insn(0x20, 0, 0, 0),
            insn(0x15, 2, 0, 0),
            insn(0x15, 1, 0, 231),
            insn(0x06, 0, 0, 0x8000_0000),
            insn(0x06, 0, 0, 0x7fff_0000),
        ];
        assert!(allows(&f, 0) && allows(&f, 231));
        assert!(!allows(&f, 15));
        assert_eq!(verdict(&f, 15), Some(0x8000_0000));
    }

    #[test]
    fn arguments_are_not_known() {
        let f = [insn(0x20, 0, 0, 16), insn(0x06, 0, 0, 0)];
        assert_eq!(verdict(&f, 15), None);
        assert!(allows(&f, 15));
    }

    #[test]
    fn nonsense_ends() {
        assert_eq!(verdict(&[], 1), None);
        assert_eq!(verdict(&[insn(0x05, 0, 0, u32::MAX)], 1), None);
        assert_eq!(verdict(&[insn(0x15, 255, 255, 0)], 1), None);
    }
}
