//! Where the limits of a process's memory cgroup are, by /proc/self/cgroup (cgroups(7)).

/// Where the groups of a hierarchy are mounted, and the file with a group's limit in bytes, which ends with a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The folder.
    pub mount: &'static [u8],
    /// The file's name, with a slash before it.
    pub file: &'static [u8],
}

/// Version 2.
pub const UNIFIED: Hierarchy = Hierarchy {
    mount: b"/sys/fs/cgroup",
    file: b"/memory.max\0",
};
/// Version 1.
pub const MEMORY: Hierarchy = Hierarchy {
    mount: b"/sys/fs/cgroup/memory",
    file: b"/memory.limit_in_bytes\0",
};

/// The groups of a process that may have a limit, by the text of /proc/self/cgroup: a line for each hierarchy, `number:controllers:group`. In version 2 there is one without
/// controllers, beside those of version 1 on a system that has both.
pub fn groups(text: &[u8]) -> impl Iterator<Item = (Hierarchy, &[u8])> {
    text.split(|c| *c == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |c| *c == b':');
        let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let hierarchy = if controllers.is_empty() {
            UNIFIED
        } else if controllers.split(|c| *c == b',').any(|c| c == b"memory") {
            MEMORY
        } else {
            return None;
        };
        Some((hierarchy, group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Hierarchy, String)> {
        let all = groups(text.as_bytes());
        all.map(|(h, g)| (h, String::from_utf8_lossy(g).into_owned()))
            .collect()
    }

    #[test]
    fn both_versions_and_neither() {
        assert_eq!(
            found("0::/user.slice/a:b\n"),
            [(UNIFIED, "/user.slice/a:b".into())]
        );
        let first = "12:cpuset:/c\n11:hugetlb,memory:/docker/1\n10:name=systemd:/s\n0::/two\n";
        assert_eq!(
            found(first),
            [(MEMORY, "/docker/1".into()), (UNIFIED, "/two".into())]
        );
        assert_eq!(found("3:memoryless:/x\n4:cpu\nnonsense\n\n"), []);
    }
}
