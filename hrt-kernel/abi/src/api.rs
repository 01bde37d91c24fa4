//! The kernel's API as programs reach it (`hrt.h`): one system call that Linux does not have, with an operation.
//!
//! On a platform without the kernel it answers ENOSYS, as every unknown call: so a program needs no symbol of ours, and
//! runs anywhere.

/// Number of the call ("HRT" and a zero).
pub const CALL: usize = 0x4852_5400;

/// Operations, the call's first argument.
pub mod op {
    /// Fills the [`super::Info`] at the second argument, whose size is the third; returns the bytes filled.
    pub const INFO: usize = 0;
    /// The address at which the kernel sees guest-physical address (second argument).
    pub const PHYSICAL: usize = 1;
    /// Sets the calling thread's handler (second argument; 0: none) for page faults in the range at the third
    /// argument of as many bytes as the fourth says.
    pub const FAULT_HANDLER: usize = 2;
    /// The address of the kernel function (`crate::functions`) whose number is the second argument.
    pub const FUNCTION: usize = 3;
    /// The kernel's own page tables, if it has any, lose what they say of as many bytes as the third argument says from the second on.
    pub const UNMERGE: usize = 4;
    /// The kernel takes the signal by which it preempts kernel threads; 0, or EBUSY. For the payload's own use.
    pub const PREEMPT: usize = 5;
    /// Signals of the thread that its carrier leaves are for the process, and the carrier's mask is the second argument; 0. For the payload's own use.
    pub const HAND_OVER: usize = 6;
    /// ld.so has loaded or unloaded libraries; returns 0. For the payload's own use.
    pub const LIBRARIES_CHANGED: usize = 64;
    /// The server of posted calls is to be woken, on `kvm`. For the payload's own use.
    pub const SERVER: usize = 65;
    /// Makes posted calls of the queue at the second argument up to the ticket that is the third; a fourth that is not 0: only what the server may
    /// make; on `kvm`. For the payload's own use.
    pub const CALLS: usize = 66;
}

/// What the kernel is and does here.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// [`crate::ABI_VERSION`].
    pub abi: u32,
    /// 1: kvm, 2: hosted.
    pub platform: u32,
    /// Ring of the program.
    pub ring: u32,
    /// 1 if ring 0 is emulated.
    pub emulated: u32,
}
const _: () = assert!(size_of::<Info>() == 16);

/// What a page-fault handler gets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The address (CR2).
    pub address: u64,
    /// The error code (Intel SDM 3A, 4.7).
    pub error: u64,
    /// Where the program is.
    pub rip: u64,
    /// Its stack pointer.
    pub rsp: u64,
}
const _: () = assert!(size_of::<Fault>() == 32);

/// Page-table entry bit, free for software, that keeps the kernel from changing the entry by itself.
pub const ENTRY_OWNED: u64 = 1 << 9;
