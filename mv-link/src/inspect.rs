//! Says what a hybrid carries.

use crate::config_blob::Blob;
use crate::elf::{Elf, Source};
use crate::error::{Error, Result};
use crate::wire;
use hrt_abi::config::{
    AS_THEY_ARE, CHANNEL_POLICIES, Call, FORWARD, LOCAL, MEMORY_POLICIES, OPTIONAL, Override,
};
use hrt_abi::functions::FUNCTIONS;
use hrt_abi::{
    ABI_VERSION, FLAG_LINKED, FLAG_REWRITTEN, INFO_MAGIC, NOTE_TYPE, NoteDesc, PAYLOAD_MAGIC,
    STUB_ENTRY_OFFSET,
};
use hrt_kernel::names;
use serde::Serialize;
use std::fmt;

/// A larger configuration blob is none of ours, in bytes.
const CONFIG_MAX: usize = 1 << 20;

/// A hybrid's parts, found and checked.
#[derive(Clone, Debug)]
pub struct Hybrid {
    /// The note's descriptor.
    pub desc: NoteDesc,
    /// The options in the note.
    pub options: String,
    /// The configuration blob.
    pub config: Option<Blob>,
    /// The program starts in the stub.
    pub active: bool,
}

/// What `--inspect` reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How it was made: "linked" or "rewritten".
    pub kind: &'static str,
    /// The program starts in the stub; false after `--strip-hybrid` of a linked one.
    pub active: bool,
    /// Version of the structures.
    pub abi_version: u32,
    /// Entry point.
    pub entry: u64,
    /// Entry point before hybridization.
    pub original_entry: u64,
    /// Address of the information block.
    pub info_address: u64,
    /// Address of the payload.
    pub payload_address: u64,
    /// Size of the payload in bytes.
    pub payload_size: u64,
    /// Version of the payload.
    pub payload_version: String,
    /// Build options.
    pub options: toml::Table,
    /// Overrides: legacy function and what runs in its place, as a configuration file says it.
    pub overrides: toml::Table,
    /// System calls and how they are served, likewise.
    pub syscalls: toml::Table,
    /// `[memory]` and `[channel]`: their policies; `threads`: `kernel` with the set `pthread`; `preempt`: after how long.
    pub policies: toml::Table,
}

/// The kernel function and what else a configuration file may say of it.
fn override_value(o: &Override) -> toml::Value {
    let function = FUNCTIONS
        .get(usize::from(o.function))
        .map_or_else(|| format!("number {}", o.function), |f| f.name.to_owned());
    let mut table = toml::Table::new();
    if o.mapped != AS_THEY_ARE {
        let args = o.args.iter().take(usize::from(o.mapped)).enumerate();
        let args = args.map(|(i, &a)| match o.constants >> i & 1 {
            0 => toml::Value::Integer(a),
            _ => toml::Table::from_iter([("constant".to_owned(), toml::Value::Integer(a))]).into(),
        });
        table.insert("args".to_owned(), args.collect::<Vec<_>>().into());
    }
    if o.flags & OPTIONAL != 0 && o.set == 0 {
        table.insert("optional".to_owned(), true.into());
    }
    if table.is_empty() {
        return function.into();
    }
    table.insert("function".to_owned(), function.into());
    table.into()
}

fn call_value(c: &Call) -> toml::Value {
    match c.policy {
        FORWARD => "forward".into(),
        LOCAL => "local".into(),
        _ => {
            let error = names::error(i32::from(c.error)).unwrap_or("?");
            toml::Table::from_iter([("deny".to_owned(), error.into())]).into()
        }
    }
}

fn policies(blob: &Blob) -> toml::Table {
    let named = |names: &[&'static str], n: u8| names.get(usize::from(n).checked_sub(1)?).copied();
    [
        ("memory", named(MEMORY_POLICIES, blob.header.memory)),
        ("channel", named(CHANNEL_POLICIES, blob.header.channel)),
        ("threads", (blob.header.threads != 0).then_some("kernel")),
    ]
    .into_iter()
    .filter_map(|(key, policy)| Some((key.to_owned(), policy?.into())))
    .chain((blob.header.preempt != 0).then(|| {
        let time = format!("{}us", blob.header.preempt);
        ("preempt".to_owned(), time.into())
    }))
    .collect()
}

/// Finds the parts of a hybrid.
///
/// # Errors
/// [`Error::Refused`] if the file is no hybrid, [`Error::Elf`] if its parts contradict each other.
pub fn find<S: Source + ?Sized>(elf: &Elf, source: &S) -> Result<Hybrid> {
    let broken = |what: &str| Error::Elf(format!("a broken hybrid: {what}"));
    let notes = elf.notes(source)?;
    let mut ours = notes.iter().filter(|n| n.kind == NOTE_TYPE);
    let Some(note) = ours.next() else {
        return Err(Error::Refused("not a hybrid".into()));
    };
    if ours.next().is_some() {
        return Err(broken("it has two notes"));
    }
    let desc = wire::read_desc(&note.desc).ok_or_else(|| broken("its note is too short"))?;
    if desc.abi_version != ABI_VERSION {
        return Err(Error::Refused(format!(
            "a hybrid of another version ({}; this mv-link knows {ABI_VERSION})",
            desc.abi_version
        )));
    }
    if desc.flags != FLAG_LINKED && desc.flags != FLAG_REWRITTEN {
        return Err(Error::Refused(
            "not a hybrid, though it has parts of one: its link was not finished".into(),
        ));
    }
    let rest = &note.desc[wire::DESC_SIZE..];
    let options = rest
        .get(..desc.options_size as usize)
        .and_then(|o| std::str::from_utf8(o).ok())
        .ok_or_else(|| broken("its options are no text"))?
        .to_owned();

    let read = |vaddr, len: usize| -> Result<Option<Vec<u8>>> {
        let Some(offset) = elf.offset_of(vaddr, len as u64) else {
            return Ok(None);
        };
        let bytes = source
            .bytes(offset, len as u64)
            .map_err(|source| Error::Io {
                action: "cannot read",
                source,
            })?;
        Ok(bytes.map(|b| b.into_owned()))
    };
    let info = read(desc.info_vaddr, wire::INFO_SIZE)?.and_then(|b| wire::read_info(&b));
    let info = info
        .filter(|i| i.magic == INFO_MAGIC)
        .ok_or_else(|| broken("its stub is not there"))?;
    if info.flags != desc.flags
        || desc.info_vaddr.wrapping_add_signed(info.payload_delta) != desc.payload_vaddr
        || desc.info_vaddr.wrapping_add_signed(info.entry_delta) != desc.original_entry
    {
        return Err(broken("stub and note contradict each other"));
    }
    let payload = read(desc.payload_vaddr, wire::PAYLOAD_HEADER_SIZE)?
        .and_then(|b| wire::read_payload_header(&b));
    payload
        .filter(|p| {
            p.magic == PAYLOAD_MAGIC
                && elf
                    .offset_of(desc.payload_vaddr, desc.payload_size)
                    .is_some()
        })
        .ok_or_else(|| broken("its payload is not there"))?;
    let config = match info.config_delta {
        0 => None,
        delta => {
            let size = usize::try_from(info.config_size).ok();
            let size = size.filter(|&s| s <= CONFIG_MAX);
            let at = desc.info_vaddr.wrapping_add_signed(delta);
            let bytes = size.map(|s| read(at, s)).transpose()?.flatten();
            let blob = bytes.and_then(|b| Blob::read(&b));
            Some(blob.ok_or_else(|| broken("its configuration is not there"))?)
        }
    };
    Ok(Hybrid {
        config,
        active: elf.header.e_entry == desc.info_vaddr.wrapping_add(STUB_ENTRY_OFFSET),
        desc,
        options,
    })
}

/// Inspects a file.
///
/// # Errors
/// As [`Elf::parse`] and [`find`].
pub fn inspect<S: Source + ?Sized>(source: &S) -> Result<Report> {
    let elf = Elf::parse(source)?;
    let hybrid = find(&elf, source)?;
    let d = hybrid.desc;
    let options = toml::from_str(&hybrid.options)
        .map_err(|e| Error::Elf(format!("a broken hybrid: its options: {}", e.message())))?;
    let config = hybrid.config.as_ref();
    let listed = config.into_iter().flat_map(|c| &c.overrides);
    let overrides = listed.map(|(name, o)| (name.clone(), override_value(o)));
    let calls = config.into_iter().flat_map(|c| &c.calls);
    let syscalls = calls.map(|c| {
        let number = c.number as usize;
        let name = names::name(number).map_or_else(|| number.to_string(), str::to_owned);
        (name, call_value(c))
    });
    Ok(Report {
        kind: if d.flags == FLAG_LINKED {
            "linked"
        } else {
            "rewritten"
        },
        active: hybrid.active,
        abi_version: d.abi_version,
        entry: elf.header.e_entry,
        original_entry: d.original_entry,
        info_address: d.info_vaddr,
        payload_address: d.payload_vaddr,
        payload_size: d.payload_size,
        payload_version: wire::padded_text(&d.payload_version),
        options,
        overrides: overrides.collect(),
        syscalls: syscalls.collect(),
        policies: config.map(policies).unwrap_or_default(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.active {
            ""
        } else {
            ", not active: it starts at its original entry point"
        };
        writeln!(f, "hybrid:          {}{state}", self.kind)?;
        writeln!(f, "entry:           {:#x}", self.entry)?;
        writeln!(f, "original entry:  {:#x}", self.original_entry)?;
        writeln!(
            f,
            "payload:         version {}, {} bytes at {:#x}",
            self.payload_version, self.payload_size, self.payload_address
        )?;
        writeln!(f, "ABI version:     {}", self.abi_version)?;
        let list = |f: &mut fmt::Formatter<'_>, title: &str, table: &toml::Table| {
            if table.is_empty() {
                return writeln!(f, "{title:<16} none");
            }
            for (i, (key, value)) in table.iter().enumerate() {
                writeln!(f, "{:<16} {key} = {value}", if i == 0 { title } else { "" })?;
            }
            Ok(())
        };
        list(f, "options:", &self.options)?;
        list(f, "overrides:", &self.overrides)?;
        if !self.syscalls.is_empty() {
            list(f, "system calls:", &self.syscalls)?;
        }
        if !self.policies.is_empty() {
            list(f, "policies:", &self.policies)?;
        }
        Ok(())
    }
}
