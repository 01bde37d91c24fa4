//! Finds the functions that are overridden in a finished executable, and puts their addresses into its configuration blob.
//!
//! A function of the executable itself (of its own sources or of a static archive) is looked up in the symbol table here, at link
//! time, before anything strips it. One that the executable imports is for the payload to find, when the libraries are loaded.

use crate::config_blob::Blob;
use crate::elf::Elf;
use crate::error::{Error, Result};
use crate::options::{Config, suggestion};
use hrt_abi::config::INDIRECT;
use hrt_kernel::entries;
use object::elf::{STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolFlags, SymbolSection};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The function that says where `errno` is (LSB; glibc and musl have it).
const ERRNO_LOCATION: &str = "__errno_location";

/// A function of the executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Function {
    address: u64,
    size: u64,
    indirect: bool,
    local: bool,
}

/// The functions of an executable by their names without version.
struct Functions<'a> {
    defined: HashMap<&'a str, Vec<Function>>,
    imported: BTreeSet<&'a str>,
    /// The addresses of all of them.
    starts: BTreeMap<u64, ()>,
    /// There is a symbol table, not just a dynamic one.
    table: bool,
}

fn bare(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

impl<'a> Functions<'a> {
    fn read(file: &'a object::File<'a>) -> Functions<'a> {
        let mut all = Functions {
            defined: HashMap::new(),
            imported: BTreeSet::new(),
            starts: BTreeMap::new(),
            table: file.symbol_table().is_some(),
        };
        let mut ends: BTreeSet<u64> = BTreeSet::new();
        for s in file.sections().filter(|s| s.kind() == SectionKind::Text) {
            ends.insert(s.address().saturating_add(s.size()));
        }
        for symbol in file.symbols().chain(file.dynamic_symbols()) {
            let (SymbolFlags::Elf { st_info, .. }, Ok(name)) = (symbol.flags(), symbol.name())
            else {
                continue;
            };
            let (kind, name) = (st_info.st_type(), bare(name));
            if symbol.is_undefined() {
                all.imported.insert(name);
                continue;
            }
            let SymbolSection::Section(index) = symbol.section() else {
                continue;
            };
            let code = file
                .section_by_index(index)
                .is_ok_and(|s| s.kind() == SectionKind::Text);
            if name.is_empty() || !code || ![STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE].contains(&kind) {
                continue;
            }
            all.starts.insert(symbol.address(), ());
            let function = Function {
                address: symbol.address(),
                size: symbol.size(),
                indirect: kind == STT_GNU_IFUNC,
                local: symbol.is_local(),
            };
            let list = all.defined.entry(name).or_default();
            if !list.contains(&function) {
                list.push(function);
            }
        }
        // Hand-written code may have no sizes: it reaches to the next function.
        for f in all.defined.values_mut().flatten().filter(|f| f.size == 0) {
            let next = all
                .starts
                .range(f.address.saturating_add(1)..)
                .next()
                .map(|(a, ())| *a);
            let end = ends.range(f.address.saturating_add(1)..).next().copied();
            f.size = next
                .into_iter()
                .chain(end)
                .min()
                .map_or(0, |e| e.saturating_sub(f.address));
        }
        all
    }
}

/// Fills in `blob` where the functions of `config`, of which it was made, are in the executable `input`, whose information block is at
/// `info_vaddr`.
///
/// # Errors
/// [`Error::Config`] for a function that the program does not have, or that cannot be overridden there; [`Error::Elf`] if the symbols
/// cannot be read.
pub fn fill(input: &[u8], info_vaddr: u64, config: &Config, blob: &mut Blob) -> Result<()> {
    if config.overrides.is_empty() {
        return Ok(());
    }
    let elf = Elf::parse(input)?;
    let file =
        object::File::parse(input).map_err(|e| Error::Elf(format!("cannot read symbols: {e}")))?;
    let functions = Functions::read(&file);
    let delta = |address: u64| address.wrapping_sub(info_vaddr) as i64;
    // Without names and without libraries, nothing would be found, and nobody told.
    let nameless = !functions.table && functions.imported.is_empty();
    let mut taken: HashMap<u64, usize> = HashMap::new();
    for (i, o) in config.overrides.iter().enumerate() {
        let wrong = |message: String| Err(config.mistake(o.place, message));
        let none = Vec::new();
        let found = functions.defined.get(o.name.as_str()).unwrap_or(&none);
        let global: Vec<&Function> = found.iter().filter(|f| !f.local).collect();
        let imported = functions.imported.contains(o.name.as_str());
        // A hidden function of an archive is local once it is linked. Of a set, it is the function that is meant unless that is imported.
        let candidates = if global.is_empty() && (o.set.is_none() || !imported) {
            found.iter().collect()
        } else {
            global
        };
        let function = match candidates[..] {
            [] => {
                if imported || o.optional && !nameless {
                    continue;
                }
                if !functions.table {
                    return wrong(format!(
                        "cannot look for '{}': the program has no symbol table; link without -s, and strip the hybrid afterwards",
                        o.name
                    ));
                }
                let all = functions.defined.keys().chain(&functions.imported).copied();
                return wrong(format!(
                    "the program has no function '{}', and imports none{} (optional = true in its table allows that; programs = [...] says which programs the file is for)",
                    o.name,
                    suggestion(&o.name, all)
                ));
            }
            [one] => one,
            [first, ..] if candidates.iter().all(|c| c.address == first.address) => first,
            _ => {
                return wrong(format!(
                    "the program has {} functions called '{}'",
                    candidates.len(),
                    o.name
                ));
            }
        };
        let room = elf
            .offset_of(function.address, entries::JUMP as u64)
            .and_then(|at| input.get(at as usize..))
            .is_some_and(|code| {
                let code = &code[..code.len().min(64)];
                entries::has_room(code, usize::try_from(function.size).unwrap_or(0))
            });
        let end = function.address.saturating_add(entries::JUMP as u64);
        let first = function.address.saturating_add(1).min(end);
        let entered = functions.starts.range(first..end).next();
        if !room || entered.is_some() {
            return wrong(format!(
                "'{}' has {} bytes, too few for a jump to the kernel function",
                o.name, function.size
            ));
        }
        if let Some(&j) = taken.get(&function.address) {
            let other = &config.overrides[j];
            if (other.function, &other.args) != (o.function, &o.args) {
                return wrong(format!(
                    "'{}' and '{}' are one function in this program, and cannot become two",
                    other.name, o.name
                ));
            }
        }
        taken.insert(function.address, i);
        let entry = &mut blob.overrides[i].1;
        entry.delta = delta(function.address);
        entry.size = u32::try_from(function.size).unwrap_or(u32::MAX);
        if function.indirect {
            entry.flags |= INDIRECT;
        }
    }
    let errno = functions.defined.get(ERRNO_LOCATION);
    // Local in a static position-independent executable.
    if let Some(f) = errno.and_then(|list| list.first()) {
        blob.header.errno_delta = delta(f.address);
    }
    Ok(())
}
