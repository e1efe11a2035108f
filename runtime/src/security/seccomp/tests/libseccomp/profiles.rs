//! Users' profiles in Docker's JSON form, as ours and as libseccomp's filters.
//!
//! libseccomp knows no capabilities, machines and kernel versions: which rules count is known here by how they were made.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::super::{
    assemble,
    custom::{Target, check, verdicts},
    custom_tests::any_value,
};
use super::*;
use crate::spec::SeccompProfile;

/// Calls that profiles have rules on. The last one has the highest number that every libseccomp knows: below it, calls that no rule names
/// get the default action of both.
const CALLS: [&str; 7] = [
    "read",
    "ioctl",
    "socket",
    "clone",
    "prctl",
    "kcmp",
    "finit_module",
];

/// Calls of no rule.
const OTHERS: [&str; 3] = ["write", "getpid", "mount"];

/// Why a rule counts, or does not, for a container with CAP_BPF on Linux 6.1 and amd64.
const GATES: [(&str, bool); 13] = [
    ("{}", true),
    (r#"{"includes": {"caps": ["CAP_BPF"]}}"#, true),
    (r#"{"includes": {"caps": ["CAP_SYS_ADMIN"]}}"#, false),
    (
        r#"{"includes": {"caps": ["CAP_BPF", "CAP_SYS_ADMIN"]}}"#,
        false,
    ),
    (
        r#"{"excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}}"#,
        false,
    ),
    (r#"{"excludes": {"caps": ["CAP_SYS_ADMIN"]}}"#, true),
    (r#"{"includes": {"minKernel": "6.1"}}"#, true),
    (r#"{"includes": {"minKernel": "6.2"}}"#, false),
    (r#"{"excludes": {"minKernel": "4.8"}}"#, false),
    (r#"{"excludes": {"minKernel": "10.0"}}"#, true),
    (r#"{"includes": {"arches": ["arm64", "amd64"]}}"#, true),
    (r#"{"includes": {"arches": ["s390x"]}}"#, false),
    (
        r#"{"includes": {"caps": ["CAP_BPF"]}, "excludes": {"arches": ["amd64"]}}"#,
        false,
    ),
];

/// An action with its data as JSON writes it, and what the filter returns.
type Action = (&'static str, Option<u32>, u32);

/// Actions of defaults and of rules. Without a number it is EPERM; that of a default has a name of its own.
const ACTIONS: [Action; 8] = [
    ("SCMP_ACT_ALLOW", None, ALLOW),
    ("SCMP_ACT_ERRNO", None, EPERM),
    ("SCMP_ACT_ERRNO", Some(38), ENOSYS),
    ("SCMP_ACT_KILL", None, libc::SECCOMP_RET_KILL_THREAD),
    (
        "SCMP_ACT_KILL_PROCESS",
        None,
        libc::SECCOMP_RET_KILL_PROCESS,
    ),
    ("SCMP_ACT_TRAP", None, libc::SECCOMP_RET_TRAP),
    ("SCMP_ACT_TRACE", Some(7), libc::SECCOMP_RET_TRACE | 0x7),
    ("SCMP_ACT_LOG", None, libc::SECCOMP_RET_LOG),
];

const OPERATORS: [(&str, SeccompOperator); 7] = [
    ("SCMP_CMP_NE", SeccompOperator::NotEqual),
    ("SCMP_CMP_LT", SeccompOperator::Less),
    ("SCMP_CMP_LE", SeccompOperator::LessOrEqual),
    ("SCMP_CMP_EQ", SeccompOperator::Equal),
    ("SCMP_CMP_GE", SeccompOperator::GreaterOrEqual),
    ("SCMP_CMP_GT", SeccompOperator::Greater),
    ("SCMP_CMP_MASKED_EQ", SeccompOperator::MaskedEqual),
];

/// Argument, operator (index of [`OPERATORS`]), two values.
type Test = (u32, usize, u64, u64);

/// What a profile says of one call: an action (index of [`ACTIONS`]), a gate (index of [`GATES`]), and rules with their tests.
type Call = (usize, usize, Vec<Vec<Test>>);

/// Conditions of one rule look at different arguments: libseccomp takes no others.
fn any_tests() -> impl Strategy<Value = Vec<Test>> {
    let test = (0_usize..7, any_value(), any_value());
    proptest::collection::btree_map(0_u32..6, test, 0..3).prop_map(|tests| {
        let flat = |(index, (op, first, second))| (index, op, first, second);
        tests.into_iter().map(flat).collect()
    })
}

/// A call has one rule with any conditions, or several that look for values: libseccomp 2.5 merges several bounds of one argument wrongly
/// (of `< 2^64-1` and `< 0` it lets 2^32-1 through). What ours makes of those, `any_rules_on_one_call_are_compiled_faithfully` looks at.
fn any_call() -> impl Strategy<Value = Call> {
    const EQUAL: usize = 3;
    let rules = proptest::collection::vec(any_tests(), 1..4).prop_map(|mut rules| {
        if rules.len() > 1 {
            let tests = rules.iter_mut().flatten();
            tests.for_each(|(_, op, ..)| *op = EQUAL);
        }
        rules
    });
    (0..ACTIONS.len(), 0..GATES.len(), rules)
}

fn profile(default: Action, calls: &[Call]) -> SeccompProfile {
    let mut rules = Vec::new();
    for (name, (action, gate, tests)) in CALLS.iter().zip(calls) {
        let (action, data, _) = ACTIONS[*action];
        for tests in tests {
            let argument = |&(index, op, value, second): &Test| json!({ "index": index, "op": OPERATORS[op].0, "value": value, "valueTwo": second });
            let mut rule: Value = serde_json::from_str(GATES[*gate].0).unwrap();
            rule["names"] = json!([name, "no_such_call"]);
            rule["action"] = json!(action);
            rule["args"] = tests.iter().map(argument).collect();
            if let Some(data) = data {
                rule["errnoRet"] = json!(data);
            }
            rules.push(rule);
        }
    }
    let mut profile = json!({ "defaultAction": default.0, "syscalls": rules });
    if let Some(data) = default.1 {
        profile["defaultErrnoRet"] = json!(data);
    }
    let profile = serde_json::from_value(profile).unwrap();
    check(&profile).unwrap();
    profile
}

/// The rules that count, for libseccomp. It refuses those that say what the default says.
fn counting(default: Action, calls: &[Call]) -> Vec<Rule> {
    let mut counting = Vec::new();
    for (name, (action, gate, rules)) in CALLS.iter().zip(calls) {
        let returned = ACTIONS[*action].2;
        if !GATES[*gate].1 || returned == default.2 {
            continue;
        }
        for tests in rules {
            let condition =
                |&(index, op, value, second): &Test| (index, OPERATORS[op].1, value, second);
            let conditions = tests.iter().map(condition).collect();
            counting.push((*name, returned, conditions));
        }
    }
    counting
}

/// Arguments that the rules name, their neighbours, and others.
fn arguments(calls: &[Call], others: &[u64]) -> Vec<[u64; 6]> {
    let mut all: Vec<_> = others.iter().map(|value| [*value; 6]).collect();
    for tests in calls.iter().flat_map(|(_, _, rules)| rules) {
        let mut hit = [0; 6];
        for &(index, op, value, second) in tests {
            let value = match OPERATORS[op].1 {
                SeccompOperator::MaskedEqual => second,
                _ => value,
            };
            hit[index as usize] = value;
        }
        all.push(hit);
        for &(index, ..) in tests {
            for change in [1, u64::MAX, 1 << 32] {
                let mut near = hit;
                near[index as usize] = near[index as usize].wrapping_add(change);
                all.push(near);
            }
        }
    }
    all
}

fn agree(directory: &Path, default: usize, calls: &[Call], others: &[u64]) {
    // Only that of ERRNO has a number of its own.
    let default = ACTIONS[if ACTIONS[default].0 == "SCMP_ACT_TRACE" {
        0
    } else {
        default
    }];
    let profile = profile(default, calls);
    let capabilities = ["BPF".to_owned()];
    let target = Target {
        native: Abi::X86_64,
        capabilities: &capabilities,
        kernel: (6, 1),
    };
    let ours = assemble::program(&verdicts(&profile, &target));
    let theirs = oracle(directory, "x86_64", default.2, &counting(default, calls));
    for name in CALLS.iter().chain(&OTHERS) {
        let (_, number) = numbers(Abi::X86_64)
            .find(|(known, _)| known == name)
            .unwrap();
        for arguments in arguments(calls, others) {
            let found = run_with(&ours, X86_64, number, arguments);
            let wanted = run_with(&theirs.filter, X86_64, number, arguments);
            assert_eq!(found, wanted, "{name}({arguments:x?}) of {profile:#?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn libseccomp_says_the_same_of_users_profiles(
        default in 0..ACTIONS.len(),
        calls in proptest::collection::vec(any_call(), CALLS.len()),
        others in proptest::collection::vec(any_value(), 4),
    ) {
        if let Some(directory) = compiled() {
            agree(directory, default, &calls, &others);
        }
    }
}
