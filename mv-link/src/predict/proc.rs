//! What /proc tells of a stopped process.

use super::sys::Pid;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Bytes of a large page.
const LARGE: u64 = 2 << 20;
/// A range longer than this is looked up in smaps: in pagemap, holes cost as much as memory.
const PAGEMAP_MAX: u64 = 64 << 20;

/// The executable.
pub fn exe(pid: Pid) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The process that a thread belongs to.
pub fn process_of(tid: Pid) -> Option<Pid> {
    let text = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

/// Seconds that a thread has waited for a processor to be free (Documentation/scheduler/sched-stats.rst); 0 where Linux does not say.
pub fn delayed(tid: Pid) -> f64 {
    let text = fs::read_to_string(format!("/proc/{tid}/schedstat")).unwrap_or_default();
    let ns = text.split_ascii_whitespace().nth(1);
    ns.and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) * 1e-9
}

/// The page faults without input that a thread has had (proc(5), stat).
pub fn minor_faults(tid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
    // The second field is a name, which may have spaces and parentheses in it.
    let fields = text.rsplit_once(')').map_or("", |(_, f)| f);
    let minflt = fields.split_ascii_whitespace().nth(7);
    minflt.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// A value of the auxiliary vector (getauxval(3)).
pub fn auxv(pid: Pid, tag: u64) -> Option<u64> {
    let bytes = fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let word = |b: &[u8]| b.try_into().ok().map(u64::from_ne_bytes);
    bytes
        .chunks_exact(16)
        .find(|c| word(&c[..8]) == Some(tag))
        .and_then(|c| word(&c[8..]))
}

/// The private anonymous pages that a process has, as the page faults that it took to get them: one for a large page.
pub fn anonymous_pages(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    pages_in(text.lines())
}

fn pages_in<'a>(lines: impl Iterator<Item = &'a str>) -> u64 {
    let (mut anonymous, mut large, mut swapped) = (0, 0, 0);
    for line in lines {
        let kib = |name: &str| -> Option<u64> {
            let rest = line.strip_prefix(name)?;
            rest.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        anonymous += kib("Anonymous:").unwrap_or(0) << 10;
        large += kib("AnonHugePages:").unwrap_or(0) << 10;
        swapped += kib("Swap:").unwrap_or(0) << 10;
    }
    (anonymous.saturating_sub(large) + swapped) / PAGE + large / LARGE
}

/// The same in a range that is about to go.
pub fn anonymous_pages_in(pid: Pid, start: u64, len: u64) -> u64 {
    let start = start & !(PAGE - 1);
    let Some(end) = start.checked_add(len) else {
        return 0;
    };
    if len > PAGEMAP_MAX {
        // Mappings that are only partly in the range count as a whole: ranges of this size are reservations.
        let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
        let mut inside = false;
        return pages_in(text.lines().filter(|line| {
            if let Some((a, b)) = range(line) {
                inside = a < end && start < b;
            }
            inside
        }));
    }
    // Documentation/admin-guide/mm/pagemap.rst: bit 63 present, 62 swapped, 61 of a file or shared.
    const PRESENT: u64 = 1 << 63 | 1 << 62;
    const FILE: u64 = 1 << 61;
    let mut bytes = vec![0; (len.div_ceil(PAGE) * 8) as usize];
    let Ok(map) = File::open(format!("/proc/{pid}/pagemap")) else {
        return 0;
    };
    if map.read_exact_at(&mut bytes, start / PAGE * 8).is_err() {
        return 0;
    }
    bytes
        .chunks_exact(8)
        .map(|c| u64::from_ne_bytes(c.try_into().unwrap_or_default()))
        .filter(|e| e & PRESENT != 0 && e & FILE == 0)
        .count() as u64
}

/// The addresses at the start of a line of maps or smaps.
fn range(line: &str) -> Option<(u64, u64)> {
    let (a, rest) = line.split_once('-')?;
    let b = rest.split(' ').next()?;
    Some((
        u64::from_str_radix(a, 16).ok()?,
        u64::from_str_radix(b, 16).ok()?,
    ))
}

/// The mapping around `at`, if it is code of which the kernel patches call sites: of a file, private, not writable.
pub fn code_around(pid: Pid, at: u64) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let line = text
        .lines()
        .find(|l| range(l).is_some_and(|(a, b)| a <= at && at < b))?;
    let mut words = line.split_ascii_whitespace().skip(1);
    let rights = words.next()?;
    let inode = words.nth(2)?;
    let vdso = line.ends_with("[vdso]");
    (rights == "r-xp" && (inode != "0" || vdso))
        .then(|| range(line))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let me = std::process::id() as Pid;
        assert_eq!(process_of(me), Some(me));
        assert_eq!(exe(me), std::env::current_exe().ok());
        assert_eq!(auxv(me, 6), Some(PAGE), "AT_PAGESZ");
        assert!(anonymous_pages(me) > 10);
        assert!(minor_faults(me) > 10);
        let code = of_this_process as fn() as usize as u64;
        let (a, b) = code_around(me, code).expect("file-backed");
        assert!(a <= code && code < b);
        let memory = vec![1u8; 1 << 20];
        assert!(code_around(me, memory.as_ptr() as u64).is_none());
        let pages = anonymous_pages_in(me, memory.as_ptr() as u64, 1 << 20);
        assert!(pages >= 1, "{pages}");
        assert_eq!(anonymous_pages_in(me, u64::MAX - PAGE, 2 * PAGE), 0);
    }

    #[test]
    fn large_pages_are_one_fault() {
        let text = "Anonymous:  4104 kB\nAnonHugePages: 4096 kB\nSwap: 4 kB\nSwapPss: 4 kB\n";
        assert_eq!(pages_in(text.lines()), 2 + 2 + 1);
    }
}
