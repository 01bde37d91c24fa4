//@ args: x yy
//@ env: FROM_TEST=value
//@ files: tree/a/b.txt
// Environment, arguments, files, directories, time.
use std::{env, fs, io::Write};
fn main() -> std::io::Result<()> {
    println!("{:?} {:?}", env::args().skip(1).collect::<Vec<_>>(), env::var("FROM_TEST"));
    println!("{}", env::current_exe()?.ends_with("prog"));
    fs::create_dir_all("tree/a")?;
    let mut f = fs::File::create("tree/a/b.txt")?;
    for i in 0..1000 { writeln!(f, "{i}")?; }
    f.sync_all()?;
    println!("{} {}", f.metadata()?.len(), fs::read_to_string("tree/a/b.txt")?.lines().count());
    println!("{:?}", fs::read_dir("tree")?.map(|e| e.unwrap().file_name()).collect::<Vec<_>>());
    println!("{:?}", fs::read("missing").unwrap_err().kind());
    println!("{}", std::time::Instant::now().elapsed().as_secs());
    println!("{}", std::thread::available_parallelism()?.get() > 0);
    Ok(())
}
