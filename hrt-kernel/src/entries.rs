//! Whether a function's first bytes may be overwritten by a jump, decided on bytes alone.

/// Bytes of `jmp rel32`.
pub const JUMP: usize = 5;

/// True if a jump fits over the entry of a function of `size` bytes whose code, and what follows it, is `code`: it must be as long, or
/// be followed by padding, which nothing executes.
#[must_use]
pub fn has_room(code: &[u8], size: usize) -> bool {
    size != 0 && code.len() >= JUMP && (size >= JUMP || size + padding(&code[size..]) >= JUMP)
}

/// How many bytes `code` starts with that are padding between functions: `int3`, or `nop` of any length (Intel SDM 2B, "NOP").
fn padding(code: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = &code[at..];
        let prefixes = rest
            .iter()
            .take_while(|b| [0x66, 0x2e].contains(*b))
            .count();
        let length = match rest[prefixes..] {
            [0xcc, ..] if prefixes == 0 => 1,
            [0x90, ..] => 1,
            [0x0f, 0x1f, 0x00, ..] => 3,
            [0x0f, 0x1f, 0x40, _, ..] => 4,
            [0x0f, 0x1f, 0x44, _, _, ..] => 5,
            [0x0f, 0x1f, 0x80, _, _, _, _, ..] => 7,
            [0x0f, 0x1f, 0x84, _, _, _, _, _, ..] => 8,
            _ => return at,
        };
        at += prefixes + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_functions_have_room() {
        assert!(has_room(&[0; 16], 5));
        assert!(!has_room(&[0; 4], 5));
        assert!(!has_room(&[0xcc; 16], 0));
    }

    #[test]
    fn short_ones_need_padding() {
        // xor %eax,%eax; ret; then a function, or the long nops that assemblers write
        assert!(!has_room(&[0x31, 0xc0, 0xc3, 0x55, 0x48, 0x89], 3));
        assert!(has_room(&[0x31, 0xc0, 0xc3, 0xcc, 0xcc, 0x55], 3));
        assert!(has_room(&[0x31, 0xc0, 0xc3, 0x0f, 0x1f, 0x40, 0x00], 3));
        assert!(has_room(
            &[0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
            1
        ));
        assert!(!has_room(&[0xc3, 0x66, 0x90, 0x55, 0x90], 1));
        assert!(has_room(&[0xc3, 0x66, 0x90, 0x66, 0x90], 1));
        // a cut-off nop is none
        assert!(!has_room(&[0xc3, 0x0f, 0x1f, 0x84, 0], 1));
    }
}
