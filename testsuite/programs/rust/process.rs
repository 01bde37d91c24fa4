//@ variants: dynamic-pie static
// std::process: output, pipes both ways, exit statuses, signals, environment, the current directory, pre_exec.
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
fn main() {
    let out = Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).output().unwrap();
    println!("{:?} {:?} {:?}", out.status.code(), String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let mut c = Command::new("tr").args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    c.stdin.take().unwrap().write_all(b"to upper case\n").unwrap();
    println!("{:?}", String::from_utf8_lossy(&c.wait_with_output().unwrap().stdout));
    let s = Command::new("sh").args(["-c", "kill -TERM $$"]).status().unwrap();
    println!("signal {:?}", s.signal());
    let o = Command::new("sh").args(["-c", "echo $V; pwd"]).env_clear().env("V", "value").env("PATH", "/bin:/usr/bin").current_dir("/").output().unwrap();
    println!("{:?}", String::from_utf8_lossy(&o.stdout));
    println!("{:?}", Command::new("/nonexistent").spawn().unwrap_err().kind());
    let o = unsafe { Command::new("sh").args(["-c", "echo after pre_exec"]).pre_exec(|| Ok(())) }.output().unwrap();
    println!("{:?}", String::from_utf8_lossy(&o.stdout));
    let mut k = Command::new("sleep").arg("100").spawn().unwrap();
    println!("{:?}", k.try_wait().unwrap().is_none());
    k.kill().unwrap();
    println!("{:?}", k.wait().unwrap().signal());
}
