//! How much memory there is for this process: the machine's, or what a memory cgroup leaves of it (cgroups(7)).

use crate::raw::{self, nr};
use core::sync::atomic::{AtomicUsize, Ordering};
use hrt_kernel::cgroups::{self, Hierarchy};

/// Bytes; 0: not yet asked.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of memory that the process can have at most, as it was when this was first asked.
pub fn bytes() -> usize {
    match BYTES.load(Ordering::Relaxed) {
        0 => {
            let bytes = machine().min(cgroup().unwrap_or(usize::MAX));
            BYTES.store(bytes, Ordering::Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

/// Bytes of the machine's memory.
fn machine() -> usize {
    // struct sysinfo (sysinfo(2)): uptime, three loads, totalram, …; mem_unit is the last word's lower half.
    let mut info = [0usize; 14];
    // SAFETY: struct sysinfo has 112 bytes.
    unsafe { raw::syscall4(nr::SYSINFO, info.as_mut_ptr() as usize, 0, 0, 0) };
    let unit = (info[13] & 0xffff_ffff).max(1);
    info[4].saturating_mul(unit)
}

/// The least of the limits of the process's cgroups.
fn cgroup() -> Option<usize> {
    let mut text = [0u8; 4096];
    let len = read(b"/proc/self/cgroup\0", &mut text)?;
    cgroups::groups(&text[..len])
        .filter_map(|(hierarchy, group)| limit(hierarchy, group))
        .min()
}

/// The least of the limits of a group and of those around it.
fn limit(hierarchy: Hierarchy, group: &[u8]) -> Option<usize> {
    let Hierarchy { mount, file } = hierarchy;
    let mut path = [0u8; 512];
    let mut end = mount.len() + group.len();
    path.get_mut(..end + file.len())?;
    path[..mount.len()].copy_from_slice(mount);
    path[mount.len()..end].copy_from_slice(group);
    let mut least = None;
    while end >= mount.len() {
        path[end..end + file.len()].copy_from_slice(file);
        let mut text = [0u8; 32];
        if let Some(len) = read(&path, &mut text) {
            let digits = text[..len].trim_ascii();
            let number = core::str::from_utf8(digits)
                .ok()
                .and_then(|s| s.parse().ok());
            least = [least, number].into_iter().flatten().min();
        }
        end = path[..end].iter().rposition(|c| *c == b'/')?;
    }
    least
}

/// Reads the beginning of the file at `path`, which ends with a NUL; the bytes read.
fn read(path: &[u8], into: &mut [u8]) -> Option<usize> {
    const O_CLOEXEC: usize = 0o2_000_000;
    // SAFETY: the path ends with a NUL; the descriptor is ours; writes at most the slice.
    unsafe {
        let fd = raw::syscall4(nr::OPEN, path.as_ptr() as usize, O_CLOEXEC, 0, 0);
        if raw::is_err(fd) {
            return None;
        }
        let n = raw::syscall4(
            nr::PREAD64,
            fd as usize,
            into.as_mut_ptr() as usize,
            into.len(),
            0,
        );
        raw::syscall4(nr::CLOSE, fd as usize, 0, 0, 0);
        usize::try_from(n).ok()
    }
}
