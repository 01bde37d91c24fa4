//! Says which platform a hybrid would choose on this machine, and why: a table of what the platforms need.

use hrt_abi::kvm::{API_VERSION, CAPABILITIES, DESCRIPTORS};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::fmt;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The interface of /dev/kvm (linux/kvm.h; Linux, `Documentation/virt/kvm/api.rst`).
mod kvm {
    pub const GET_API_VERSION: libc::Ioctl = 0xae00;
    pub const CREATE_VM: libc::Ioctl = 0xae01;
    pub const CHECK_EXTENSION: libc::Ioctl = 0xae03;
    pub const CREATE_VCPU: libc::Ioctl = 0xae41;
    pub const SET_USER_MEMORY_REGION: libc::Ioctl = 0x4020_ae46;
    pub const HAS_DEVICE_ATTR: libc::Ioctl = 0x4018_aee3;
}
/// `AT_HWCAP2` bit: user code may use `wrfsbase` and the like (arch/x86/include/uapi/asm/hwcap2.h).
const HWCAP2_FSGSBASE: usize = 1 << 1;

/// What this machine can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The platform that `HRT_PLATFORM=auto` takes.
    pub platform: &'static str,
    /// Why, one reason each.
    pub reasons: Vec<String>,
    /// Release of the Linux kernel.
    pub kernel: String,
    /// What was looked at.
    pub probes: Vec<Probe>,
}

/// Something that a platform needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// What.
    pub name: String,
    /// Who needs it.
    pub needed: Needed,
    /// Whether it is there.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it, where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Who needs something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needed {
    /// `kvm`.
    Kvm,
    /// `auto`, to take `kvm`.
    Auto,
    /// `hosted`.
    Hosted,
    /// Nobody: it makes things faster.
    Speed,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Ok,
    /// It is not.
    Missing,
    /// That could not be seen, for want of something before it.
    Untried,
}

/// Looks at this machine, as this process.
pub fn examine() -> Report {
    let uname = rustix::system::uname();
    let mut probes = kvm_probes();
    probes.extend(other_probes());
    let (platform, reasons) = choose(&probes);
    Report {
        platform,
        reasons,
        kernel: uname.release().to_string_lossy().into_owned(),
        probes,
    }
}

/// The platform that `auto` takes, and why.
fn choose(probes: &[Probe]) -> (&'static str, Vec<String>) {
    let lacking = |who: Needed| {
        probes
            .iter()
            .find(|p| p.needed == who && p.state != State::Ok)
    };
    let mut reasons = Vec::new();
    match (lacking(Needed::Kvm), lacking(Needed::Auto)) {
        (None, None) => {
            reasons.push("kvm: everything that it needs is there".into());
            return ("kvm", reasons);
        }
        (Some(p), _) => reasons.push(format!("kvm: cannot run: {}: {}", p.name, p.found)),
        (None, Some(p)) => reasons.push(format!(
            "kvm: runs with HRT_PLATFORM=kvm, but auto does not take it: {}: {}",
            p.name, p.found
        )),
    }
    match lacking(Needed::Hosted) {
        None => {
            reasons.push("hosted: everything that it needs is there".into());
            ("hosted", reasons)
        }
        Some(p) => {
            reasons.push(format!("hosted: cannot run: {}: {}", p.name, p.found));
            reasons.push("native: plain Linux".into());
            ("native", reasons)
        }
    }
}

fn ok(name: &str, needed: Needed, found: impl Into<String>) -> Probe {
    Probe {
        name: name.into(),
        needed,
        state: State::Ok,
        found: found.into(),
        remedy: None,
    }
}

fn missing(name: &str, needed: Needed, found: impl Into<String>, remedy: &str) -> Probe {
    Probe {
        state: State::Missing,
        remedy: Some(remedy.into()),
        ..ok(name, needed, found)
    }
}

/// `present` decides.
fn either(name: &str, needed: Needed, present: bool, found: [&str; 2], remedy: &str) -> Probe {
    if present {
        ok(name, needed, found[0])
    } else {
        missing(name, needed, found[1], remedy)
    }
}

/// A page that a memory slot is made of.
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// What /dev/kvm can do, step by step, up to a VM with memory and a virtual CPU.
fn kvm_probes() -> Vec<Probe> {
    let mut probes = Vec::new();
    let mut page = Box::new(Page([0; 4096]));
    if try_kvm(&mut probes, &mut page).is_none() {
        // What was not reached.
        let names = [
            "KVM's interface",
            "a VM",
            "a memory slot",
            "a virtual CPU",
            "time stamp",
        ];
        let names: Vec<&str> = names
            .into_iter()
            .filter(|n| !probes.iter().any(|p: &Probe| p.name == *n))
            .collect();
        probes.extend(names.into_iter().map(|name| Probe {
            state: State::Untried,
            ..ok(name, Needed::Kvm, "not tried")
        }));
    }
    probes
}

/// Adds one probe after the other; `None` where no more can be tried.
fn try_kvm(probes: &mut Vec<Probe>, page: &mut Page) -> Option<()> {
    const NAME: &str = "/dev/kvm";
    let device = match rustix::fs::open(
        NAME,
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty(),
    ) {
        Ok(fd) => fd,
        Err(e) => {
            let remedy = match e {
                rustix::io::Errno::NOENT | rustix::io::Errno::NODEV | rustix::io::Errno::NXIO => {
                    "load the module kvm_intel or kvm_amd; to a container, give the device (--device /dev/kvm)"
                }
                rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => {
                    "add the user to the group of /dev/kvm (usermod -aG kvm NAME), and log in again"
                }
                rustix::io::Errno::MFILE | rustix::io::Errno::NFILE => "raise ulimit -n",
                _ => "see what it is: ls -l /dev/kvm",
            };
            let found = format!("does not open: {}", Error::from(e));
            probes.push(missing(NAME, Needed::Kvm, found, remedy));
            return None;
        }
    };
    probes.push(ok(NAME, Needed::Kvm, "opens"));

    // SAFETY: of the requests made so, none takes a pointer.
    let ask = |fd: &OwnedFd, request, arg: libc::c_ulong| unsafe {
        libc::ioctl(fd.as_raw_fd(), request, arg)
    };
    const INTERFACE: &str = "KVM's interface";
    match ask(&device, kvm::GET_API_VERSION, 0) {
        API_VERSION => probes.push(ok(INTERFACE, Needed::Kvm, "version 12")),
        v if v < 0 => {
            let found = format!("does not answer: {}", Error::last_os_error());
            let remedy = "it is no KVM device, or a jail (seccomp) forbids ioctl";
            probes.push(missing(INTERFACE, Needed::Kvm, found, remedy));
            return None;
        }
        v => {
            let found = format!("version {v}");
            probes.push(missing(
                INTERFACE,
                Needed::Kvm,
                found,
                "version 12 is needed",
            ));
            return None;
        }
    }
    for c in CAPABILITIES {
        let have = ask(&device, kvm::CHECK_EXTENSION, c.number as libc::c_ulong);
        probes.push(if c.is_in(have as isize) {
            ok(c.name, Needed::Kvm, format!("since Linux {}", c.since))
        } else {
            let remedy = format!("Linux {} or later", c.since);
            missing(c.name, Needed::Kvm, "not in this KVM", &remedy)
        });
    }

    // SAFETY: a descriptor that was just made, and is nobody else's.
    let owned = |fd: libc::c_int| (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) });
    const NO_ROOM: &str = "free memory, raise ulimit -n, or end other programs that use the processor's virtualization";
    let Some(vm) = owned(ask(&device, kvm::CREATE_VM, 0)) else {
        let found = format!("cannot be made: {}", Error::last_os_error());
        probes.push(missing("a VM", Needed::Kvm, found, NO_ROOM));
        return None;
    };
    probes.push(ok("a VM", Needed::Kvm, "can be made"));

    // struct kvm_userspace_memory_region: slot and flags, guest address, size, address
    let mut region = [
        0u64,
        0,
        size_of::<Page>() as u64,
        page.0.as_mut_ptr() as u64,
    ];
    // SAFETY: a complete structure. No CPU of this VM ever runs, and the page lives longer than the VM.
    let r = unsafe {
        libc::ioctl(
            vm.as_raw_fd(),
            kvm::SET_USER_MEMORY_REGION,
            region.as_mut_ptr(),
        )
    };
    probes.push(if r == 0 {
        ok("a memory slot", Needed::Kvm, "can be made")
    } else {
        let found = format!("cannot be made: {}", Error::last_os_error());
        missing("a memory slot", Needed::Kvm, found, NO_ROOM)
    });

    let Some(cpu) = owned(ask(&vm, kvm::CREATE_VCPU, 0)) else {
        let found = format!("cannot be made: {}", Error::last_os_error());
        probes.push(missing("a virtual CPU", Needed::Kvm, found, NO_ROOM));
        return None;
    };
    probes.push(ok("a virtual CPU", Needed::Kvm, "can be made"));

    // struct kvm_device_attr: flags and group (KVM_VCPU_TSC_CTRL), attribute (KVM_VCPU_TSC_OFFSET), address
    let mut attr = [0u64; 3];
    // SAFETY: a complete structure; the request only asks whether there is such an attribute.
    let r = unsafe { libc::ioctl(cpu.as_raw_fd(), kvm::HAS_DEVICE_ATTR, attr.as_mut_ptr()) };
    probes.push(either(
        "time stamp",
        Needed::Kvm,
        r == 0,
        ["its offset can be set", "its offset cannot be set"],
        "Linux 5.16 or later",
    ));
    Some(())
}

fn other_probes() -> Vec<Probe> {
    let (_, hwcap2) = rustix::param::linux_hwcap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut probes = Vec::new();

    let maps = std::fs::read("/proc/self/maps").is_ok_and(|text| !text.is_empty());
    probes.push(either(
        "/proc/self/maps",
        Needed::Kvm,
        maps,
        ["tells what is mapped", "is not there"],
        "mount /proc",
    ));
    let files = getrlimit(Resource::Nofile).current;
    let found = files.map_or("unlimited".into(), |n| n.to_string());
    probes.push(if files.is_none_or(|n| n >= DESCRIPTORS) {
        ok("RLIMIT_NOFILE", Needed::Auto, found)
    } else {
        missing(
            "RLIMIT_NOFILE",
            Needed::Auto,
            found,
            "128 or more: raise ulimit -n",
        )
    });

    probes.push(match cpu_virtualization(&cpuinfo) {
        Some(flag) => ok("ring 0", Needed::Auto, format!("by hardware ({flag})")),
        None => missing(
            "ring 0",
            Needed::Auto,
            "emulated: neither vmx nor svm among the CPU's flags",
            "switch virtualization on in the firmware; a virtual machine must be given it (nested virtualization). \
             By name, kvm runs programs in ring 3 without it",
        ),
    });
    probes.push(match seccomp_mode(&status) {
        Some(0) => ok("seccomp", Needed::Auto, "none"),
        mode => missing(
            "seccomp",
            Needed::Auto,
            match mode {
                None => "unknown",
                Some(1) => "strict",
                Some(_) => "a filter",
            },
            "it may end a process that tries kvm: start it without, or take HRT_PLATFORM=kvm",
        ),
    });
    let space = getrlimit(Resource::As).current;
    probes.push(match space {
        None => ok("RLIMIT_AS", Needed::Auto, "unlimited"),
        Some(n) => missing(
            "RLIMIT_AS",
            Needed::Auto,
            format!("{n} bytes, of which the VM's tables would take some"),
            "ulimit -v unlimited, or take HRT_PLATFORM=kvm",
        ),
    });

    probes.push(either(
        "Syscall User Dispatch",
        Needed::Hosted,
        has_sud(),
        [
            "since Linux 5.11",
            "not in this Linux, or a jail forbids it",
        ],
        "Linux 5.11 or later; seccomp must allow prctl",
    ));
    probes.push(either(
        "FSGSBASE",
        Needed::Speed,
        hwcap2 & HWCAP2_FSGSBASE != 0,
        [
            "since Linux 5.9",
            "not here: a system call more for each thread",
        ],
        "Linux 5.9 or later, on a processor that has it",
    ));
    probes
}

fn has_sud() -> bool {
    const PR_SET_SYSCALL_USER_DISPATCH: libc::c_int = 59;
    const PR_SYS_DISPATCH_OFF: libc::c_ulong = 0;
    let zero: libc::c_ulong = 0;
    // SAFETY: switches off what is off; no argument is a pointer. A kernel without it answers EINVAL.
    unsafe {
        libc::prctl(
            PR_SET_SYSCALL_USER_DISPATCH,
            PR_SYS_DISPATCH_OFF,
            zero,
            zero,
            zero,
        ) == 0
    }
}

fn seccomp_mode(status: &str) -> Option<u32> {
    status
        .lines()
        .find_map(|l| l.strip_prefix("Seccomp:"))?
        .trim()
        .parse()
        .ok()
}

fn cpu_virtualization(cpuinfo: &str) -> Option<&'static str> {
    let flags = cpuinfo.lines().find(|l| l.starts_with("flags"))?;
    ["vmx", "svm"]
        .into_iter()
        .find(|f| flags.split_whitespace().any(|w| w == *f))
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Needed::Kvm => "kvm",
            Needed::Auto => "kvm by auto",
            Needed::Hosted => "hosted",
            Needed::Speed => "(faster)",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Ok => "ok",
            State::Missing => "missing",
            State::Untried => "?",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "HRT_PLATFORM=auto takes: {}", self.platform)?;
        for r in &self.reasons {
            writeln!(f, "  {r}")?;
        }
        writeln!(f, "\nLinux {}", self.kernel)?;
        writeln!(f, "  {:22}  {:11}  {:7}  found", "what", "needed for", "")?;
        for p in &self.probes {
            writeln!(
                f,
                "  {:22}  {:11}  {:7}  {}",
                p.name, p.needed, p.state, p.found
            )?;
            if let Some(remedy) = &p.remedy {
                writeln!(f, "  {:22}  {:11}  {:7}  -> {remedy}", "", "", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing() {
        assert_eq!(
            seccomp_mode("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"),
            Some(2)
        );
        assert_eq!(seccomp_mode(""), None);
        assert_eq!(
            cpu_virtualization("flags\t\t: fpu svm_lock svm\n"),
            Some("svm")
        );
        assert_eq!(cpu_virtualization("flags\t\t: fpu svm_lock\n"), None);
    }

    #[test]
    fn choice() {
        let all = [Needed::Kvm, Needed::Auto, Needed::Hosted, Needed::Speed];
        let with = |lacking: &[Needed]| {
            let probes: Vec<Probe> = all
                .into_iter()
                .map(|n| either("x", n, !lacking.contains(&n), ["yes", "no"], "do this"))
                .collect();
            choose(&probes)
        };
        assert_eq!(with(&[]).0, "kvm");
        assert_eq!(with(&[Needed::Speed]).0, "kvm");
        assert_eq!(with(&[Needed::Kvm]).0, "hosted");
        let (platform, reasons) = with(&[Needed::Auto]);
        assert_eq!(platform, "hosted");
        assert!(reasons[0].contains("HRT_PLATFORM=kvm"), "{reasons:?}");
        let (platform, reasons) = with(&[Needed::Auto, Needed::Hosted]);
        assert_eq!(platform, "native");
        assert!(reasons.iter().any(|r| r == "hosted: cannot run: x: no"));
    }

    #[test]
    fn table() {
        let r = examine();
        let text = r.to_string();
        for p in &r.probes {
            assert!(text.contains(&p.name) && text.contains(&p.found), "{text}");
            assert_eq!(p.state == State::Missing, p.remedy.is_some(), "{p:?}");
        }
        // Every step of KVM is in the table, tried or not.
        for name in [
            "/dev/kvm",
            "KVM's interface",
            "a VM",
            "a virtual CPU",
            "ring 0",
        ] {
            assert!(r.probes.iter().any(|p| p.name == name), "{text}");
        }
    }
}
