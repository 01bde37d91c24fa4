//! The configuration blob (`hrt_abi::config`): its bytes, made of a [`Config`] and read again.

use crate::options::{Argument, CallPolicy, Config};
use crate::sets;
use hrt_abi::config::{
    AS_THEY_ARE, Call, DENY, FORWARD, Header, LOCAL, MAGIC, OPTIONAL, Override, VERSION,
};

/// Bytes of a [`Header`].
const HEADER_SIZE: usize = size_of::<Header>();
/// Bytes of an [`Override`].
const OVERRIDE_SIZE: usize = size_of::<Override>();
/// Bytes of a [`Call`].
const CALL_SIZE: usize = size_of::<Call>();

/// A blob, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The header; sizes and numbers in it are those of the rest.
    pub header: Header,
    /// Overrides and their names.
    pub overrides: Vec<(String, Override)>,
    /// System calls.
    pub calls: Vec<Call>,
}

impl Blob {
    /// What `config` says; `None` if that needs no blob.
    #[must_use]
    pub fn of(config: &Config) -> Option<Blob> {
        let chosen = |p: Option<usize>| p.map_or(0, |i| i as u8 + 1);
        let (memory, channel) = (chosen(config.memory.policy), chosen(config.channel.policy));
        if config.overrides.is_empty()
            && config.calls.is_empty()
            && memory == 0
            && channel == 0
            && !config.threads
            && config.preempt == 0
        {
            return None;
        }
        let overrides = config.overrides.iter().map(|o| {
            let mut entry = Override {
                delta: 0,
                size: 0,
                name: 0,
                function: o.function as u16,
                flags: if o.optional { OPTIONAL } else { 0 },
                mapped: o.args.as_ref().map_or(AS_THEY_ARE, |a| a.len() as u8),
                constants: 0,
                set: o.set.map_or(0, sets::number),
                reserved: [0; 2],
                args: [0; 6],
            };
            for (i, arg) in o.args.iter().flatten().enumerate() {
                entry.args[i] = match *arg {
                    Argument::Index(n) => i64::from(n),
                    Argument::Constant(c) => {
                        entry.constants |= 1 << i;
                        c
                    }
                };
            }
            (o.name.clone(), entry)
        });
        let calls = config.calls.iter().map(|c| {
            let (policy, error) = match c.policy {
                CallPolicy::Forward => (FORWARD, 0),
                CallPolicy::Local => (LOCAL, 0),
                CallPolicy::Deny(e) => (DENY, e),
            };
            Call {
                number: c.number as u32,
                policy,
                error,
            }
        });
        Some(Blob {
            header: Header {
                magic: MAGIC,
                version: VERSION,
                size: 0,
                overrides: 0,
                calls: 0,
                errno_delta: 0,
                memory,
                channel,
                threads: u8::from(config.threads),
                reserved: 0,
                preempt: config.preempt,
            },
            overrides: overrides.collect(),
            calls: calls.collect(),
        })
    }

    /// Its bytes. Their number does not depend on what a link finds out.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut entries = Vec::new();
        for (name, o) in &self.overrides {
            entries.extend(o.delta.to_le_bytes());
            entries.extend(o.size.to_le_bytes());
            entries.extend((names.len() as u32).to_le_bytes());
            entries.extend(o.function.to_le_bytes());
            entries.extend([o.flags, o.mapped, o.constants, o.set]);
            entries.extend(o.reserved);
            entries.extend(o.args.iter().flat_map(|a| a.to_le_bytes()));
            names.extend(name.as_bytes());
            names.push(0);
        }
        for c in &self.calls {
            entries.extend(c.number.to_le_bytes());
            entries.extend(c.policy.to_le_bytes());
            entries.extend(c.error.to_le_bytes());
        }
        let h = &self.header;
        let size = HEADER_SIZE + entries.len() + names.len();
        let mut out = Vec::with_capacity(size);
        out.extend(h.magic);
        out.extend(h.version.to_le_bytes());
        out.extend((size as u32).to_le_bytes());
        out.extend((self.overrides.len() as u32).to_le_bytes());
        out.extend((self.calls.len() as u32).to_le_bytes());
        out.extend(h.errno_delta.to_le_bytes());
        out.extend([h.memory, h.channel, h.threads, h.reserved]);
        out.extend(h.preempt.to_le_bytes());
        out.extend(entries);
        out.extend(names);
        out
    }

    /// Reads a blob; `None` if it is none of this version, or contradicts itself.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Blob> {
        let mut at = bytes;
        let mut header = Header {
            magic: take(&mut at)?,
            version: u32::from_le_bytes(take(&mut at)?),
            size: u32::from_le_bytes(take(&mut at)?),
            overrides: u32::from_le_bytes(take(&mut at)?),
            calls: u32::from_le_bytes(take(&mut at)?),
            errno_delta: i64::from_le_bytes(take(&mut at)?),
            memory: u8::from_le_bytes(take(&mut at)?),
            channel: u8::from_le_bytes(take(&mut at)?),
            threads: u8::from_le_bytes(take(&mut at)?),
            reserved: u8::from_le_bytes(take(&mut at)?),
            preempt: u32::from_le_bytes(take(&mut at)?),
        };
        if header.magic != MAGIC || header.version != VERSION || header.size as usize != bytes.len()
        {
            return None;
        }
        let (overrides, calls) = (header.overrides as usize, header.calls as usize);
        let names_at = overrides.checked_mul(OVERRIDE_SIZE)? + calls.checked_mul(CALL_SIZE)?;
        let names = at.get(names_at..)?;
        let mut blob = Blob {
            header,
            overrides: Vec::new(),
            calls: Vec::new(),
        };
        for _ in 0..overrides {
            let mut o = Override {
                delta: i64::from_le_bytes(take(&mut at)?),
                size: u32::from_le_bytes(take(&mut at)?),
                name: u32::from_le_bytes(take(&mut at)?),
                function: u16::from_le_bytes(take(&mut at)?),
                flags: u8::from_le_bytes(take(&mut at)?),
                mapped: u8::from_le_bytes(take(&mut at)?),
                constants: u8::from_le_bytes(take(&mut at)?),
                set: u8::from_le_bytes(take(&mut at)?),
                reserved: take(&mut at)?,
                args: [0; 6],
            };
            for a in &mut o.args {
                *a = i64::from_le_bytes(take(&mut at)?);
            }
            let name = names.get(o.name as usize..)?;
            let end = name.iter().position(|&b| b == 0)?;
            let name = std::str::from_utf8(&name[..end]).ok()?.to_owned();
            // Where the name is follows from the names.
            o.name = 0;
            blob.overrides.push((name, o));
        }
        for _ in 0..calls {
            blob.calls.push(Call {
                number: u32::from_le_bytes(take(&mut at)?),
                policy: u16::from_le_bytes(take(&mut at)?),
                error: u16::from_le_bytes(take(&mut at)?),
            });
        }
        (header.size, header.overrides, header.calls) = (0, 0, 0);
        blob.header = header;
        Some(blob)
    }
}

fn take<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = at.split_first_chunk::<N>()?;
    *at = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        assert_eq!(Blob::of(&Config::default()), None);
        let set = Config::parse("sets = ['pthread']\n").expect("good");
        let set = Blob::of(&set).expect("something to say");
        assert!(set.header.threads == 1 && set.overrides.is_empty());
        assert_eq!(Blob::read(&set.bytes()), Some(set));
        let config = Config::parse(
            "[overrides]\ng = { function = 'hrt_calloc', args = [1, { constant = -8 }] }\nf = 'hrt_cycles'\n\
             [syscalls]\nptrace = { deny = 'EPERM' }\n[channel]\npolicy = 'exit'\n[threads]\npreempt = '10ms'\n",
        )
        .expect("good");
        let blob = Blob::of(&config).expect("something to say");
        let bytes = blob.bytes();
        assert_eq!(Blob::read(&bytes), Some(blob.clone()));
        assert_eq!(blob.overrides[1].1.constants, 2);
        assert_eq!((blob.header.channel, blob.header.preempt), (2, 10_000));
        for cut in 0..bytes.len() {
            assert_eq!(Blob::read(&bytes[..cut]), None);
        }
        let mut other = bytes.clone();
        other[8] = 9;
        assert_eq!(Blob::read(&other), None);
    }
}
