//! What the `kvm` platform needs of Linux: asked for by the payload at start, and by `mv-link --doctor`.

/// The version of KVM's interface (Linux, `Documentation/virt/kvm/api.rst`).
pub const API_VERSION: i32 = 12;

/// Something that KVM may have (KVM_CHECK_EXTENSION).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// As Linux calls it.
    pub name: &'static str,
    /// Its number.
    pub number: usize,
    /// Bits that the answer must have; 1: it must be positive.
    pub bits: i32,
    /// The Linux that brought it.
    pub since: &'static str,
    /// What is wrong without it.
    pub missing: &'static str,
}

impl Capability {
    /// True if KVM has it, which gave `answer`.
    #[must_use]
    pub fn is_in(&self, answer: isize) -> bool {
        answer > 0 && (self.bits == 1 || answer & self.bits as isize == self.bits as isize)
    }
}

/// What is needed.
pub const CAPABILITIES: [Capability; 5] = [
    Capability {
        name: "KVM_CAP_USER_MEMORY",
        number: 3,
        bits: 1,
        since: "2.6.24",
        missing: "KVM cannot map the process's memory",
    },
    Capability {
        name: "KVM_CAP_XSAVE",
        number: 55,
        bits: 1,
        since: "2.6.36",
        missing: "KVM cannot save vector state",
    },
    Capability {
        name: "KVM_CAP_XCRS",
        number: 56,
        bits: 1,
        since: "2.6.36",
        missing: "KVM cannot set XCR0",
    },
    Capability {
        name: "KVM_CAP_SYNC_REGS",
        number: 74,
        // General and system registers.
        bits: 3,
        since: "4.17",
        missing: "KVM has no synchronized registers (they came with Linux 4.17)",
    },
    Capability {
        name: "KVM_CAP_IMMEDIATE_EXIT",
        number: 136,
        bits: 1,
        since: "4.11",
        missing: "KVM has no immediate exit (it came with Linux 4.11)",
    },
];

/// With fewer descriptors (RLIMIT_NOFILE) a program would miss those that the kernel takes, and `auto` passes `kvm` by.
pub const DESCRIPTORS: u64 = 128;
