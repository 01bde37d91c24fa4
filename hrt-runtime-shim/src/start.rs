//! The initial stack of a Linux process: arguments, environment, auxiliary vector
//! (System V ABI, AMD64 supplement, 3.4.1 "Initial Stack and Register State"; getauxval(3)).

use core::ffi::CStr;

/// Keys of the auxiliary vector that the payload reads.
#[allow(missing_docs)]
pub mod at {
    pub const NULL: usize = 0;
    pub const PHDR: usize = 3;
    pub const PHENT: usize = 4;
    pub const PHNUM: usize = 5;
    pub const ENTRY: usize = 9;
    pub const SECURE: usize = 23;
    pub const HWCAP2: usize = 26;
    pub const SYSINFO_EHDR: usize = 33;
}

/// A view of the initial stack.
#[derive(Clone, Copy)]
pub struct Start {
    envp: *const *const u8,
    auxv: *mut [usize; 2],
}

impl Start {
    /// Reads the stack whose lowest word, `argc`, is at `sp`.
    ///
    /// # Safety
    /// `sp` must be the initial stack pointer of this process, and its contents as Linux left them.
    #[must_use]
    pub unsafe fn from_stack(sp: *mut usize) -> Self {
        // SAFETY: argc words of arguments and a NULL, then the environment up to its NULL, then the vector.
        unsafe {
            let argc = *sp;
            let envp = sp.add(1 + argc + 1);
            let mut p = envp;
            while *p != 0 {
                p = p.add(1);
            }
            Start {
                envp: envp.cast(),
                auxv: p.add(1).cast(),
            }
        }
    }

    /// The value of environment variable `name`.
    #[must_use]
    pub fn env(&self, name: &[u8]) -> Option<&'static [u8]> {
        let mut p = self.envp;
        // SAFETY: `from_stack`'s promise: a NULL-terminated vector of C strings that live as long as the process.
        unsafe {
            while !(*p).is_null() {
                let s = c_str(*p);
                if s.len() > name.len() && s.starts_with(name) && s[name.len()] == b'=' {
                    return Some(&s[name.len() + 1..]);
                }
                p = p.add(1);
            }
        }
        None
    }

    fn entry(&self, key: usize) -> Option<*mut [usize; 2]> {
        let mut p = self.auxv;
        // SAFETY: `from_stack`'s promise: pairs up to AT_NULL.
        unsafe {
            while (*p)[0] != at::NULL {
                if (*p)[0] == key {
                    return Some(p);
                }
                p = p.add(1);
            }
        }
        None
    }

    /// The auxiliary value of `key`.
    #[must_use]
    pub fn aux(&self, key: usize) -> Option<usize> {
        // SAFETY: `entry` gives a pair of the vector.
        self.entry(key).map(|p| unsafe { (*p)[1] })
    }

    /// Replaces the auxiliary value of `key`, if the vector has one.
    pub fn set_aux(&self, key: usize, value: usize) {
        if let Some(p) = self.entry(key) {
            // SAFETY: `entry` gives a pair of the vector, which lies on the writable initial stack.
            unsafe { (*p)[1] = value }
        }
    }
}

/// The bytes of a C string.
///
/// # Safety
/// `s` must point to a NUL-terminated string that lives as long as the process and is not written.
#[must_use]
pub unsafe fn c_str(s: *const u8) -> &'static [u8] {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(s.cast()).to_bytes() }
}
