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
    profile::{CLONE_NAMESPACES, Condition, FAMILIES_REFUSED, PERSONALITIES, Verdict, Verdicts},
};

/// Offsets in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
/// The low half of the first argument; all supported architectures are little-endian.
const OFFSET_ARGUMENT: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP_ALWAYS: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Assembles the program of several ABIs, each with its `AUDIT_ARCH_*` value. Any other ABI kills the process.
pub(super) fn program(sections: &[(u32, Verdicts)]) -> Vec<SockFilter> {
    let mut assembler = Assembler::default();
    let mut next = assembler.push(RETURN, libc::SECCOMP_RET_KILL_PROCESS);
    for (architecture, verdicts) in sections.iter().rev() {
        let section = assembler.section(&ranges(verdicts));
        next = assembler.branch(JUMP_EQUAL, *architecture, section, next);
    }
    assembler.push(LOAD, OFFSET_ARCHITECTURE);
    assembler.finish()
}

/// A first number and the verdict from there up to the next range.
type Range = (u32, Verdict);

/// Joins numbers with equal verdicts; covers all of `u32`.
fn ranges(verdicts: &Verdicts) -> Vec<Range> {
    let eperm = Verdict::Errno(libc::EPERM);
    let mut ranges: Vec<Range> = Vec::new();
    let mut push = |first: u32, verdict: Verdict| {
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((first, verdict));
        }
    };
    let mut number = 0;
    for (call, verdict) in &verdicts.calls {
        if *call > number {
            push(number, eperm);
        }
        push(*call, *verdict);
        number = call + 1;
    }
    if number <= verdicts.newest {
        push(number, eperm);
    }
    push(verdicts.newest + 1, Verdict::Errno(libc::ENOSYS));
    ranges
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
    fn section(&mut self, ranges: &[Range]) -> Place {
        self.targets.clear();
        for verdict in [
            Verdict::Allow,
            Verdict::Errno(libc::EPERM),
            Verdict::Errno(libc::ENOSYS),
        ] {
            self.target(verdict);
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
        let key = match verdict {
            Verdict::Allow => (0, 0),
            Verdict::Errno(errno) => (1, errno.unsigned_abs()),
            Verdict::When(condition) => (2, condition as u32),
        };
        if let Some(place) = self.targets.get(&key) {
            return *place;
        }
        let place = match verdict {
            Verdict::Allow => self.push(RETURN, libc::SECCOMP_RET_ALLOW),
            Verdict::Errno(errno) => {
                self.push(RETURN, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs())
            }
            Verdict::When(condition) => self.condition(condition),
        };
        self.targets.insert(key, place);
        place
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
