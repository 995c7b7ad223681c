//! From a table of verdicts to a BPF program.
//!
//! A program is, per architecture, a binary search over ranges of call numbers whose leaves are verdicts; a chain of
//! comparisons (what most emitters produce) would cost each call of a build hundreds of instructions. Everything here
//! is pure, and the tests run the program on an interpreter against the table.

use std::collections::BTreeMap;

use super::table;

/// One instruction (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(super) code: u16,
    pub(super) jump_true: u8,
    pub(super) jump_false: u8,
    pub(super) value: u32,
}

pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
pub(super) const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets in `struct seccomp_data`. Of the arguments the low halves are looked at: the kernel itself uses no more of
/// these ones.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;
pub(super) const FIRST_ARGUMENT: u32 = if cfg!(target_endian = "big") { 20 } else { 16 };

pub(super) const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
pub(super) const DENY: u32 = ERRNO | libc::EPERM as u32;
pub(super) const UNKNOWN: u32 = ERRNO | libc::ENOSYS as u32;

/// `AUDIT_ARCH_*` of the columns of the table.
pub(super) const X86_64: u32 = 0xc000_003e;
pub(super) const X86: u32 = 0x4000_0003;
pub(super) const AARCH64: u32 = 0xc000_00b7;
pub(super) const ARM: u32 = 0x4000_0028;

/// Marks a call by an x32 program; the architecture is that of x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;
/// Private calls of 32-bit ARM start here, far above the ordinary ones.
const ARM_PRIVATE: u32 = 0x000f_0000;

/// What to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// `SECCOMP_RET_*` with its data.
    Return(u32),
    /// Allowed if the first argument is one of these.
    FirstIsOneOf(&'static [u32]),
    /// Allowed if the first argument has none of these bits.
    FirstHasNone(u32),
}

/// What the machine that we were built for runs: its own programs first, then the 32-bit ones.
pub(super) fn architectures() -> &'static [(u32, usize)] {
    if cfg!(target_arch = "x86_64") {
        &[(X86_64, 0), (X86, 1)]
    } else if cfg!(target_arch = "aarch64") {
        &[(AARCH64, 2), (ARM, 3)]
    } else {
        &[]
    }
}

/// The verdicts of one column, for all numbers: a list of range starts, the first of which is 0.
pub(super) fn verdicts(column: usize, x32: bool) -> Vec<(u32, Verdict)> {
    let mut calls = BTreeMap::new();
    let mut put = |number: i32, verdict| {
        if let Ok(number) = u32::try_from(number) {
            calls.insert(number, verdict);
        }
    };
    for (_, numbers) in table::ALLOWED {
        put(numbers[column], Verdict::Return(ALLOW));
    }
    put(table::SOCKET[column], Verdict::FirstIsOneOf(table::SOCKET_FAMILIES));
    put(table::PERSONALITY[column], Verdict::FirstIsOneOf(table::PERSONALITIES));
    put(table::CLONE[column], Verdict::FirstHasNone(table::CLONE_NAMESPACES));
    put(table::CLONE3[column], Verdict::Return(UNKNOWN));
    let newest = calls.keys().copied().filter(|&number| number < ARM_PRIVATE).max().unwrap_or(0);
    if x32 {
        calls.extend(table::X32.iter().map(|&number| (number, Verdict::Return(ALLOW))));
    }

    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    let mut next = 0;
    let mut add = |start: u32, verdict: Verdict| {
        if ranges.last().is_none_or(|&(_, last)| last != verdict) {
            ranges.push((start, verdict));
        }
    };
    // A gap below the newest known call is something that the profile leaves out; above it is the future.
    let gap = |from: u32, to: u32, add: &mut dyn FnMut(u32, Verdict)| {
        if from < to && from <= newest {
            add(from, Verdict::Return(DENY));
        }
        if to > newest + 1 {
            add(from.max(newest + 1), Verdict::Return(UNKNOWN));
        }
    };
    for (&number, &verdict) in &calls {
        if number > next {
            gap(next, number, &mut add);
        }
        add(number, verdict);
        next = number + 1;
    }
    gap(next, u32::MAX, &mut add);
    ranges
}

/// The whole program for the machine that we were built for.
pub(crate) fn program() -> Vec<Instruction> {
    let mut code = vec![statement(LOAD, ARCHITECTURE)];
    for &(architecture, column) in architectures() {
        let mut body = vec![statement(LOAD, NUMBER)];
        if architecture == X86_64 {
            let mut x32 = vec![statement(AND, !X32_BIT)];
            x32.extend(search(&verdicts(column, true)));
            // Not x32: over its part.
            body.push(jump(JUMP_GREATER_EQUAL, X32_BIT, 1, 0));
            body.push(statement(JUMP, x32.len() as u32));
            body.extend(x32);
        }
        body.extend(search(&verdicts(column, false)));
        // Not this architecture: over its part.
        code.push(jump(JUMP_EQUAL, architecture, 1, 0));
        code.push(statement(JUMP, body.len() as u32));
        code.extend(body);
    }
    code.push(statement(RETURN, DENY));
    code
}

/// A binary search over `ranges` with the number in the accumulator.
fn search(ranges: &[(u32, Verdict)]) -> Vec<Instruction> {
    if let [(_, verdict)] = ranges {
        return leaf(*verdict);
    }
    let middle = ranges.len() / 2;
    let below = search(&ranges[..middle]);
    let above = search(&ranges[middle..]);
    let mut code = match u8::try_from(below.len()) {
        Ok(distance) => vec![jump(JUMP_GREATER_EQUAL, ranges[middle].0, distance, 0)],
        Err(_) => vec![jump(JUMP_GREATER_EQUAL, ranges[middle].0, 0, 1), statement(JUMP, below.len() as u32)],
    };
    code.extend(below);
    code.extend(above);
    code
}

fn leaf(verdict: Verdict) -> Vec<Instruction> {
    match verdict {
        Verdict::Return(value) => vec![statement(RETURN, value)],
        Verdict::FirstIsOneOf(values) => {
            let mut code = vec![statement(LOAD, FIRST_ARGUMENT)];
            for (index, &value) in values.iter().enumerate() {
                // Over the remaining comparisons and the refusal.
                let distance = u8::try_from(values.len() - index).expect("lists are short");
                code.push(jump(JUMP_EQUAL, value, distance, 0));
            }
            code.extend([statement(RETURN, DENY), statement(RETURN, ALLOW)]);
            code
        }
        Verdict::FirstHasNone(bits) => vec![
            statement(LOAD, FIRST_ARGUMENT),
            jump(JUMP_ANY_BIT, bits, 0, 1),
            statement(RETURN, DENY),
            statement(RETURN, ALLOW),
        ],
    }
}

fn statement(code: u16, value: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, value }
}

fn jump(code: u16, value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, value }
}
