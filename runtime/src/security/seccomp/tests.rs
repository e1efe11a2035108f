//! The compiled programs against the profile's own statement, by emulating the kernel's BPF machine; and against another compiler.

mod libseccomp;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    Abi, SockFilter, assemble,
    profile::{
        CLONE_NAMESPACES, Condition, FAMILIES_REFUSED, PERSONALITIES, Verdict, Verdicts, numbers,
        verdicts,
    },
    program,
};
use crate::spec::{Seccomp, SeccompOperator, Security};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

/// Docker's default capabilities.
const DEFAULT: &str = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE";

fn capabilities(names: &str) -> Vec<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

fn both(capability_names: &str) -> Vec<SockFilter> {
    let held = capabilities(capability_names);
    assemble::program(&[
        (X86_64, verdicts(Abi::X86_64, &held)),
        (I386, verdicts(Abi::I386, &held)),
    ])
}

/// The kernel's classic BPF machine, as far as a filter uses it; panics where the kernel would refuse the program.
fn run(program: &[SockFilter], architecture: u32, number: u32, argument: u64) -> u32 {
    run_with(program, architecture, number, [argument, 0, 0, 0, 0, 0])
}

/// As [`run`], with all arguments.
pub(super) fn run_with(
    program: &[SockFilter],
    architecture: u32,
    number: u32,
    arguments: [u64; 6],
) -> u32 {
    let mut data = [0_u8; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&architecture.to_le_bytes());
    for (place, argument) in data[16..].chunks_exact_mut(8).zip(arguments) {
        place.copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        at += 1;
        let branch = |yes: bool| usize::from(if yes { jt } else { jf });
        match code {
            0x20 => {
                let offset = k as usize;
                assert_eq!(offset % 4, 0);
                accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
            }
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x54 => accumulator &= k,
            0x35 => at += branch(accumulator >= k),
            0x45 => at += branch(accumulator & k != 0),
            0x06 => return k,
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}

/// What the profile says, stated once more and as directly as possible.
fn expected(table: &Verdicts, number: u32, argument: u64) -> u32 {
    if number > table.newest {
        return ENOSYS;
    }
    let low = u32::try_from(argument & 0xffff_ffff).unwrap();
    let allowed = match table.calls.iter().find(|(call, _)| *call == number) {
        None => false,
        Some((_, Verdict::Allow)) => true,
        Some((_, Verdict::Errno(errno))) => {
            return libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        }
        Some((_, Verdict::When(Condition::SocketFamily))) => !FAMILIES_REFUSED.contains(&low),
        Some((_, Verdict::When(Condition::Personality))) => PERSONALITIES.contains(&low),
        Some((_, Verdict::When(Condition::CloneFlags))) => low & CLONE_NAMESPACES == 0,
        Some((_, Verdict::Return(_) | Verdict::Chain(_))) => {
            unreachable!("of users' profiles only")
        }
    };
    if allowed { ALLOW } else { EPERM }
}

const ARGUMENTS: &[u64] = &[
    0,
    1,
    2,
    8,
    9,
    16,
    37,
    38,
    39,
    40,
    41,
    0x11,
    0x2_0000,
    0x2_0008,
    0x2_0009,
    0x0200_0000,
    0x1000_0000,
    0x7e02_0000,
    0x0100_0000,
    0x003d_0f00,
    0xffff_ffff,
    0x1_0000_0026,
    0x1_0000_0000,
    u64::MAX,
];

#[test]
fn every_number_and_argument_gets_the_verdict_of_the_profile() {
    for names in [
        "",
        DEFAULT,
        "SYS_ADMIN",
        "SYS_PTRACE SYS_TIME BPF SYSLOG SYS_NICE SYS_MODULE",
    ] {
        let (program, held) = (both(names), capabilities(names));
        for (abi, architecture) in [(Abi::X86_64, X86_64), (Abi::I386, I386)] {
            let table = verdicts(abi, &held);
            for number in 0..=600 {
                for &argument in ARGUMENTS {
                    assert_eq!(
                        run(&program, architecture, number, argument),
                        expected(&table, number, argument),
                        "{abi:?} {number} {argument:#x} with {names:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn well_known_calls_are_decided_as_docker_does() {
    let filter = both(DEFAULT);
    let call =
        |number: i64, argument: u64| run(&filter, X86_64, u32::try_from(number).unwrap(), argument);
    assert_eq!(call(libc::SYS_read, 0), ALLOW);
    assert_eq!(call(libc::SYS_chroot, 0), ALLOW);
    assert_eq!(call(libc::SYS_ptrace, 0), ALLOW);
    for refused in [
        libc::SYS_mount,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_reboot,
        libc::SYS_init_module,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_open_by_handle_at,
        libc::SYS_settimeofday,
        libc::SYS_swapon,
        libc::SYS_kexec_load,
        libc::SYS_perf_event_open,
    ] {
        assert_eq!(call(refused, 0), EPERM, "{refused}");
    }
    assert_eq!(call(libc::SYS_clone3, 0), ENOSYS);
    assert_eq!(call(libc::SYS_clone, libc::CLONE_NEWUSER as u64), EPERM);
    assert_eq!(call(libc::SYS_clone, libc::SIGCHLD as u64), ALLOW);
    assert_eq!(call(libc::SYS_socket, libc::AF_INET as u64), ALLOW);
    assert_eq!(call(libc::SYS_socket, libc::AF_ALG as u64), EPERM);
    assert_eq!(call(libc::SYS_socket, libc::AF_VSOCK as u64), EPERM);
    // Newer than the profile: open_tree_attr; and read of the x32 ABI.
    assert_eq!(call(467, 0), ENOSYS);
    assert_eq!(call(0x4000_0000, 0), ENOSYS);
    // i386: mount and socketcall.
    assert_eq!(run(&filter, I386, 21, 0), EPERM);
    assert_eq!(run(&filter, I386, 102, 0), ALLOW);
    // 32-bit ARM.
    assert_eq!(
        run(&filter, 0x4000_0028, 0, 0),
        libc::SECCOMP_RET_KILL_PROCESS
    );

    let admin = both("SYS_ADMIN");
    let call = |number: i64| run(&admin, X86_64, u32::try_from(number).unwrap(), u64::MAX);
    for allowed in [
        libc::SYS_mount,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_unshare,
    ] {
        assert_eq!(call(allowed), ALLOW, "{allowed}");
    }
}

#[test]
fn programs_are_small_and_valid() {
    for names in ["", DEFAULT, "SYS_ADMIN", "SYS_PTRACE SYS_TIME SYSLOG"] {
        let program = both(names);
        println!(
            "{} instructions for both ABIs with {names:?}",
            program.len()
        );
        assert!(program.len() < 300, "{} instructions", program.len());
        for (at, instruction) in program.iter().enumerate() {
            let furthest = match instruction.code {
                0x05 => instruction.k as usize,
                _ => usize::from(instruction.jt.max(instruction.jf)),
            };
            assert!(
                at + 1 + furthest <= program.len(),
                "jump out of the program at {at}"
            );
        }
        assert_eq!(program.last().unwrap().code, 0x06);
    }
}

#[test]
fn numbers_are_those_of_this_architecture_and_of_no_two_calls() {
    for abi in [Abi::X86_64, Abi::I386, Abi::Aarch64] {
        let mut seen = BTreeMap::new();
        for (name, number) in numbers(abi) {
            if let Some(other) = seen.insert(number, name) {
                panic!("{abi:?}: {name} and {other} both have number {number}");
            }
        }
        assert!(seen.len() > 250, "{abi:?}: {}", seen.len());
        assert_eq!(*seen.last_key_value().unwrap().0, 466);
    }
    for (name, number) in [
        ("read", libc::SYS_read),
        ("clone", libc::SYS_clone),
        ("openat2", libc::SYS_openat2),
        ("personality", libc::SYS_personality),
        ("seccomp", libc::SYS_seccomp),
        ("mseal", libc::SYS_mseal),
    ] {
        let abi = if cfg!(target_arch = "aarch64") {
            Abi::Aarch64
        } else {
            Abi::X86_64
        };
        assert!(
            numbers(abi).any(|found| found == (name, u32::try_from(number).unwrap())),
            "{name}"
        );
    }
}

#[test]
fn no_filter_without_confinement() {
    let security = |privileged, seccomp| Security {
        privileged,
        capabilities: capabilities(DEFAULT),
        no_new_privs: false,
        seccomp,
        mask_paths: true,
        exact: None,
    };
    assert!(
        program(&security(true, Seccomp::Default))
            .unwrap()
            .is_empty()
    );
    assert!(
        program(&security(false, Seccomp::Unconfined))
            .unwrap()
            .is_empty()
    );
    assert!(
        !program(&security(false, Seccomp::Default))
            .unwrap()
            .is_empty()
    );
}

/// The unconditional part of x86_64 and the conditions it can express, by seccompiler; it knows one errno for "no match" only.
#[test]
fn another_compiler_says_the_same() {
    use seccompiler::{
        SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };
    let held = capabilities(DEFAULT);
    let condition = |op, value| {
        SeccompRule::new(vec![
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, op, value).unwrap(),
        ])
        .unwrap()
    };
    let rules = verdicts(Abi::X86_64, &held)
        .calls
        .into_iter()
        .filter_map(|(number, verdict)| {
            let rules = match verdict {
                Verdict::Allow => vec![],
                Verdict::Errno(_) => return None,
                Verdict::When(Condition::SocketFamily) => vec![
                    condition(SeccompCmpOp::Lt, 38),
                    condition(SeccompCmpOp::Eq, 39),
                    condition(SeccompCmpOp::Gt, 40),
                ],
                Verdict::When(Condition::Personality) => PERSONALITIES
                    .iter()
                    .map(|value| condition(SeccompCmpOp::Eq, u64::from(*value)))
                    .collect(),
                Verdict::When(Condition::CloneFlags) => {
                    vec![condition(
                        SeccompCmpOp::MaskedEq(u64::from(CLONE_NAMESPACES)),
                        0,
                    )]
                }
                Verdict::Return(_) | Verdict::Chain(_) => unreachable!("of users' profiles only"),
            };
            Some((i64::from(number), rules))
        })
        .collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        TargetArch::x86_64,
    )
    .unwrap();
    let oracle: seccompiler::BpfProgram = filter.try_into().unwrap();
    let oracle = oracle
        .iter()
        .map(|i| SockFilter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect::<Vec<_>>();
    let ours = both(DEFAULT);
    for number in 0..=466 {
        if number == 435 {
            continue;
        }
        for &argument in ARGUMENTS {
            assert_eq!(
                run(&ours, X86_64, number, argument),
                run(&oracle, X86_64, number, argument),
                "{number} {argument:#x}"
            );
        }
    }
}

proptest! {
    /// Far more conditions and ranges than the profile has, so that jumps beyond 255 instructions happen.
    #[test]
    fn any_table_is_compiled_faithfully(
        calls in proptest::collection::btree_map(0_u32..5000, 0_u8..6, 0..900),
        probes in proptest::collection::vec((0_u32..6000, any::<u32>()), 50),
    ) {
        let verdict = |kind: u8| match kind {
            0 | 1 => Verdict::Allow,
            2 => Verdict::Errno(libc::EACCES),
            3 => Verdict::When(Condition::SocketFamily),
            4 => Verdict::When(Condition::Personality),
            _ => Verdict::When(Condition::CloneFlags),
        };
        let table = || Verdicts {
            calls: calls.iter().map(|(number, kind)| (*number, verdict(*kind))).collect(),
            newest: 5000,
            otherwise: Verdict::Errno(libc::EPERM),
            beyond: Verdict::Errno(libc::ENOSYS),
            foreign: None,
            chains: Vec::new(),
        };
        let program = assemble::program(&[(X86_64, table()), (I386, table())]);
        let numbers = calls.keys().copied().chain(probes.iter().map(|p| p.0));
        for (number, argument) in numbers.zip(probes.iter().map(|p| p.1).cycle()) {
            let want = match calls.get(&number).map(|kind| verdict(*kind)) {
                _ if number > 5000 => ENOSYS,
                None => EPERM,
                Some(Verdict::Allow) => ALLOW,
                Some(Verdict::Errno(errno)) => libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(),
                Some(Verdict::When(condition)) => {
                    let yes = match condition {
                        Condition::SocketFamily => !FAMILIES_REFUSED.contains(&argument),
                        Condition::Personality => PERSONALITIES.contains(&argument),
                        Condition::CloneFlags => argument & CLONE_NAMESPACES == 0,
                    };
                    if yes { ALLOW } else { EPERM }
                }
                Some(Verdict::Return(_) | Verdict::Chain(_)) => unreachable!("none was made"),
            };
            for architecture in [X86_64, I386] {
                prop_assert_eq!(run(&program, architecture, number, u64::from(argument)), want);
            }
        }
    }
}
