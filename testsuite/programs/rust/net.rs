// TCP, UDP and Unix sockets on this machine, with threads, timeouts and shutdown.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;
fn main() -> std::io::Result<()> {
    let l = TcpListener::bind("127.0.0.1:0")?;
    let at = l.local_addr()?;
    let server = std::thread::spawn(move || {
        for s in l.incoming().take(4) {
            std::thread::spawn(move || {
                let s = s.unwrap();
                for line in BufReader::new(&s).lines() { writeln!(&s, "echo {}", line.unwrap()).unwrap(); }
            });
        }
    });
    for i in 0..4 {
        let mut s = TcpStream::connect(at)?;
        for k in 0..100 { writeln!(s, "line {i} {k}")?; }
        s.shutdown(Shutdown::Write)?;
        let mut all = String::new();
        s.read_to_string(&mut all)?;
        println!("{} lines, last {:?}", all.lines().count(), all.lines().last());
    }
    server.join().unwrap();
    let (a, b) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    a.send_to(b"datagram", b.local_addr()?)?;
    let mut buf = [0; 20];
    println!("{}", b.recv(&mut buf)?);
    b.set_read_timeout(Some(Duration::from_millis(10)))?;
    println!("{:?}", b.recv(&mut buf).unwrap_err().kind());
    let (mut x, mut y) = UnixStream::pair()?;
    x.write_all(b"unix")?;
    drop(x);
    let mut s = String::new();
    y.read_to_string(&mut s)?;
    println!("{s}");
    Ok(())
}
