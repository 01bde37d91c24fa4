//! Response files: `@file` stands for the arguments in that file (gcc(1), "Overall Options"; libiberty's `buildargv`).
//!
//! They are read to decide what a command line does, never rewritten.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than any link line; what is larger is not read.
const SIZE_LIMIT: u64 = 64 << 20;

/// What an `@file` argument turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The file's text.
    Text(Vec<u8>),
    /// It exists and must not be read here: a pipe gives its contents only once, and they are the compiler's.
    Opaque,
    /// There is no such file: the compiler takes the argument as it is.
    Missing,
}

/// Reads the response file `path`, if that can be done without consuming it.
#[must_use]
pub fn read(path: &Path) -> Response {
    // Looked at before it is opened: opening a named pipe would wait for its writer.
    match path.metadata() {
        Err(_) => return Response::Missing,
        Ok(metadata) if !metadata.is_file() => return Response::Opaque,
        Ok(_) => {}
    }
    let Ok(file) = File::open(path) else {
        return Response::Missing;
    };
    let mut text = Vec::new();
    match file.take(SIZE_LIMIT + 1).read_to_end(&mut text) {
        Ok(_) if text.len() as u64 <= SIZE_LIMIT => Response::Text(text),
        _ => Response::Opaque,
    }
}

/// Splits the text of a response file into arguments, by GCC's rules: white space separates; single and double
/// quotes group; a backslash takes the next byte as it is, inside quotes too.
#[must_use]
pub fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut arguments = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\\', _) => current.get_or_insert_default().extend(bytes.next()),
            (_, Some(open)) if byte == open => quote = None,
            (_, Some(_)) => current.get_or_insert_default().push(byte),
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                current.get_or_insert_default();
            }
            (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, None) => arguments.extend(current.take()),
            (_, None) => current.get_or_insert_default().push(byte),
        }
    }
    arguments.extend(current);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text.as_bytes())
            .into_iter()
            .map(|word| String::from_utf8(word).expect("utf-8"))
            .collect()
    }

    #[test]
    fn quoting() {
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words(" \n\t"), [""; 0]);
        assert_eq!(words("-o a.out  x.c\ny.c"), ["-o", "a.out", "x.c", "y.c"]);
        assert_eq!(words(r#""a b" 'c d' e\ f"#), ["a b", "c d", "e f"]);
        assert_eq!(words(r#"-DX="\"s\"" ''"#), ["-DX=\"s\"", ""]);
        assert_eq!(words(r"'it\'s' a'b'c"), ["it's", "abc"]);
        assert_eq!(words(r#""open"#), ["open"]);
        assert_eq!(words("end\\"), ["end"]);
    }

    #[test]
    fn only_regular_files_are_read() {
        assert_eq!(read(Path::new("/dev/null")), Response::Opaque);
        assert_eq!(read(Path::new("/nonexistent/response")), Response::Missing);
        assert_eq!(read(Path::new("/")), Response::Opaque);
    }
}
