//! Profiles of users: the compiled program against what the JSON says, by the same BPF machine as the default profile's tests.

use proptest::prelude::*;

use super::custom::{ProfileError, Target, check, verdicts};
use super::profile::numbers;
use super::tests::run_with;
use super::{Abi, FilterError, SockFilter, assemble, program};
use crate::spec::{
    Seccomp, SeccompAction, SeccompArgument, SeccompOperator, SeccompProfile, Security,
};

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.unsigned_abs()
}

fn read(json: &str) -> SeccompProfile {
    let profile = serde_json::from_str(json).unwrap();
    check(&profile).unwrap();
    profile
}

fn compile(profile: &SeccompProfile, capabilities: &[&str], kernel: (u32, u32)) -> Vec<SockFilter> {
    let capabilities: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    assemble::program(&verdicts(
        profile,
        &Target {
            native: Abi::X86_64,
            capabilities: &capabilities,
            kernel,
        },
    ))
}

fn number(abi: Abi, name: &str) -> u32 {
    numbers(abi).find(|(known, _)| *known == name).unwrap().1
}

fn call(program: &[SockFilter], name: &str, arguments: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    run_with(program, X86_64, number(Abi::X86_64, name), all)
}

#[test]
fn names_actions_and_errnos_are_those_of_the_file() {
    let profile = read(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "archMap": [
              {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
              {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}],
            "syscalls": [
              {"names": ["read", "write", "newer_than_this_build"], "action": "SCMP_ACT_ALLOW"},
              {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "args": [], "comment": "no"},
              {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": null, "includes": {}, "excludes": {}},
              {"names": ["ptrace"], "action": "SCMP_ACT_KILL"},
              {"names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS"},
              {"names": ["vhangup"], "action": "SCMP_ACT_TRAP"},
              {"names": ["acct"], "action": "SCMP_ACT_LOG"},
              {"names": ["swapon"], "action": "SCMP_ACT_TRACE", "errnoRet": 7}]}"#,
    );
    let program = compile(&profile, &[], (6, 1));
    for (name, wanted) in [
        ("read", ALLOW),
        ("mkdir", errno(libc::EPERM)),
        ("rmdir", errno(libc::EACCES)),
        ("ptrace", libc::SECCOMP_RET_KILL_THREAD),
        ("reboot", KILL),
        ("vhangup", libc::SECCOMP_RET_TRAP),
        ("acct", libc::SECCOMP_RET_LOG),
        ("swapon", libc::SECCOMP_RET_TRACE | 7),
        ("getpid", errno(libc::ENOSYS)),
    ] {
        assert_eq!(call(&program, name, &[]), wanted, "{name}");
    }
    let write = number(Abi::I386, "write");
    assert_eq!(run_with(&program, I386, write, [0; 6]), ALLOW);
    // No other ABI is let in, and x32 numbers belong to none.
    assert_eq!(run_with(&program, 0xc000_00b7, 63, [0; 6]), KILL);
    assert_eq!(
        run_with(&program, X86_64, 0x4000_0000, [0; 6]),
        errno(libc::ENOSYS)
    );
}

#[test]
fn without_architectures_only_the_machines_own_is_let_in() {
    let profile = read(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}"#,
    );
    let program = compile(&profile, &[], (6, 1));
    assert_eq!(call(&program, "mkdir", &[]), errno(libc::EPERM));
    assert_eq!(call(&program, "rmdir", &[]), ALLOW);
    assert_eq!(run_with(&program, X86_64, 5000, [0; 6]), ALLOW);
    assert_eq!(run_with(&program, I386, 4, [0; 6]), KILL);
    // What is refused by its number cannot be called by its x32 number.
    let x32 = 0x4000_0000 | number(Abi::X86_64, "mkdir");
    assert_eq!(run_with(&program, X86_64, x32, [0; 6]), errno(libc::ENOSYS));
}

#[test]
fn rules_count_where_their_conditions_hold() {
    let profile = read(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
              {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
              {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_BPF", "CAP_SYS_ADMIN"]}},
              {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
              {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
              {"names": ["acct"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.0"}},
              {"names": ["getpid"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
              {"names": ["getppid"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390"]}},
              {"names": ["getuid"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}}]}"#,
    );
    let eperm = errno(libc::EPERM);
    let says = |capabilities: &[&str], kernel, name: &str| {
        call(&compile(&profile, capabilities, kernel), name, &[])
    };
    assert_eq!(says(&[], (6, 1), "bpf"), errno(libc::ENOSYS));
    assert_eq!(says(&["BPF"], (6, 1), "bpf"), ALLOW);
    assert_eq!(says(&["SYS_ADMIN"], (6, 1), "bpf"), eperm);
    assert_eq!(says(&["SYS_ADMIN"], (6, 1), "mount"), eperm);
    assert_eq!(says(&["SYS_ADMIN", "BPF"], (6, 1), "mount"), ALLOW);
    assert_eq!(says(&[], (4, 7), "ptrace"), eperm);
    assert_eq!(says(&[], (4, 10), "ptrace"), ALLOW);
    assert_eq!(says(&[], (4, 10), "acct"), ALLOW);
    assert_eq!(says(&[], (5, 0), "acct"), eperm);
    assert_eq!(says(&[], (6, 1), "getpid"), ALLOW);
    assert_eq!(says(&[], (6, 1), "getppid"), eperm);
    assert_eq!(says(&[], (6, 1), "getuid"), eperm);
}

#[test]
fn all_conditions_hold_together_and_those_on_one_argument_alternatively() {
    let profile = read(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
              {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 5, "op": "SCMP_CMP_EQ"}, {"index": 5, "value": 4294967296, "op": "SCMP_CMP_GE"}]},
              {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
              {"names": ["prctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [
                {"index": 1, "value": 240, "valueTwo": 16, "op": "SCMP_CMP_MASKED_EQ"}]},
              {"names": ["prctl"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let program = compile(&profile, &[], (6, 1));
    let eperm = errno(libc::EPERM);
    let kcmp = |first, last| call(&program, "kcmp", &[first, 0, 0, 0, 0, last]);
    assert_eq!(kcmp(5, 1 << 32), ALLOW);
    assert_eq!(kcmp(5, (1 << 32) - 1), eperm);
    assert_eq!(kcmp(6, 1 << 32), eperm);
    assert_eq!(kcmp(5 | 1 << 40, 1 << 32), eperm);
    for (family, wanted) in [(0, eperm), (1, ALLOW), (2, ALLOW), (3, eperm)] {
        assert_eq!(call(&program, "socket", &[family]), wanted, "{family}");
    }
    assert_eq!(call(&program, "prctl", &[0, 0x1f]), errno(libc::EINVAL));
    assert_eq!(call(&program, "prctl", &[0, 0x2f]), ALLOW);
}

#[test]
fn what_no_filter_can_be_is_refused_with_its_value() {
    let refusal = |json: &str| match serde_json::from_str::<SeccompProfile>(json) {
        Ok(profile) => check(&profile).unwrap_err().to_string(),
        Err(error) => error
            .to_string()
            .split(" at line")
            .next()
            .unwrap()
            .to_owned(),
    };
    for (rest, wanted) in [
        (
            r#""syscalls": [{"action": "SCMP_ACT_ALLOW"}]"#,
            "rule 0 has not exactly one of `name` and `names`",
        ),
        (
            r#""syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]"#,
            "rule 0 has not exactly one of `name` and `names`",
        ),
        (
            r#""syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]"#,
            "rule 0 looks at argument 6; the last one is 5",
        ),
        (
            r#""defaultErrnoRet": 4096"#,
            "error number 4096 is above 4095",
        ),
        (
            r#""syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"}}]"#,
            "`new` is not a kernel version such as `4.8`",
        ),
        (
            r#""flags": ["SECCOMP_FILTER_FLAG_LOG"]"#,
            "flag `SECCOMP_FILTER_FLAG_LOG` is not supported",
        ),
        (
            r#""architectures": ["SCMP_ARCH_X86_64"], "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]"#,
            "`architectures` and `archMap` exclude each other",
        ),
        (r#""sysCalls": []"#, "unknown field `sysCalls`"),
        (
            r#""syscalls": [{"names": ["a"], "action": "SCMP_ACT_NOTIFY"}]"#,
            "unknown variant `SCMP_ACT_NOTIFY`",
        ),
        (
            r#""syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]"#,
            "invalid value: integer `-1`, expected u64",
        ),
    ] {
        let text = refusal(&format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", {rest}}}"#));
        assert!(text.starts_with(wanted), "{rest}: {text}");
    }
}

#[test]
fn a_profile_too_large_for_the_kernel_is_refused() {
    let mut profile = read(r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#);
    let rule = |value: u64| {
        let json = format!(
            r#"{{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "value": {value}, "op": "SCMP_CMP_EQ"}}]}}"#
        );
        serde_json::from_str(&json).unwrap()
    };
    profile.syscalls = (0..2000).map(rule).collect();
    let security = Security {
        privileged: true,
        capabilities: vec![],
        no_new_privs: false,
        seccomp: Seccomp::Profile(Box::new(profile)),
        mask_paths: true,
        exact: None,
    };
    let Err(FilterError::Profile(ProfileError::Size(size))) = program(&security) else {
        panic!("it was compiled")
    };
    assert!(size > 4096);
}

fn holds(argument: &SeccompArgument, actual: u64) -> bool {
    let value = argument.value;
    match argument.op {
        SeccompOperator::NotEqual => actual != value,
        SeccompOperator::Less => actual < value,
        SeccompOperator::LessOrEqual => actual <= value,
        SeccompOperator::Equal => actual == value,
        SeccompOperator::GreaterOrEqual => actual >= value,
        SeccompOperator::Greater => actual > value,
        SeccompOperator::MaskedEqual => actual & value == argument.value_two & value,
    }
}

/// Values around the border between the halves.
pub(super) fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        (u64::from(u32::MAX) - 2)..(1 << 32) + 3,
        Just(u64::MAX),
        any::<u64>()
    ]
}

fn any_argument() -> impl Strategy<Value = SeccompArgument> {
    let op = prop_oneof![
        Just(SeccompOperator::NotEqual),
        Just(SeccompOperator::Less),
        Just(SeccompOperator::LessOrEqual),
        Just(SeccompOperator::Equal),
        Just(SeccompOperator::GreaterOrEqual),
        Just(SeccompOperator::Greater),
        Just(SeccompOperator::MaskedEqual),
    ];
    (0_u32..2, any_value(), any_value(), op).prop_map(|(index, value, value_two, op)| {
        SeccompArgument {
            index,
            value,
            value_two,
            op,
        }
    })
}

proptest! {
    #[test]
    fn any_rules_on_one_call_are_compiled_faithfully(
        rules in proptest::collection::vec((0_u32..4, proptest::collection::vec(any_argument(), 0..3)), 0..30),
        actual in proptest::collection::vec((any_value(), any_value()), 20),
    ) {
        let mut profile = read(r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#);
        let template: crate::spec::SeccompRule =
            serde_json::from_str(r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO"}"#).unwrap();
        for (errno, args) in &rules {
            let mut rule = template.clone();
            rule.errno_ret = Some(errno + 100);
            rule.args = Some(args.clone());
            profile.syscalls.push(rule);
        }
        let program = compile(&profile, &[], (6, 1));
        // Values that rules name are the interesting ones.
        let named = rules.iter().flat_map(|(_, args)| args.iter().map(|argument| (argument.value, argument.value)));
        for (first, second) in actual.iter().copied().chain(named) {
            let value = |argument: &SeccompArgument| if argument.index == 0 { first } else { second };
            let conditional = rules.iter().find(|(_, args)| match args.as_slice() {
                [] => false,
                [one, two] if one.index == two.index => holds(one, value(one)) || holds(two, value(two)),
                all => all.iter().all(|argument| holds(argument, value(argument))),
            });
            let unconditional = rules.iter().find(|(_, args)| args.is_empty());
            let wanted = conditional.or(unconditional).map_or(libc::EPERM.unsigned_abs(), |(errno, _)| errno + 100);
            prop_assert_eq!(call(&program, "read", &[first, second]), libc::SECCOMP_RET_ERRNO | wanted);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[{}\\[\\]\":,a-zA-Z_0-9 ]{0,200}") {
        if let Ok(profile) = serde_json::from_str::<SeccompProfile>(&text) {
            drop(check(&profile));
        }
    }
}

#[test]
fn actions_read_back_as_they_were_written() {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_ALLOW"] {
        let read: SeccompAction = serde_json::from_str(&format!("\"{action}\"")).unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            format!("\"{action}\"")
        );
    }
}
