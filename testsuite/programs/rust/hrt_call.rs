//@ variants: dynamic-pie static
//@ flags: --cfg feature="std" -A dead_code -A unused_imports
//@ stats: posts.posted >= 1000
// The crate `hrt`: calls that are posted together, of both kinds, collected one by one, at once, and by a drop; without the kernel it says so.
#[path = "../../../hrt-runtime-shim/api/src/lib.rs"]
mod hrt;
use hrt::call::{Calls, Progress};
use hrt::Error;
use std::io::Write;
use std::os::fd::AsRawFd;

const READ: usize = 0;
const WRITE: usize = 1;
const PREAD: usize = 17;
const GETPID: usize = 39;
const EXIT: usize = 60;
const GETPPID: usize = 110;

fn with_kernel() -> Result<(), Error> {
    let mut file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open("data").unwrap();
    std::fs::remove_file("data").unwrap();
    file.write_all(b"0123456789").unwrap();
    let fd = file.as_raw_fd() as usize;
    let mut calls = Calls::new();
    for round in 0..100usize {
        let mut text = [[0u8; 4]; 8];
        for (i, to) in text.iter_mut().enumerate() {
            calls.push(PREAD, [fd, to.as_mut_ptr() as usize, 4, i, 0, 0]);
        }
        calls.push(GETPID, [0; 6]);
        calls.push(PREAD, [fd, 8, 4, 0, 0, 0]);
        // SAFETY: the buffers are there until the results are.
        unsafe { calls.post()? };
        // SAFETY: nothing is posted.
        assert_eq!(unsafe { calls.post() }, Err(Error::BUSY));
        if round % 2 == 0 {
            while calls.progress(7)? == Some(Progress::Posted) {}
            assert_eq!(calls.progress(7)?, Some(Progress::Made(3)));
            assert_eq!(calls.progress(8)?, Some(Progress::Own));
            assert_eq!(calls.progress(10)?, None);
        }
        let results = calls.wait()?;
        assert_eq!(&results[..8], [4, 4, 4, 4, 4, 4, 4, 3]);
        assert_eq!(results[8] as u32, std::process::id());
        assert_eq!(results[9], -14);
        assert_eq!(text[3], *b"3456");
        assert!(calls.wait()?.is_empty());
    }
    calls.push(EXIT, [1, 0, 0, 0, 0, 0]);
    // SAFETY: it must not be posted.
    assert_eq!(unsafe { calls.post() }.unwrap_err().number(), 22);
    drop(calls);
    let mut text = [0u8; 10];
    {
        let mut dropped = Calls::new();
        dropped.push(PREAD, [fd, text.as_mut_ptr() as usize, 10, 0, 0, 0]);
        // SAFETY: the buffer outlives the calls.
        unsafe { dropped.post()? };
    }
    assert_eq!(&text, b"0123456789");
    let there = hrt::thread::spawn(|| {
        let mut calls = Calls::new();
        for _ in 0..50 {
            calls.push(GETPPID, [0; 6]);
        }
        // SAFETY: no memory is handed over.
        unsafe { calls.post().unwrap() };
        calls.wait().unwrap()
    })?;
    let results = there.join().unwrap();
    assert!(results.len() == 50 && results.iter().all(|r| *r as u32 == std::os::unix::process::parent_id()));
    Ok(())
}

fn main() {
    match hrt::available() {
        true => with_kernel().unwrap(),
        false => {
            let mut calls = Calls::new();
            calls.push(GETPPID, [0; 6]);
            // SAFETY: there is no kernel.
            assert_eq!(unsafe { calls.post() }, Err(Error::NOT_SUPPORTED));
            assert!(calls.wait().unwrap().is_empty());
        }
    }
    println!("done");
}
