//! The part of Linux's KVM interface that the platform uses (`Documentation/virt/kvm/api.rst`,
//! `arch/x86/include/uapi/asm/kvm.h`): request numbers and structures, with their sizes asserted.

use crate::raw;

/// Requests of ioctl(2).
#[allow(missing_docs)]
pub mod request {
    pub const GET_API_VERSION: usize = 0xae00;
    pub const CREATE_VM: usize = 0xae01;
    pub const CHECK_EXTENSION: usize = 0xae03;
    pub const GET_VCPU_MMAP_SIZE: usize = 0xae04;
    pub const GET_SUPPORTED_CPUID: usize = 0xc008_ae05;
    pub const CREATE_VCPU: usize = 0xae41;
    pub const SET_USER_MEMORY_REGION: usize = 0x4020_ae46;
    pub const RUN: usize = 0xae80;
    pub const GET_SREGS: usize = 0x8138_ae83;
    pub const SET_SREGS: usize = 0x4138_ae84;
    pub const SET_MSRS: usize = 0x4008_ae89;
    pub const SET_CPUID2: usize = 0x4008_ae90;
    pub const GET_XSAVE: usize = 0x9000_aea4;
    pub const SET_XSAVE: usize = 0x5000_aea5;
    pub const SET_XCRS: usize = 0x4188_aea7;
    pub const SET_DEVICE_ATTR: usize = 0x4018_aee1;
}

/// For `CHECK_EXTENSION`: how many memory slots there are (KVM_CAP_NR_MEMSLOTS).
pub const NR_MEMSLOTS: usize = 10;

/// `exit_reason` of [`Run`].
#[allow(missing_docs)]
pub mod exit {
    pub const UNKNOWN: u32 = 0;
    pub const IO: u32 = 2;
    pub const HLT: u32 = 5;
    pub const MMIO: u32 = 6;
    pub const SHUTDOWN: u32 = 8;
    pub const FAIL_ENTRY: u32 = 9;
    pub const INTR: u32 = 10;
    pub const INTERNAL_ERROR: u32 = 17;
}

/// `struct kvm_regs`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct Regs {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}
const _: () = assert!(size_of::<Regs>() == 144);

/// `struct kvm_segment`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct Segment {
    pub base: u64,
    pub limit: u32,
    pub selector: u16,
    pub kind: u8,
    pub present: u8,
    pub dpl: u8,
    pub db: u8,
    pub s: u8,
    pub l: u8,
    pub g: u8,
    pub avl: u8,
    pub unusable: u8,
    pub padding: u8,
}
const _: () = assert!(size_of::<Segment>() == 24);

/// `struct kvm_dtable`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct Table {
    pub base: u64,
    pub limit: u16,
    pub padding: [u16; 3],
}
const _: () = assert!(size_of::<Table>() == 16);

/// `struct kvm_sregs`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct Sregs {
    pub cs: Segment,
    pub ds: Segment,
    pub es: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ss: Segment,
    pub tr: Segment,
    pub ldt: Segment,
    pub gdt: Table,
    pub idt: Table,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
    pub apic_base: u64,
    pub interrupt_bitmap: [u64; 4],
}
const _: () = assert!(size_of::<Sregs>() == 312);

/// `struct kvm_run` up to the synchronized registers, with `io` for the union in its middle.
#[repr(C)]
#[allow(missing_docs)]
pub struct Run {
    pub request_interrupt_window: u8,
    pub immediate_exit: u8,
    pub padding1: [u8; 6],
    pub exit_reason: u32,
    pub ready_for_interrupt_injection: u8,
    pub if_flag: u8,
    pub flags: u16,
    pub cr8: u64,
    pub apic_base: u64,
    pub direction: u8,
    pub size: u8,
    pub port: u16,
    pub count: u32,
    pub data_offset: u64,
    pub rest: [u8; 240],
    pub valid_regs: u64,
    pub dirty_regs: u64,
    pub regs: Regs,
    pub sregs: Sregs,
}
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Run, exit_reason) == 8);
    assert!(offset_of!(Run, direction) == 32);
    assert!(offset_of!(Run, valid_regs) == 288);
    assert!(offset_of!(Run, regs) == 304);
    assert!(offset_of!(Run, sregs) == 304 + 144);
};

/// `KVM_SYNC_X86_REGS`.
pub const SYNC_REGS: u64 = 1;

/// `struct kvm_userspace_memory_region`.
#[repr(C)]
#[allow(missing_docs)]
pub struct MemoryRegion {
    pub slot: u32,
    pub flags: u32,
    pub guest_phys_addr: u64,
    pub memory_size: u64,
    pub userspace_addr: u64,
}
const _: () = assert!(size_of::<MemoryRegion>() == 32);

/// `struct kvm_msrs` with room for five.
#[repr(C)]
#[allow(missing_docs)]
pub struct Msrs {
    pub count: u32,
    pub padding: u32,
    pub entries: [Msr; 5],
}

/// `struct kvm_msr_entry`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Msr {
    pub index: u32,
    pub reserved: u32,
    pub data: u64,
}
const _: () = assert!(size_of::<Msrs>() == 8 + 5 * 16);

/// `struct kvm_xcrs`.
#[repr(C)]
#[allow(missing_docs)]
pub struct Xcrs {
    pub count: u32,
    pub flags: u32,
    pub xcrs: [Xcr; 16],
    pub padding: [u64; 16],
}

/// `struct kvm_xcr`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct Xcr {
    pub xcr: u32,
    pub reserved: u32,
    pub value: u64,
}
const _: () = assert!(size_of::<Xcrs>() == 392);

/// Entries in [`Cpuid`].
pub const CPUID_MAX: usize = 256;

/// `struct kvm_cpuid2`.
#[repr(C)]
#[allow(missing_docs)]
pub struct Cpuid {
    pub count: u32,
    pub padding: u32,
    pub entries: [CpuidEntry; CPUID_MAX],
}

/// `struct kvm_cpuid_entry2`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct CpuidEntry {
    pub function: u32,
    pub index: u32,
    pub flags: u32,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub padding: [u32; 3],
}
const _: () = assert!(size_of::<CpuidEntry>() == 40);

/// `struct kvm_device_attr`.
#[repr(C)]
#[allow(missing_docs)]
pub struct DeviceAttr {
    pub flags: u32,
    pub group: u32,
    pub attr: u64,
    pub addr: u64,
}
const _: () = assert!(size_of::<DeviceAttr>() == 24);

/// ioctl(2).
///
/// # Safety
/// `arg` must be what the request takes: a value, or the address of a structure of its size.
pub unsafe fn ioctl(fd: i32, request: usize, arg: usize) -> isize {
    // SAFETY: the caller's promise.
    unsafe { raw::syscall4(raw::nr::IOCTL, fd as usize, request, arg, 0) }
}
