//! Says which platform a hybrid would choose on this machine, and why.

use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use std::fmt;

/// Whether the payload that this version carries has the `kvm` platform.
const PAYLOAD_HAS_KVM: bool = false;
/// `ioctl` request (linux/kvm.h).
const KVM_GET_API_VERSION: libc::Ioctl = 0xae00;
/// The only API version there is (linux, Documentation/virt/kvm/api.rst).
const KVM_API_VERSION: i32 = 12;
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
    /// Syscall User Dispatch (`prctl(2)`, since Linux 5.11).
    pub syscall_user_dispatch: bool,
    /// Seccomp mode of this process: 0 none, 1 strict, 2 filter.
    pub seccomp: Option<u32>,
    /// The FS base can be set without a system call.
    pub fsgsbase: bool,
    /// Hardware virtualization: "vmx", "svm" or none.
    pub virtualization: Option<&'static str>,
    /// `/dev/kvm`.
    pub kvm: Kvm,
}

/// What became of opening `/dev/kvm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Kvm {
    /// It opens and has this API version.
    Usable {
        /// The version.
        api_version: i32,
    },
    /// It cannot be used.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// Looks at this machine, as this process.
pub fn examine() -> Report {
    let uname = rustix::system::uname();
    let (_, hwcap2) = rustix::param::linux_hwcap();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut report = Report {
        platform: "native",
        reasons: Vec::new(),
        kernel: uname.release().to_string_lossy().into_owned(),
        syscall_user_dispatch: has_sud(),
        seccomp: seccomp_mode(&status),
        fsgsbase: hwcap2 & HWCAP2_FSGSBASE != 0,
        virtualization: cpu_virtualization(&cpuinfo),
        kvm: open_kvm(),
    };
    (report.platform, report.reasons) = choose(&report);
    report
}

/// The platform that `auto` takes, and why.
fn choose(r: &Report) -> (&'static str, Vec<String>) {
    let mut reasons = Vec::new();
    reasons.push(match &r.kvm {
        Kvm::Usable { .. } if !PAYLOAD_HAS_KVM => {
            "kvm: /dev/kvm works, but this version has no kvm platform yet".into()
        }
        Kvm::Usable { .. } => "kvm: /dev/kvm works".into(),
        Kvm::Unusable { reason } => format!("kvm: {reason}"),
    });
    if PAYLOAD_HAS_KVM && matches!(r.kvm, Kvm::Usable { .. }) {
        return ("kvm", reasons);
    }
    if r.syscall_user_dispatch {
        reasons.push("hosted: the kernel has Syscall User Dispatch".into());
        if r.seccomp.is_some_and(|m| m != 0) {
            reasons.push("hosted: this process is under seccomp, which may forbid what it needs; then native is taken".into());
        }
        return ("hosted", reasons);
    }
    reasons.push("hosted: no Syscall User Dispatch (Linux 5.11 or later, not forbidden by seccomp): plain Linux it is".into());
    ("native", reasons)
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

fn open_kvm() -> Kvm {
    let unusable = |reason: String| Kvm::Unusable { reason };
    let fd = match rustix::fs::open("/dev/kvm", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(e) => {
            return unusable(format!(
                "/dev/kvm does not open: {}",
                std::io::Error::from(e)
            ));
        }
    };
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open, and this request takes no pointer.
    let version = unsafe { libc::ioctl(fd.as_raw_fd(), KVM_GET_API_VERSION, 0) };
    match version {
        KVM_API_VERSION => Kvm::Usable {
            api_version: version,
        },
        v if v < 0 => unusable(format!(
            "/dev/kvm is no KVM: {}",
            std::io::Error::last_os_error()
        )),
        v => unusable(format!(
            "/dev/kvm has API version {v} instead of {KVM_API_VERSION}"
        )),
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |b| if b { "yes" } else { "no" };
        writeln!(f, "HRT_PLATFORM=auto takes: {}", self.platform)?;
        for r in &self.reasons {
            writeln!(f, "  {r}")?;
        }
        writeln!(f, "Linux:                   {}", self.kernel)?;
        writeln!(
            f,
            "Syscall User Dispatch:   {}",
            yes(self.syscall_user_dispatch)
        )?;
        let seccomp = match self.seccomp {
            None => "unknown",
            Some(0) => "none",
            Some(1) => "strict",
            Some(_) => "filter",
        };
        writeln!(f, "seccomp:                 {seccomp}")?;
        writeln!(f, "FSGSBASE:                {}", yes(self.fsgsbase))?;
        writeln!(
            f,
            "virtualization:          {}",
            self.virtualization.unwrap_or("not in the CPU's flags")
        )?;
        match &self.kvm {
            Kvm::Usable { api_version } => {
                writeln!(f, "/dev/kvm:                API version {api_version}")
            }
            Kvm::Unusable { reason } => writeln!(f, "/dev/kvm:                {reason}"),
        }
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
        let mut r = examine();
        r.syscall_user_dispatch = true;
        assert_eq!(choose(&r).0, "hosted");
        r.syscall_user_dispatch = false;
        assert_eq!(choose(&r).0, "native");
        assert!(!r.to_string().is_empty());
    }
}
