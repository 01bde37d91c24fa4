//! The part of the kernel's API (`hrt.h`) that every platform has.

use super::{overrides, user};
use crate::functions;
use crate::raw::{self, errno};
use hrt_abi::api::{Info, op};

/// Serves the API's call; `info` says what the platform is.
pub fn call(info: impl FnOnce() -> Info, args: &[usize; 6]) -> isize {
    let [operation, a1, a2, ..] = *args;
    match operation {
        op::INFO if a2 < size_of::<Info>() => raw::err(errno::EINVAL),
        op::INFO if user::put(a1, &info()) => size_of::<Info>() as isize,
        op::INFO => raw::err(errno::EFAULT),
        op::FUNCTION => match functions::address(a1) {
            Some(at) => at as isize,
            None => raw::err(errno::EINVAL),
        },
        op::LIBRARIES_CHANGED => {
            overrides::opened();
            0
        }
        _ => raw::err(errno::ENOSYS),
    }
}
