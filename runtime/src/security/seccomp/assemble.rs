//! Assembles verdicts into a classic BPF program.
//!
//! Layout: the architecture is looked up once, then each ABI has a section of its own: a binary search over the ranges of
//! numbers with equal verdicts, then the conditions on arguments, then the returns.
//!
//! ```text
//!        ld  arch
//!        jeq X86_64 -> A, else next      (one for each ABI; after the last: kill)
//!   A:   ld  nr
//!        jge m -> right half, left half  (n - 1 of these for n ranges)
//!        …
//!        conditions: ld args[0]; …
//!        ret ALLOW / ret ERRNO …
//! ```
//!
//! The program is built from its end to its beginning, because jumps go forward only: every target is known when a jump to it
//! is made.

use std::collections::BTreeMap;

use super::{
    SockFilter,
    profile::{
        CLONE_NAMESPACES, Chain, Comparison, Condition, FAMILIES_REFUSED, PERSONALITIES, Verdict,
        Verdicts,
    },
};
use crate::spec::SeccompOperator;

/// Offsets in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
/// The low half of the first argument; all supported architectures are little-endian.
const OFFSET_ARGUMENT: u32 = 16;
/// Bytes of an argument, and of its low half.
const ARGUMENT_BYTES: u32 = 8;
const HALF_BYTES: u32 = 4;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP_ALWAYS: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_ABOVE: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const JUMP_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const MASK: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Assembles the program of several ABIs, each with its `AUDIT_ARCH_*` value. Any other ABI kills the process.
pub(super) fn program(sections: &[(u32, Verdicts)]) -> Vec<SockFilter> {
    let mut assembler = Assembler::default();
    let mut next = assembler.push(RETURN, libc::SECCOMP_RET_KILL_PROCESS);
    for (architecture, verdicts) in sections.iter().rev() {
        let section = assembler.section(&ranges(verdicts), &verdicts.chains);
        next = assembler.branch(JUMP_EQUAL, *architecture, section, next);
    }
    assembler.push(LOAD, OFFSET_ARCHITECTURE);
    assembler.finish()
}

/// A first number and the verdict from there up to the next range.
type Range = (u32, Verdict);

/// Joins numbers with equal verdicts; covers all of `u32`.
fn ranges(verdicts: &Verdicts) -> Vec<Range> {
    let otherwise = verdicts.otherwise;
    let mut ranges: Vec<Range> = Vec::new();
    let mut push = |first: u32, verdict: Verdict| {
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((first, verdict));
        }
    };
    let mut number = 0;
    for (call, verdict) in &verdicts.calls {
        if *call > number {
            push(number, otherwise);
        }
        push(*call, *verdict);
        number = call + 1;
    }
    if number <= verdicts.newest {
        push(number, otherwise);
    }
    push(verdicts.newest + 1, verdicts.beyond);
    if let Some(foreign) = verdicts.foreign {
        push(foreign, Verdict::Errno(libc::ENOSYS));
    }
    ranges
}

/// The high and the low half of an argument's value.
fn halves(value: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("it was masked");
    (half(value >> 32), half(value))
}

/// What [`Assembler::targets`] finds a verdict by; equal returns share one place.
fn key(verdict: Verdict) -> (u8, u32) {
    match verdict {
        Verdict::Allow => (0, libc::SECCOMP_RET_ALLOW),
        Verdict::Errno(errno) => (0, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        Verdict::Return(value) => (0, value),
        Verdict::When(condition) => (1, condition as u32),
        Verdict::Chain(index) => (2, u32::try_from(index).unwrap_or(u32::MAX)),
    }
}

/// The place of an instruction, counted from the end of the program.
type Place = usize;

#[derive(Debug, Default)]
struct Assembler {
    /// The program, last instruction first.
    reversed: Vec<SockFilter>,
    /// Where the returns and conditions of the current section are, by verdict.
    targets: BTreeMap<(u8, u32), Place>,
}

impl Assembler {
    /// Emits one ABI's section and returns its first instruction.
    fn section(&mut self, ranges: &[Range], chains: &[Chain]) -> Place {
        self.targets.clear();
        for verdict in [
            Verdict::Allow,
            Verdict::Errno(libc::EPERM),
            Verdict::Errno(libc::ENOSYS),
        ] {
            self.target(verdict);
        }
        for (index, chain) in chains.iter().enumerate() {
            let place = self.chain(chain);
            self.targets.insert(key(Verdict::Chain(index)), place);
        }
        for (_, verdict) in ranges {
            self.target(*verdict);
        }
        let search = self.search(ranges);
        self.goto(search);
        self.push(LOAD, OFFSET_NUMBER)
    }

    /// Emits the search through some ranges and returns its first instruction.
    fn search(&mut self, ranges: &[Range]) -> Place {
        if let [(_, verdict)] = ranges {
            return self.target(*verdict);
        }
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let above = self.search(high);
        let below = self.search(low);
        self.branch(JUMP_AT_LEAST, high[0].0, above, below)
    }

    /// Returns where a verdict is carried out, and emits that if this section does not have it yet.
    fn target(&mut self, verdict: Verdict) -> Place {
        let key = key(verdict);
        if let Some(place) = self.targets.get(&key) {
            return *place;
        }
        let place = match verdict {
            Verdict::Allow => self.push(RETURN, libc::SECCOMP_RET_ALLOW),
            Verdict::Errno(errno) => {
                self.push(RETURN, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs())
            }
            Verdict::When(condition) => self.condition(condition),
            Verdict::Return(value) => self.push(RETURN, value),
            Verdict::Chain(_) => unreachable!("a section begins with its chains"),
        };
        self.targets.insert(key, place);
        place
    }

    /// Emits the tests of a chain and returns its first instruction.
    fn chain(&mut self, chain: &Chain) -> Place {
        let mut next = self.target(Verdict::Return(chain.otherwise));
        for (comparisons, value) in chain.tests.iter().rev() {
            let hit = self.target(Verdict::Return(*value));
            next = comparisons.iter().rev().fold(hit, |yes, comparison| {
                self.comparison(comparison, yes, next)
            });
        }
        next
    }

    /// Emits a comparison of an argument and returns its first instruction. The high half is looked at first.
    fn comparison(&mut self, comparison: &Comparison, yes: Place, no: Place) -> Place {
        let offset = OFFSET_ARGUMENT + comparison.index * ARGUMENT_BYTES;
        let (high, low) = halves(comparison.value);
        let (mask_high, mask_low) = halves(comparison.mask);
        // The jump that the low half decides once the high halves are equal, and where an unequal high half leads.
        let (code, low_yes, low_no) = match comparison.op {
            SeccompOperator::Equal | SeccompOperator::MaskedEqual => (JUMP_EQUAL, yes, no),
            SeccompOperator::NotEqual => (JUMP_EQUAL, no, yes),
            SeccompOperator::Greater => (JUMP_ABOVE, yes, no),
            SeccompOperator::LessOrEqual => (JUMP_ABOVE, no, yes),
            SeccompOperator::GreaterOrEqual => (JUMP_AT_LEAST, yes, no),
            SeccompOperator::Less => (JUMP_AT_LEAST, no, yes),
        };
        let by_low = self.branch(code, low, low_yes, low_no);
        self.goto(by_low);
        self.mask(mask_low);
        let low_half = self.push(LOAD, offset);
        let different = match comparison.op {
            SeccompOperator::Equal | SeccompOperator::MaskedEqual => no,
            SeccompOperator::NotEqual => yes,
            SeccompOperator::Greater | SeccompOperator::GreaterOrEqual => {
                self.branch(JUMP_ABOVE, high, yes, no)
            }
            SeccompOperator::Less | SeccompOperator::LessOrEqual => {
                self.branch(JUMP_ABOVE, high, no, yes)
            }
        };
        let by_high = self.branch(JUMP_EQUAL, high, low_half, different);
        self.goto(by_high);
        self.mask(mask_high);
        self.push(LOAD, offset + HALF_BYTES)
    }

    fn mask(&mut self, mask: u32) {
        if mask != u32::MAX {
            self.push(MASK, mask);
        }
    }

    /// Emits the test of an argument and returns its first instruction.
    fn condition(&mut self, condition: Condition) -> Place {
        let allow = self.target(Verdict::Allow);
        let refuse = self.target(Verdict::Errno(libc::EPERM));
        let test = match condition {
            Condition::SocketFamily => FAMILIES_REFUSED.iter().fold(allow, |next, family| {
                self.branch(JUMP_EQUAL, *family, refuse, next)
            }),
            Condition::Personality => PERSONALITIES.iter().fold(refuse, |next, value| {
                self.branch(JUMP_EQUAL, *value, allow, next)
            }),
            Condition::CloneFlags => self.branch(JUMP_ANY_BIT, CLONE_NAMESPACES, refuse, allow),
        };
        self.goto(test);
        self.push(LOAD, OFFSET_ARGUMENT)
    }

    /// Emits a conditional jump and returns its place.
    fn branch(&mut self, code: u32, operand: u32, yes: Place, no: Place) -> Place {
        // A conditional jump reaches 255 instructions; what is farther away gets an unconditional jump on the way. Making one
        // moves the other target by one more instruction, hence the room.
        let far = |from: Place, target: Place| from - target > 250;
        let yes = if far(self.reversed.len(), yes) {
            self.jump(yes)
        } else {
            yes
        };
        let no = if far(self.reversed.len(), no) {
            self.jump(no)
        } else {
            no
        };
        let offset = |target: Place| {
            u8::try_from(self.reversed.len() - 1 - target)
                .expect("far targets have a jump of their own")
        };
        let (jt, jf) = (offset(yes), offset(no));
        self.push_raw(code, jt, jf, operand)
    }

    /// Makes the next instruction emitted run into `target`, which usually needs nothing.
    fn goto(&mut self, target: Place) {
        if target + 1 != self.reversed.len() {
            self.jump(target);
        }
    }

    fn jump(&mut self, target: Place) -> Place {
        let offset = self.reversed.len() - 1 - target;
        let offset = u32::try_from(offset).expect("a program has at most 4096 instructions");
        self.push(JUMP_ALWAYS, offset)
    }

    fn push(&mut self, code: u32, operand: u32) -> Place {
        self.push_raw(code, 0, 0, operand)
    }

    fn push_raw(&mut self, code: u32, jt: u8, jf: u8, k: u32) -> Place {
        let code = u16::try_from(code).expect("opcodes have 16 bits");
        self.reversed.push(SockFilter { code, jt, jf, k });
        self.reversed.len() - 1
    }

    fn finish(mut self) -> Vec<SockFilter> {
        self.reversed.reverse();
        self.reversed
    }
}
