//! Device rules as a program for v2 groups, which have no `devices` controller. Pure.
//!
//! The kernel calls it with the kind, the numbers and the wanted access of a device node that is opened or made; 1 permits, 0 refuses.

use crate::spec::{DeviceKind, DeviceRule};
use crate::sys::bpf::Instruction;

// Operations, as in linux/bpf_common.h and linux/bpf.h.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

// Registers.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const ACCESS: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const EXCESS: u8 = 6;

// struct bpf_cgroup_dev_ctx: access in the high and kind in the low half of the first word, then the numbers.
const OFFSET_ACCESS_AND_KIND: i16 = 0;
const OFFSET_MAJOR: i16 = 4;
const OFFSET_MINOR: i16 = 8;
const ACCESS_MAKE: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;
const ACCESS_ALL: i32 = ACCESS_MAKE | ACCESS_READ | ACCESS_WRITE;
const KIND_BLOCK: i32 = 1;
const KIND_CHARACTER: i32 = 2;

/// Returns the program that permits what some rule permits.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        load(ACCESS, OFFSET_ACCESS_AND_KIND),
        copy(KIND, ACCESS),
        constant(AND_32, KIND, 0xffff),
        constant(SHIFT_RIGHT_32, ACCESS, 16),
        load(MAJOR, OFFSET_MAJOR),
        load(MINOR, OFFSET_MINOR),
    ];
    for rule in rules {
        append_rule(&mut program, rule);
    }
    program.extend([constant(MOVE, RESULT, 0), exit()]);
    program
}

fn append_rule(program: &mut Vec<Instruction>, rule: &DeviceRule) {
    let kind = match rule.kind {
        DeviceKind::Block => KIND_BLOCK,
        DeviceKind::Character => KIND_CHARACTER,
    };
    let granted = [
        (rule.access.make, ACCESS_MAKE),
        (rule.access.read, ACCESS_READ),
        (rule.access.write, ACCESS_WRITE),
    ]
    .into_iter()
    .filter(|(granted, _)| *granted)
    .fold(0, |bits, (_, bit)| bits | bit);
    let mut body = vec![
        // Wanted access beyond the granted one.
        copy(EXCESS, ACCESS),
        constant(AND_32, EXCESS, ACCESS_ALL & !granted),
        constant(JUMP_NOT_EQUAL, EXCESS, 0),
        constant(JUMP_NOT_EQUAL, KIND, kind),
    ];
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        if let Some(number) = number {
            // The comparison extends the sign of its constant; device numbers have 20 bits at most.
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            body.push(constant(JUMP_NOT_EQUAL, register, number));
        }
    }
    body.extend([constant(MOVE, RESULT, 1), exit()]);
    let length = body.len();
    for (position, instruction) in body.iter_mut().enumerate() {
        if instruction.code == JUMP_NOT_EQUAL {
            instruction.offset =
                i16::try_from(length - position - 1).expect("a rule has a few instructions");
        }
    }
    program.append(&mut body);
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction {
        code: LOAD_WORD,
        registers: register | CONTEXT << 4,
        offset,
        immediate: 0,
    }
}

fn copy(to: u8, from: u8) -> Instruction {
    Instruction {
        code: MOVE_REGISTER,
        registers: to | from << 4,
        offset: 0,
        immediate: 0,
    }
}

fn constant(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: 0,
        immediate,
    }
}

fn exit() -> Instruction {
    constant(EXIT, 0, 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::DeviceAccess;

    /// The kernel's machine, as far as the program uses it.
    fn run(program: &[Instruction], access: i32, kind: i32, major: u32, minor: u32) -> bool {
        let mut registers = [0_u64; 11];
        let mut at = 0;
        loop {
            let Instruction {
                code,
                registers: pair,
                offset,
                immediate,
            } = program[at];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            at += 1;
            match code {
                LOAD_WORD => {
                    registers[to] = match offset {
                        0 => u64::try_from(access << 16 | kind).unwrap(),
                        4 => major.into(),
                        8 => minor.into(),
                        _ => panic!("offset {offset}"),
                    }
                }
                MOVE => registers[to] = u64::try_from(immediate).unwrap(),
                MOVE_REGISTER => registers[to] = registers[from],
                AND_32 => registers[to] &= u64::try_from(immediate).unwrap(),
                SHIFT_RIGHT_32 => registers[to] >>= immediate,
                JUMP_NOT_EQUAL => {
                    if registers[to] != u64::try_from(immediate).unwrap() {
                        at += usize::try_from(offset).unwrap();
                    }
                }
                EXIT => return registers[0] == 1,
                _ => panic!("code {code:#x}"),
            }
        }
    }

    fn any_rule() -> impl Strategy<Value = DeviceRule> {
        let number = || proptest::option::of(0_u32..4);
        (any::<bool>(), number(), number(), any::<[bool; 3]>()).prop_map(
            |(block, major, minor, [read, write, make])| DeviceRule {
                kind: if block {
                    DeviceKind::Block
                } else {
                    DeviceKind::Character
                },
                major,
                minor,
                access: DeviceAccess { read, write, make },
            },
        )
    }

    proptest! {
        #[test]
        fn the_program_permits_what_some_rule_permits(rules in proptest::collection::vec(any_rule(), 0..6)) {
            let program = program(&rules);
            for kind in [KIND_BLOCK, KIND_CHARACTER] {
                for (access, major, minor) in (1..=7).flat_map(|a| (0..4).flat_map(move |b| (0..4).map(move |c| (a, b, c)))) {
                    let expected = rules.iter().any(|rule| {
                        let DeviceAccess { read, write, make } = rule.access;
                        (rule.kind == DeviceKind::Block) == (kind == KIND_BLOCK)
                            && rule.major.is_none_or(|number| number == major)
                            && rule.minor.is_none_or(|number| number == minor)
                            && (make || access & ACCESS_MAKE == 0)
                            && (read || access & ACCESS_READ == 0)
                            && (write || access & ACCESS_WRITE == 0)
                    });
                    prop_assert_eq!(run(&program, access, kind, major, minor), expected);
                }
            }
        }
    }
}
