//! The default profile and users' rules against libseccomp, which Docker's own filters are made with.
//!
//! A C program that is compiled here reads rules and prints libseccomp's filter; the emulated machine then runs both filters. It names
//! calls, so their numbers are libseccomp's own: the tables are cross-checked too. Needs a C compiler and libseccomp-dev; without them the
//! tests say so and pass, but not under CI.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests run a compiler and the program that it makes"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::*;

mod profiles;

/// Takes an architecture and a default action, reads `<name> <action> {<argument> <operator> <value> <second value>}` lines; actions are
/// the kernel's numbers, which are libseccomp's too. Prints `unknown <name>` for calls that
/// this libseccomp does not know, then the program as `code jt jf k` lines.
const PROGRAM: &str = r#"
#include <seccomp.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    scmp_filter_ctx ctx = seccomp_init(strtoul(argv[2], NULL, 0));
    if (!ctx) return 2;
    if (!strcmp(argv[1], "x86") && (seccomp_arch_add(ctx, SCMP_ARCH_X86) || seccomp_arch_remove(ctx, SCMP_ARCH_X86_64))) return 3;
    unsigned arch = strcmp(argv[1], "x86") ? SCMP_ARCH_X86_64 : SCMP_ARCH_X86;
    char *line = NULL; size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        char *name = strtok(line, " \n");
        unsigned action = strtoul(strtok(NULL, " \n"), NULL, 0);
        struct scmp_arg_cmp conditions[6]; unsigned count = 0; char *word;
        while ((word = strtok(NULL, " \n"))) {
            unsigned index = strtoul(word, NULL, 0);
            int op = atoi(strtok(NULL, " \n"));
            unsigned long long a = strtoull(strtok(NULL, " \n"), NULL, 0), b = strtoull(strtok(NULL, " \n"), NULL, 0);
            conditions[count++] = (struct scmp_arg_cmp){ index, op, a, b };
        }
        int number = seccomp_syscall_resolve_name(name);
        if (number == __NR_SCMP_ERROR) { printf("unknown %s\n", name); continue; }
        printf("number %s %d\n", name, seccomp_syscall_resolve_name_arch(arch, name));
        int result = seccomp_rule_add_array(ctx, action, number, count, conditions);
        if (result && result != -EDOM) { fprintf(stderr, "%s: %s\n", name, strerror(-result)); return 4; }
    }
    FILE *file = tmpfile();
    if (seccomp_export_bpf(ctx, fileno(file))) return 5;
    rewind(file);
    struct sock_filter instruction;
    while (fread(&instruction, sizeof instruction, 1, file) == 1)
        printf("%u %u %u %u\n", instruction.code, instruction.jt, instruction.jf, instruction.k);
    return 0;
}
"#;

/// A call, what the filter returns, and conditions: argument, operator, two values.
type Rule = (&'static str, u32, Vec<(u32, SeccompOperator, u64, u64)>);

/// What libseccomp made of rules.
struct Oracle {
    filter: Vec<SockFilter>,
    /// Its number for each call that it knows.
    numbers: BTreeMap<String, i32>,
    unknown: BTreeSet<String>,
}

/// Compiles the program once; `None` with the reason told when this host cannot.
fn compiled() -> Option<&'static Path> {
    static COMPILED: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let made = COMPILED.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("oracle.c");
        fs_err::write(&source, PROGRAM).unwrap();
        let output = Command::new("cc")
            .arg("-o")
            .arg(directory.path().join("oracle"))
            .arg(&source)
            .arg("-lseccomp")
            .output();
        match output {
            Ok(output) if output.status.success() => Some(directory),
            Ok(output) => {
                eprintln!("{}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                eprintln!("cc: {error}");
                None
            }
        }
    });
    assert!(
        made.is_some() || std::env::var_os("CI").is_none(),
        "a C compiler and libseccomp-dev are needed under CI"
    );
    if made.is_none() {
        eprintln!("skipped: no C compiler with libseccomp-dev on this host");
    }
    made.as_ref().map(tempfile::TempDir::path)
}

fn oracle(directory: &Path, architecture: &str, default: u32, rules: &[Rule]) -> Oracle {
    let mut child = Command::new(directory.join("oracle"))
        .args([architecture, &default.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = |(name, action, conditions): &Rule| {
        let mut words = vec![(*name).to_owned(), action.to_string()];
        for (index, op, value, other) in conditions {
            words.push(format!("{index} {} {value} {other}", operator(*op)));
        }
        words.join(" ") + "\n"
    };
    let text: String = rules.iter().map(line).collect::<Vec<_>>().concat();
    // The program reads all before it prints more than a pipe holds.
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let mut oracle = Oracle {
        filter: Vec::new(),
        numbers: BTreeMap::new(),
        unknown: BTreeSet::new(),
    };
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["unknown", name] => {
                oracle.unknown.insert(name.to_owned());
            }
            ["number", name, number] => {
                oracle
                    .numbers
                    .insert(name.to_owned(), number.parse().unwrap());
            }
            [code, jt, jf, k] => oracle.filter.push(SockFilter {
                code: code.parse().unwrap(),
                jt: jt.parse().unwrap(),
                jf: jf.parse().unwrap(),
                k: k.parse().unwrap(),
            }),
            _ => panic!("{line}"),
        }
    }
    oracle
}

/// `enum scmp_compare`.
fn operator(op: SeccompOperator) -> u32 {
    match op {
        SeccompOperator::NotEqual => 1,
        SeccompOperator::Less => 2,
        SeccompOperator::LessOrEqual => 3,
        SeccompOperator::Equal => 4,
        SeccompOperator::GreaterOrEqual => 5,
        SeccompOperator::Greater => 6,
        SeccompOperator::MaskedEqual => 7,
    }
}

/// The rules of the default profile, as Docker's JSON states them.
fn rules(abi: Abi, held: &[String]) -> (Vec<Rule>, BTreeMap<u32, &'static str>) {
    let names: BTreeMap<u32, &'static str> =
        numbers(abi).map(|(name, number)| (number, name)).collect();
    let mut rules = Vec::new();
    for (number, verdict) in verdicts(abi, held).calls {
        let name = names[&number];
        match verdict {
            Verdict::Allow => rules.push((name, ALLOW, vec![])),
            Verdict::Errno(errno) => {
                let refused = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
                rules.push((name, refused, vec![]));
            }
            Verdict::When(Condition::SocketFamily) => {
                for (op, value) in [
                    (SeccompOperator::Less, 38),
                    (SeccompOperator::Equal, 39),
                    (SeccompOperator::Greater, 40),
                ] {
                    rules.push((name, ALLOW, vec![(0, op, value, 0)]));
                }
            }
            Verdict::When(Condition::Personality) => {
                for value in PERSONALITIES {
                    let equal = (0, SeccompOperator::Equal, u64::from(value), 0);
                    rules.push((name, ALLOW, vec![equal]));
                }
            }
            Verdict::When(Condition::CloneFlags) => {
                let masked = (
                    0,
                    SeccompOperator::MaskedEqual,
                    u64::from(CLONE_NAMESPACES),
                    0,
                );
                rules.push((name, ALLOW, vec![masked]));
            }
            Verdict::Return(_) | Verdict::Chain(_) => unreachable!("of users' profiles only"),
        }
    }
    (rules, names)
}

#[test]
fn libseccomp_says_the_same_of_the_default_profile() {
    let Some(directory) = compiled() else {
        return;
    };
    for held in [DEFAULT, "", "SYS_ADMIN SYS_PTRACE BPF PERFMON SYS_TIME"] {
        let held_names = capabilities(held);
        let ours = both(held);
        for (abi, architecture, name) in [(Abi::X86_64, X86_64, "x86_64"), (Abi::I386, I386, "x86")]
        {
            let (rules, names) = rules(abi, &held_names);
            let theirs = oracle(directory, name, EPERM, &rules);
            for (call, number) in &theirs.numbers {
                // Negative: this architecture has no such call of its own.
                if *number >= 0 {
                    let own = names.get(&number.unsigned_abs());
                    assert_eq!(own, Some(&call.as_str()), "{name}: {number}");
                }
            }
            let newest = verdicts(abi, &held_names).newest;
            for number in 0..=newest + 50 {
                // Newer than this libseccomp: it could not be asked.
                let is_unknown = names
                    .get(&number)
                    .is_some_and(|name| theirs.unknown.contains(*name));
                for &argument in ARGUMENTS.iter().filter(|argument| **argument < 1 << 32) {
                    let found = run(&ours, architecture, number, argument);
                    if number > newest {
                        assert_eq!(found, ENOSYS, "{name} {number}: newer than the profile");
                    } else if !is_unknown {
                        let wanted = run(&theirs.filter, architecture, number, argument);
                        assert_eq!(found, wanted, "{name} {number} {argument:#x} with {held:?}");
                    }
                }
            }
            assert!(theirs.unknown.len() < 60, "{:?}", theirs.unknown);
        }
    }
}

/// The third table of this machine: nobody needs it, and a filter that forgot it would be open.
#[test]
fn no_call_by_an_x32_number_is_let_through() {
    let ours = both("SYS_ADMIN");
    for number in 0..1000_u32 {
        for &argument in ARGUMENTS {
            let found = run(&ours, X86_64, number | 0x4000_0000, argument);
            assert_ne!(found, ALLOW, "{number}");
        }
    }
}

/// The kernel takes 32 bits of these arguments; who compares 64, as Docker's filters do, is led past by the upper ones.
#[test]
fn upper_bits_of_an_argument_lead_past_no_condition() {
    let ours = both(DEFAULT);
    for (name, refused) in [("socket", 40_u64), ("socket", 38), ("personality", 0x40000)] {
        let (_, number) = numbers(Abi::X86_64)
            .find(|(known, _)| *known == name)
            .unwrap();
        for upper in [0, 1 << 32, u64::MAX << 32] {
            assert_eq!(run(&ours, X86_64, number, upper | refused), EPERM, "{name}");
        }
    }
    let (_, clone3) = numbers(Abi::X86_64)
        .find(|(name, _)| *name == "clone3")
        .unwrap();
    assert_eq!(run(&ours, X86_64, clone3, 0), ENOSYS);
}
