//! Writes the smallest ELF files that a loader would read: headers, dynamic segment, version tables.

use std::collections::BTreeMap;

/// An ELF file to be.
#[derive(Clone, Debug)]
pub(crate) struct ElfFile {
    machine: u16,
    is_64: bool,
    is_little: bool,
    kind: u16,
    interpreter: Option<String>,
    strings: Vec<(i64, String)>,
    numbers: Vec<(i64, u64)>,
    needs: Vec<(String, Vec<String>)>,
    defines: Vec<String>,
    symbols: Vec<String>,
    tail: Vec<u8>,
    section: Option<(String, Vec<u8>)>,
    is_dynamic: bool,
}

/// Addresses are offsets plus this.
const BASE: u64 = 0x40_0000;

impl ElfFile {
    /// A static program for amd64.
    pub(crate) fn program() -> Self {
        Self {
            machine: 62,
            is_64: true,
            is_little: true,
            kind: 2,
            interpreter: None,
            strings: Vec::new(),
            numbers: Vec::new(),
            needs: Vec::new(),
            defines: Vec::new(),
            symbols: Vec::new(),
            tail: Vec::new(),
            section: None,
            is_dynamic: false,
        }
    }

    /// A library.
    pub(crate) fn library(soname: &str) -> Self {
        Self { kind: 3, is_dynamic: true, ..Self::program() }.string(14, soname)
    }

    pub(crate) fn machine(self, machine: u16) -> Self {
        Self { machine, ..self }
    }

    pub(crate) fn class_32(self) -> Self {
        Self { is_64: false, ..self }
    }

    pub(crate) fn big_endian(self) -> Self {
        Self { is_little: false, ..self }
    }

    pub(crate) fn object_file(self) -> Self {
        Self { kind: 1, ..self }
    }

    pub(crate) fn interpreter(mut self, path: &str) -> Self {
        self.interpreter = Some(path.to_owned());
        self.is_dynamic = true;
        self
    }

    pub(crate) fn needed(self, name: &str) -> Self {
        self.string(1, name)
    }

    pub(crate) fn rpath(self, path: &str) -> Self {
        self.string(15, path)
    }

    pub(crate) fn runpath(self, path: &str) -> Self {
        self.string(29, path)
    }

    pub(crate) fn no_default_directories(mut self) -> Self {
        self.numbers.push((0x6fff_fffb, 0x800));
        self
    }

    pub(crate) fn needs_versions(mut self, library: &str, versions: &[&str]) -> Self {
        self.needs.push((library.to_owned(), versions.iter().map(|v| (*v).to_owned()).collect()));
        self
    }

    pub(crate) fn defines(mut self, versions: &[&str]) -> Self {
        self.defines.extend(versions.iter().map(|v| (*v).to_owned()));
        self
    }

    pub(crate) fn symbol(mut self, name: &str) -> Self {
        self.symbols.push(name.to_owned());
        self
    }

    /// Bytes behind everything else.
    pub(crate) fn tail(mut self, bytes: &[u8]) -> Self {
        self.tail.extend_from_slice(bytes);
        self
    }

    /// A section that no segment holds (64 bits, little-endian).
    pub(crate) fn section(mut self, name: &str, bytes: &[u8]) -> Self {
        self.section = Some((name.to_owned(), bytes.to_vec()));
        self
    }

    fn string(mut self, tag: i64, text: &str) -> Self {
        self.strings.push((tag, text.to_owned()));
        self.is_dynamic = true;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (header, program_header) = if self.is_64 { (64, 56) } else { (52, 32) };
        let count = 1 + usize::from(self.interpreter.is_some()) + usize::from(self.is_dynamic);
        let mut out = vec![0; header + count * program_header];
        let mut segments: Vec<(u32, u64, u64)> = Vec::new();
        if let Some(path) = &self.interpreter {
            segments.push((3, out.len() as u64, path.len() as u64 + 1));
            out.extend(path.bytes().chain([0]));
        }
        if self.is_dynamic {
            let (offset, size) = self.dynamic(&mut out);
            segments.push((2, offset, size));
        }
        // Behind the segments is what nobody loads.
        out.resize(out.len().next_multiple_of(16), 0);
        out.extend_from_slice(&self.tail);
        segments.push((1, 0, out.len() as u64));
        let mut at = header;
        for (kind, offset, size) in segments {
            let bytes = self.segment(kind, offset, size);
            out[at..at + bytes.len()].copy_from_slice(&bytes);
            at += program_header;
        }
        let bytes = self.header(count as u16);
        out[..bytes.len()].copy_from_slice(&bytes);
        self.sections(&mut out);
        out
    }

    /// The section and the names of sections, behind everything else.
    fn sections(&self, out: &mut Vec<u8>) {
        let Some((name, bytes)) = &self.section else { return };
        let names = [b"\0", name.as_bytes(), b"\0"].concat();
        let (at, names_at) = (out.len() as u64, (out.len() + bytes.len()) as u64);
        out.extend_from_slice(bytes);
        out.extend_from_slice(&names);
        out.resize(out.len().next_multiple_of(8), 0);
        let table = out.len() as u64;
        for (name, kind, offset, size) in
            [(0_u32, 0_u32, 0, 0), (1, 7, at, bytes.len() as u64), (0, 3, names_at, names.len() as u64)]
        {
            let numbers = [0, 0, offset, size, 0, 1, 0].map(u64::to_le_bytes).concat();
            out.extend([name.to_le_bytes(), kind.to_le_bytes()].concat());
            out.extend(numbers);
        }
        out[40..48].copy_from_slice(&table.to_le_bytes());
        out[58..64].copy_from_slice(&[64_u16, 3, 2].map(u16::to_le_bytes).concat());
    }

    fn header(&self, count: u16) -> Vec<u8> {
        let mut out = b"\x7fELF".to_vec();
        out.extend([1 + u8::from(self.is_64), 2 - u8::from(self.is_little), 1]);
        out.resize(16, 0);
        self.half(&mut out, self.kind);
        self.half(&mut out, self.machine);
        self.word(&mut out, 1);
        self.long(&mut out, BASE);
        self.long(&mut out, if self.is_64 { 64 } else { 52 });
        self.long(&mut out, 0);
        self.word(&mut out, 0);
        for value in if self.is_64 { [64, 56] } else { [52, 32] } {
            self.half(&mut out, value);
        }
        self.half(&mut out, count);
        for _ in 0..3 {
            self.half(&mut out, 0);
        }
        out
    }

    fn segment(&self, kind: u32, offset: u64, size: u64) -> Vec<u8> {
        let mut out = Vec::new();
        self.word(&mut out, kind);
        if self.is_64 {
            self.word(&mut out, 5);
        }
        for value in [offset, BASE + offset, BASE + offset, size, size] {
            self.long(&mut out, value);
        }
        if !self.is_64 {
            self.word(&mut out, 5);
        }
        self.long(&mut out, 1);
        out
    }

    /// Writes strings, version tables and the dynamic segment; returns where the last lies.
    fn dynamic(&self, out: &mut Vec<u8>) -> (u64, u64) {
        let mut strings = vec![0];
        let mut offsets: BTreeMap<&str, u64> = BTreeMap::new();
        let needs = self.needs.iter().flat_map(|(file, versions)| versions.iter().chain([file]));
        let texts =
            self.strings.iter().map(|(_, text)| text).chain(needs).chain(&self.defines).chain(&self.symbols);
        for text in texts {
            offsets.entry(text).or_insert_with(|| {
                let at = strings.len() as u64;
                strings.extend(text.bytes().chain([0]));
                at
            });
        }
        let mut place = |bytes: &[u8]| {
            out.resize(out.len().next_multiple_of(8), 0);
            let at = BASE + out.len() as u64;
            out.extend_from_slice(bytes);
            at
        };
        let mut entries: Vec<(i64, u64)> =
            self.strings.iter().map(|(tag, text)| (*tag, offsets[text.as_str()])).collect();
        entries.extend(&self.numbers);
        entries.push((5, place(&strings)));
        entries.push((10, strings.len() as u64));
        if !self.needs.is_empty() {
            entries.push((0x6fff_fffe, place(&self.version_needs(&offsets))));
            entries.push((0x6fff_ffff, self.needs.len() as u64));
        }
        if !self.defines.is_empty() {
            entries.push((0x6fff_fffc, place(&self.version_definitions(&offsets))));
            entries.push((0x6fff_fffd, self.defines.len() as u64));
        }
        entries.push((0, 0));
        let mut table = Vec::new();
        for (tag, value) in &entries {
            self.long(&mut table, *tag as u64);
            self.long(&mut table, *value);
        }
        (place(&table) - BASE, table.len() as u64)
    }

    fn version_needs(&self, offsets: &BTreeMap<&str, u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, (file, versions)) in self.needs.iter().enumerate() {
            let is_last = index + 1 == self.needs.len();
            self.half(&mut out, 1);
            self.half(&mut out, versions.len() as u16);
            self.word(&mut out, offsets[file.as_str()] as u32);
            self.word(&mut out, 16);
            self.word(&mut out, if is_last { 0 } else { 16 + 16 * versions.len() as u32 });
            for (index, version) in versions.iter().enumerate() {
                self.word(&mut out, 0);
                self.half(&mut out, 0);
                self.half(&mut out, 2);
                self.word(&mut out, offsets[version.as_str()] as u32);
                self.word(&mut out, if index + 1 == versions.len() { 0 } else { 16 });
            }
        }
        out
    }

    fn version_definitions(&self, offsets: &BTreeMap<&str, u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, version) in self.defines.iter().enumerate() {
            for value in [1, 0, index as u16 + 1, 1] {
                self.half(&mut out, value);
            }
            self.word(&mut out, 0);
            self.word(&mut out, 20);
            self.word(&mut out, if index + 1 == self.defines.len() { 0 } else { 28 });
            self.word(&mut out, offsets[version.as_str()] as u32);
            self.word(&mut out, 0);
        }
        out
    }

    fn half(&self, out: &mut Vec<u8>, value: u16) {
        out.extend(if self.is_little { value.to_le_bytes() } else { value.to_be_bytes() });
    }

    fn word(&self, out: &mut Vec<u8>, value: u32) {
        out.extend(if self.is_little { value.to_le_bytes() } else { value.to_be_bytes() });
    }

    fn long(&self, out: &mut Vec<u8>, value: u64) {
        if self.is_64 {
            out.extend(if self.is_little { value.to_le_bytes() } else { value.to_be_bytes() });
        } else {
            self.word(out, value as u32);
        }
    }
}
