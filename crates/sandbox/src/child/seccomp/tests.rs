//! The program, run on an interpreter, against the table.

use proptest::prelude::*;

use super::emit::{
    AARCH64, ALLOW, AND, ARCHITECTURE, DENY, FIRST_ARGUMENT, Instruction, JUMP, JUMP_ANY_BIT, JUMP_EQUAL,
    JUMP_GREATER_EQUAL, LOAD, NUMBER, RETURN, UNKNOWN, Verdict, X32_BIT, X86, X86_64, architectures, program,
    verdicts,
};
use super::table;

/// The kernel's `BPF_MAXINSNS`.
const LONGEST_PROGRAM: usize = 4096;

struct Call {
    architecture: u32,
    number: u32,
    first: u32,
}

/// Returns the verdict and how many instructions it took.
fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let (mut at, mut accumulator, mut steps) = (0, 0, 0);
    loop {
        let Instruction { code, jump_true, jump_false, value } = program[at];
        at += 1;
        steps += 1;
        let mut branch = |condition: bool| at += usize::from(if condition { jump_true } else { jump_false });
        match code {
            LOAD => {
                accumulator = match value {
                    NUMBER => call.number,
                    ARCHITECTURE => call.architecture,
                    FIRST_ARGUMENT => call.first,
                    other => panic!("load from {other}"),
                }
            }
            JUMP => at += value as usize,
            JUMP_EQUAL => branch(accumulator == value),
            JUMP_GREATER_EQUAL => branch(accumulator >= value),
            JUMP_ANY_BIT => branch(accumulator & value != 0),
            AND => accumulator &= value,
            RETURN => return (value, steps),
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn verdict(architecture: u32, number: u32, first: u32) -> u32 {
    run(&program(), &Call { architecture, number, first }).0
}

/// What the table says, without ranges and without a program.
fn expected(architecture: u32, column: usize, number: u32, first: u32) -> u32 {
    let x32 = architecture == X86_64 && number >= X32_BIT;
    let number = if x32 { number & !X32_BIT } else { number };
    let is = |numbers: [i32; 4]| i64::from(numbers[column]) == i64::from(number);
    let when = |condition| if condition { ALLOW } else { DENY };
    if is(table::SOCKET) {
        return when(table::SOCKET_FAMILIES.contains(&first));
    }
    if is(table::PERSONALITY) {
        return when(table::PERSONALITIES.contains(&first));
    }
    if is(table::CLONE) {
        return when(first & table::CLONE_NAMESPACES == 0);
    }
    if is(table::CLONE3) {
        return UNKNOWN;
    }
    if table::ALLOWED.iter().any(|&(_, numbers)| is(numbers)) || (x32 && table::X32.contains(&number)) {
        return ALLOW;
    }
    let newest = table::ALLOWED.iter().map(|(_, n)| n[column]).filter(|&n| n < 0xf_0000).max().unwrap();
    if i64::from(number) > i64::from(newest) { UNKNOWN } else { DENY }
}

#[test]
fn the_program_says_what_the_table_says_for_every_number() {
    let program = program();
    assert!(program.len() < LONGEST_PROGRAM, "{} instructions", program.len());
    for &(architecture, column) in architectures() {
        for number in (0..700).chain(0xf_0000..0xf_0010).chain(X32_BIT..X32_BIT + 700) {
            for first in [0, 0x1000_0000] {
                let (got, steps) = run(&program, &Call { architecture, number, first });
                assert_eq!(got, expected(architecture, column, number, first), "{architecture:#x} {number}");
                assert!(steps < 70, "{number}: {steps} instructions");
            }
        }
    }
}

proptest! {
    #[test]
    fn arguments_decide_where_they_should(number: u32, first: u32, which in 0_usize..8) {
        let program = program();
        for &(architecture, column) in architectures() {
            let number = match which {
                0 => table::SOCKET[column] as u32,
                1 => table::PERSONALITY[column] as u32,
                2 => table::CLONE[column] as u32,
                _ => number,
            };
            for first in [first, first % 64] {
                let (got, _) = run(&program, &Call { architecture, number, first });
                prop_assert_eq!(got, expected(architecture, column, number, first));
            }
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn known_calls() {
    for (name, number, first, want) in [
        ("read", 0, 0, ALLOW),
        ("chroot", 161, 0, ALLOW),
        ("mount", 165, 0, DENY),
        ("unshare", 272, 0, DENY),
        ("keyctl", 250, 0, DENY),
        ("clone3", 435, 0, UNKNOWN),
        ("open_tree_attr", 467, 0, UNKNOWN),
        ("socket(AF_INET)", 41, 2, ALLOW),
        ("socket(AF_ALG)", 41, 38, DENY),
        ("socket(AF_VSOCK)", 41, 40, DENY),
        ("personality(ADDR_NO_RANDOMIZE)", 135, 0x4_0000, DENY),
        ("personality(query)", 135, u32::MAX, ALLOW),
        ("clone(thread)", 56, 0x003d_0f00, ALLOW),
        ("clone(CLONE_NEWUSER)", 56, 0x1000_0000, DENY),
        ("x32 execve", X32_BIT + 520, 0, ALLOW),
        ("x32 kexec_load", X32_BIT + 528, 0, UNKNOWN),
    ] {
        assert_eq!(verdict(X86_64, number, first), want, "{name}");
    }
    assert_eq!(verdict(X86, 5, 0), ALLOW, "open of an i386 program");
    assert_eq!(verdict(X86, 21, 0), DENY, "mount of an i386 program");
    assert_eq!(verdict(AARCH64, 63, 0), DENY, "another architecture altogether");
}

#[test]
fn every_column_is_sorted_ranges_from_zero() {
    for column in 0..4 {
        let ranges = verdicts(column, false);
        assert_eq!(ranges[0].0, 0);
        assert!(ranges.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1));
        assert!(matches!(ranges.last(), Some((_, Verdict::Return(UNKNOWN)))));
    }
}

#[test]
fn no_call_stands_twice_and_none_that_depends_on_its_arguments() {
    let special = [table::SOCKET, table::PERSONALITY, table::CLONE, table::CLONE3];
    for column in 0..4 {
        let mut seen = std::collections::BTreeMap::new();
        for (name, numbers) in table::ALLOWED {
            assert!(special.iter().all(|s| s[column] != numbers[column]), "{name}");
            if numbers[column] >= 0 {
                assert_eq!(seen.insert(numbers[column], name), None, "{name}");
            }
        }
    }
}
