//! What a loader reads in an ELF file, and no more: headers, the dynamic segment, symbol versions.
//!
//! Sections (`section.rs`) are looked at for lists of packages and notes only: no loader needs them. Sizes are limited before anything
//! is read, so a hostile file costs no more than a large one. `versions.rs` has the version tables, `strings.rs`
//! searches whole files for texts, `go.rs` reads what the Go toolchain left, `dlopen.rs` what programs say of libraries that
//! they load later.

pub mod dlopen;
pub mod go;
pub mod section;
mod strings;
mod versions;

use object::elf::{self as format, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, pod};

pub use strings::{contains_any, library_names};
pub use versions::VersionNeed;

use crate::tree::{Content, read_start};

/// The kernel takes no more program headers than fit into this, bytes. Source: Linux `fs/binfmt_elf.c`
/// load_elf_phdrs.
const PROGRAM_HEADERS_BYTES_MAX: u64 = 64 << 10;
/// Longest interpreter, bytes, as in the kernel.
const INTERPRETER_BYTES_MAX: u64 = 4096;
/// Largest dynamic segment, bytes; real ones have about 600.
const DYNAMIC_BYTES_MAX: u64 = 1 << 20;
/// Largest string table, bytes; LLVM's has 5 MiB.
const STRINGS_BYTES_MAX: u64 = 64 << 20;
/// Longest single string, bytes.
const STRING_BYTES_MAX: usize = 16 << 10;
/// Most needed libraries.
const NEEDED_MAX: usize = 4096;

/// Why a file is no ELF file that could be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not begin as one.
    #[error("not an ELF file")]
    NotElf,
    /// It begins as one.
    #[error("a damaged ELF file: {0}")]
    Damaged(&'static str),
    /// It could not be read.
    #[error("{0}")]
    Read(String),
}

/// For which machine a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `e_machine`.
    pub number: u16,
    /// ELFCLASS64 (else 32).
    pub is_64: bool,
    /// Little-endian (else big).
    pub is_little: bool,
    /// `e_flags`, where some machines keep their ABI.
    pub flags: u32,
}

impl Machine {
    /// Whether one process can load files of both.
    pub fn loads_with(&self, other: &Self) -> bool {
        (self.number, self.is_64, self.is_little) == (other.number, other.is_64, other.is_little)
    }
}

/// An executable or shared library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// Its machine.
    pub machine: Machine,
    /// Whether it is one that can be executed or loaded (ET_EXEC, ET_DYN), and not an object file or a core.
    pub is_loadable: bool,
    /// PT_INTERP: the loader that the kernel starts.
    pub interpreter: Option<Vec<u8>>,
    /// What the loader reads; `None` for a static one.
    pub dynamic: Option<Dynamic>,
}

/// The dynamic segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// DT_NEEDED, in order.
    pub needed: Vec<Vec<u8>>,
    /// DT_SONAME.
    pub soname: Option<Vec<u8>>,
    /// DT_RPATH.
    pub rpath: Option<Vec<u8>>,
    /// DT_RUNPATH.
    pub runpath: Option<Vec<u8>>,
    /// DF_1_NODEFLIB: not to be looked for in the default directories.
    pub no_default_directories: bool,
    /// DT_VERNEED: versions that it wants from others.
    pub needs: Vec<VersionNeed>,
    /// DT_VERDEF: versions that it has; `None` if it knows none.
    pub defines: Option<Vec<Vec<u8>>>,
    /// The string table: names of all symbols that it has or wants.
    names: Vec<u8>,
}

impl Dynamic {
    /// Whether the dynamic symbol table has this name, imported or exported.
    pub fn mentions(&self, symbol: &str) -> bool {
        let wanted = [b"\0", symbol.as_bytes(), b"\0"].concat();
        memchr::memmem::find(&self.names, &wanted).is_some()
    }
}

impl Elf {
    /// Reads the headers of `content`.
    ///
    /// # Errors
    /// If it is no ELF file, or one that no loader would take.
    pub fn read(content: &dyn Content) -> Result<Self, Error> {
        let start = range(content, 0, 64.min(content.size()))?;
        if start.len() < 20 || !start.starts_with(&format::ELFMAG) {
            return Err(Error::NotElf);
        }
        if start[4] == format::ELFCLASS64.0 {
            read::<FileHeader64<Endianness>>(content, &start)
        } else {
            read::<FileHeader32<Endianness>>(content, &start)
        }
    }
}

fn read<H: FileHeader<Endian = Endianness>>(content: &dyn Content, start: &[u8]) -> Result<Elf, Error> {
    let header = H::parse(start).map_err(|_| Error::Damaged("its header"))?;
    let endian = header.endian().map_err(|_| Error::Damaged("its byte order"))?;
    let machine = Machine {
        number: header.e_machine(endian).0,
        is_64: header.is_type_64(),
        is_little: header.is_little_endian(),
        flags: header.e_flags(endian).0,
    };
    let kind = header.e_type(endian);
    let count = usize::from(header.e_phnum(endian));
    let bytes = count as u64 * size_of::<H::ProgramHeader>() as u64;
    if bytes > PROGRAM_HEADERS_BYTES_MAX
        || (count > 0 && usize::from(header.e_phentsize(endian)) != size_of::<H::ProgramHeader>())
    {
        return Err(Error::Damaged("its program headers"));
    }
    let segments = range(content, header.e_phoff(endian).into(), bytes)?;
    let (segments, _) = pod::slice_from_bytes::<H::ProgramHeader>(&segments, count)
        .map_err(|()| Error::Damaged("its program headers"))?;
    let image = Segments::<H> { content, endian, segments };
    Ok(Elf {
        machine,
        is_loadable: kind == format::ET_EXEC || kind == format::ET_DYN,
        interpreter: image.interpreter()?,
        dynamic: image.dynamic()?,
    })
}

/// The file as its program headers describe it.
struct Segments<'a, H: FileHeader> {
    content: &'a dyn Content,
    endian: H::Endian,
    segments: &'a [H::ProgramHeader],
}

impl<H: FileHeader<Endian = Endianness>> Segments<'_, H> {
    fn interpreter(&self) -> Result<Option<Vec<u8>>, Error> {
        let endian = self.endian;
        let Some(segment) = self.segments.iter().find(|s| s.p_type(endian) == format::PT_INTERP) else {
            return Ok(None);
        };
        let (offset, size) = segment.file_range(endian);
        if !(2..=INTERPRETER_BYTES_MAX).contains(&size) {
            return Err(Error::Damaged("the name of its loader"));
        }
        let name = range(self.content, offset, size)?;
        match name.split_last() {
            Some((0, _)) => Ok(Some(until_nul(&name).to_vec())),
            _ => Err(Error::Damaged("the name of its loader")),
        }
    }

    fn dynamic(&self) -> Result<Option<Dynamic>, Error> {
        let endian = self.endian;
        let Some(segment) = self.segments.iter().find(|s| s.p_type(endian) == format::PT_DYNAMIC) else {
            return Ok(None);
        };
        let (offset, size) = segment.file_range(endian);
        // Files of debug symbols keep the header and drop what it describes.
        if size == 0 || size > DYNAMIC_BYTES_MAX {
            return Err(Error::Damaged("its dynamic segment"));
        }
        let bytes = range(self.content, offset, size)?;
        let count = bytes.len() / size_of::<H::Dyn>();
        let (entries, _) = pod::slice_from_bytes::<H::Dyn>(&bytes, count)
            .map_err(|()| Error::Damaged("its dynamic segment"))?;
        let entries: Vec<(i64, u64)> = entries
            .iter()
            .map(|entry| (entry.tag(endian).0, entry.val(endian)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let value = |tag: format::DynamicTag| {
            entries.iter().rev().find(|(found, _)| *found == tag.0).map(|(_, value)| *value)
        };
        let names = match (value(format::DT_STRTAB), value(format::DT_STRSZ)) {
            (Some(address), Some(size)) => self.at_address(address, size.min(STRINGS_BYTES_MAX))?,
            _ => Vec::new(),
        };
        let string = |offset: u64| string(&names, offset);
        let needed: Vec<&(i64, u64)> =
            entries.iter().filter(|(tag, _)| *tag == format::DT_NEEDED.0).collect();
        if needed.len() > NEEDED_MAX {
            return Err(Error::Damaged("it needs too many libraries"));
        }
        let table = |tag, number| -> Result<Option<Vec<u8>>, Error> {
            match (value(tag), value(number)) {
                (Some(address), Some(1..)) => Ok(Some(self.at_address(address, versions::TABLE_BYTES_MAX)?)),
                _ => Ok(None),
            }
        };
        let needs = match table(format::DT_VERNEED, format::DT_VERNEEDNUM)? {
            Some(bytes) => versions::needs(&bytes, endian, &names)?,
            None => Vec::new(),
        };
        let defines = match table(format::DT_VERDEF, format::DT_VERDEFNUM)? {
            Some(bytes) => Some(versions::defines(&bytes, endian, &names)?),
            None => None,
        };
        let flags_1 = value(format::DT_FLAGS_1).unwrap_or(0);
        Ok(Some(Dynamic {
            needed: needed.into_iter().map(|(_, offset)| string(*offset)).collect::<Result<_, _>>()?,
            soname: value(format::DT_SONAME).map(string).transpose()?,
            rpath: value(format::DT_RPATH).map(string).transpose()?,
            runpath: value(format::DT_RUNPATH).map(string).transpose()?,
            no_default_directories: flags_1 & format::DF_1_NODEFLIB.0 != 0,
            needs,
            defines,
            names,
        }))
    }

    /// At most `limit` bytes of what is loaded at `address`.
    fn at_address(&self, address: u64, limit: u64) -> Result<Vec<u8>, Error> {
        let endian = self.endian;
        for segment in self.segments.iter().filter(|s| s.p_type(endian) == format::PT_LOAD) {
            let start: u64 = segment.p_vaddr(endian).into();
            let (offset, size) = segment.file_range(endian);
            if address >= start && address - start < size {
                let skipped = address - start;
                let offset = offset.checked_add(skipped).ok_or(Error::Damaged("its segments"))?;
                return range(self.content, offset, (size - skipped).min(limit));
            }
        }
        Err(Error::Damaged("its dynamic segment points outside"))
    }
}

/// Exactly these bytes of the file; fewer only if the file ends within a segment that was cut.
fn range(content: &dyn Content, offset: u64, size: u64) -> Result<Vec<u8>, Error> {
    if offset.checked_add(size).is_none_or(|end| end > content.size()) {
        return Err(Error::Damaged("it is shorter than it says"));
    }
    let window = Window { content, offset, size };
    let bytes = read_start(&window, size).map_err(|error| Error::Read(error.to_string()))?;
    if bytes.len() as u64 != size {
        return Err(Error::Damaged("it is shorter than it says"));
    }
    Ok(bytes)
}

#[derive(Debug)]
struct Window<'a> {
    content: &'a dyn Content,
    offset: u64,
    size: u64,
}

impl Content for Window<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> std::io::Result<usize> {
        self.content.read_at(self.offset + offset, out)
    }
}

/// The string at `offset` of a string table.
fn string(names: &[u8], offset: u64) -> Result<Vec<u8>, Error> {
    let start = usize::try_from(offset).ok().filter(|start| *start < names.len());
    let rest = &names[start.ok_or(Error::Damaged("a name outside of its string table"))?..];
    let text = until_nul(&rest[..rest.len().min(STRING_BYTES_MAX)]);
    if text.len() == rest.len().min(STRING_BYTES_MAX) {
        return Err(Error::Damaged("a name without an end"));
    }
    Ok(text.to_vec())
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}
