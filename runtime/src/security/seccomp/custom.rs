//! Profiles of users: from Docker's JSON form to what the assembler takes.
//!
//! What two rules say about one call is decided as follows: rules with conditions on arguments go first, in the order of the file,
//! then the first one without. A call that no rule names gets the default action; numbers above the highest one that the profile
//! names fail with ENOSYS when the default action refuses, because a program that tries a new call must see "not there".

use std::collections::BTreeMap;

use super::Abi;
use super::profile::{Chain, Comparison, Verdict, Verdicts, numbers};
use crate::spec::{
    SeccompAction, SeccompArgument, SeccompCondition, SeccompOperator, SeccompProfile, SeccompRule,
};

/// Calls of the x32 ABI have this bit; no profile names them.
const X32_BIT: u32 = 0x4000_0000;
/// Arguments of a system call.
const ARGUMENTS: u32 = 6;
/// Largest error number that the kernel returns from a filter.
const ERRNO_MAX: u32 = 4095;
/// Flags that change nothing here: the filter is installed by a process with one thread.
const FLAGS_WITHOUT_EFFECT: [&str; 1] = ["SECCOMP_FILTER_FLAG_TSYNC"];
/// Machines as profiles name them in `includes` and `excludes`, by the name in `architectures`.
const MACHINES: [(Abi, &str, &str); 3] = [
    (Abi::X86_64, "SCMP_ARCH_X86_64", "amd64"),
    (Abi::I386, "SCMP_ARCH_X86", "x86"),
    (Abi::Aarch64, "SCMP_ARCH_AARCH64", "arm64"),
];

/// Why a profile is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Both forms, or none.
    #[error("rule {rule} has not exactly one of `name` and `names`")]
    Names {
        /// Position of the rule, from 0.
        rule: usize,
    },
    /// There are six arguments.
    #[error("rule {rule} looks at argument {index}; the last one is 5")]
    Argument {
        /// Position of the rule.
        rule: usize,
        /// The index.
        index: u32,
    },
    /// The kernel would cut it.
    #[error("error number {0} is above 4095")]
    Errno(u32),
    /// It cannot be compared with the kernel's.
    #[error("`{0}` is not a kernel version such as `4.8`")]
    Kernel(String),
    /// A flag that this runtime does not set.
    #[error("flag `{0}` is not supported")]
    Flag(String),
    /// Both ways of naming ABIs, which Docker refuses too.
    #[error("`architectures` and `archMap` exclude each other")]
    Architectures,
    /// The kernel takes 4096 instructions.
    #[error("it needs {0} instructions; the kernel takes 4096")]
    Size(usize),
}

/// What a profile is compiled for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// The machine's own ABI.
    pub(super) native: Abi,
    /// Capabilities of the container without `CAP_`.
    pub(super) capabilities: &'a [String],
    /// Kernel version: major and minor number.
    pub(super) kernel: (u32, u32),
}

/// Judges what no type can: numbers, names and combinations.
pub(crate) fn check(profile: &SeccompProfile) -> Result<(), ProfileError> {
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err(ProfileError::Architectures);
    }
    if let Some(flag) = profile
        .flags
        .iter()
        .find(|flag| !FLAGS_WITHOUT_EFFECT.contains(&flag.as_str()))
    {
        return Err(ProfileError::Flag(flag.clone()));
    }
    let rules = profile.syscalls.iter().enumerate();
    for (position, rule) in rules {
        if rule.names.is_empty() == rule.name.is_empty() {
            return Err(ProfileError::Names { rule: position });
        }
        for argument in rule.args.iter().flatten() {
            if argument.index >= ARGUMENTS {
                let index = argument.index;
                let rule = position;
                return Err(ProfileError::Argument { rule, index });
            }
        }
        for condition in [&rule.includes, &rule.excludes] {
            if let Some(kernel) = &condition.min_kernel {
                version(kernel).ok_or_else(|| ProfileError::Kernel(kernel.clone()))?;
            }
        }
    }
    let errnos = profile.syscalls.iter().filter_map(|rule| rule.errno_ret);
    match errnos
        .chain(profile.default_errno_ret)
        .find(|errno| *errno > ERRNO_MAX)
    {
        Some(errno) => Err(ProfileError::Errno(errno)),
        None => Ok(()),
    }
}

/// Reads `4.8` or a release as uname(2) gives it (`6.18.44-cloud`).
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Returns the verdicts of each ABI that the profile lets in.
pub(super) fn verdicts(profile: &SeccompProfile, target: &Target<'_>) -> Vec<(u32, Verdicts)> {
    abis(profile, target.native)
        .into_iter()
        .map(|abi| (abi.audit(), of_abi(profile, target, abi)))
        .collect()
}

/// The ABIs that are let in, of those whose numbers this build knows and this machine runs.
fn abis(profile: &SeccompProfile, native: Abi) -> Vec<Abi> {
    let name_of = |abi: Abi| {
        let known = MACHINES.iter().find(|(known, _, _)| *known == abi);
        known.map_or("", |(_, name, _)| *name)
    };
    let mut names: Vec<&str> = profile.architectures.iter().map(String::as_str).collect();
    for entry in &profile.arch_map {
        if entry.architecture == name_of(native) {
            names.push(&entry.architecture);
            names.extend(entry.sub_architectures.iter().flatten().map(String::as_str));
        }
    }
    let compatible = |abi: Abi| abi == native || (native, abi) == (Abi::X86_64, Abi::I386);
    MACHINES
        .iter()
        .filter(|(abi, name, _)| {
            // The machine's own is always there: without it nothing could run at all.
            *abi == native || (compatible(*abi) && names.contains(name))
        })
        .map(|(abi, _, _)| *abi)
        .collect()
}

fn of_abi(profile: &SeccompProfile, target: &Target<'_>, abi: Abi) -> Verdicts {
    let otherwise = returned(profile.default_action, profile.default_errno_ret);
    let by_name: BTreeMap<&str, u32> = numbers(abi).collect();
    let mut newest = 0;
    let mut rules: BTreeMap<u32, Vec<&SeccompRule>> = BTreeMap::new();
    for rule in &profile.syscalls {
        let names = rule.names.iter().chain(Some(&rule.name));
        for number in names.filter_map(|name| by_name.get(name.as_str())) {
            newest = newest.max(*number);
            if counts(rule, target) {
                rules.entry(*number).or_default().push(rule);
            }
        }
    }
    let mut chains = Vec::new();
    let calls = rules
        .into_iter()
        .map(|(number, rules)| (number, verdict(&rules, otherwise, &mut chains)))
        .collect();
    let refuses = matches!(
        profile.default_action,
        SeccompAction::KillThread
            | SeccompAction::KillProcess
            | SeccompAction::Trap
            | SeccompAction::Errno
    );
    let beyond = if refuses {
        Verdict::Errno(libc::ENOSYS)
    } else {
        Verdict::Return(otherwise)
    };
    Verdicts {
        calls,
        newest,
        otherwise: Verdict::Return(otherwise),
        beyond,
        foreign: (abi == Abi::X86_64).then_some(X32_BIT),
        chains,
    }
}

fn counts(rule: &SeccompRule, target: &Target<'_>) -> bool {
    let machine = MACHINES.iter().find(|(abi, _, _)| *abi == target.native);
    let machine = machine.map_or("", |(_, _, machine)| *machine);
    let is_here =
        |condition: &SeccompCondition| condition.arches.iter().any(|name| name == machine);
    let has = |name: &String| {
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        target.capabilities.iter().any(|held| held == bare)
    };
    let is_newer = |kernel: &String| version(kernel).is_some_and(|wanted| target.kernel >= wanted);
    let (includes, excludes) = (&rule.includes, &rule.excludes);
    let is_excluded = is_here(excludes)
        || excludes.caps.iter().any(has)
        || excludes.min_kernel.as_ref().is_some_and(is_newer);
    let is_included = (includes.arches.is_empty() || is_here(includes))
        && includes.caps.iter().all(has)
        && includes.min_kernel.as_ref().is_none_or(is_newer);
    is_included && !is_excluded
}

fn verdict(rules: &[&SeccompRule], otherwise: u32, chains: &mut Vec<Chain>) -> Verdict {
    let mut tests = Vec::new();
    let mut unconditional = None;
    for rule in rules {
        let result = returned(rule.action, rule.errno_ret);
        match rule.args.as_deref().unwrap_or_default() {
            [] => unconditional = unconditional.or(Some(result)),
            arguments => {
                for alternative in alternatives(arguments) {
                    tests.push((alternative, result));
                }
            }
        }
    }
    let otherwise = unconditional.unwrap_or(otherwise);
    if tests.iter().all(|(_, result)| *result == otherwise) {
        return Verdict::Return(otherwise);
    }
    let chain = Chain { tests, otherwise };
    let index = chains
        .iter()
        .position(|known| *known == chain)
        .unwrap_or_else(|| {
            chains.push(chain);
            chains.len() - 1
        });
    Verdict::Chain(index)
}

/// All conditions together, or each for itself when two look at the same argument.
fn alternatives(arguments: &[SeccompArgument]) -> Vec<Vec<Comparison>> {
    let all: Vec<_> = arguments.iter().map(comparison).collect();
    let mut indices: Vec<u32> = arguments.iter().map(|argument| argument.index).collect();
    indices.sort_unstable();
    indices.dedup();
    if indices.len() == arguments.len() {
        vec![all]
    } else {
        all.into_iter().map(|one| vec![one]).collect()
    }
}

fn comparison(argument: &SeccompArgument) -> Comparison {
    let SeccompArgument {
        index,
        value,
        value_two,
        op,
    } = *argument;
    let (mask, value) = match op {
        // seccomp_rule_add(3): the masked argument is compared with the masked datum.
        SeccompOperator::MaskedEqual => (value, value_two & value),
        _ => (u64::MAX, value),
    };
    Comparison {
        index,
        mask,
        op,
        value,
    }
}

/// What the filter returns for an action.
fn returned(action: SeccompAction, data: Option<u32>) -> u32 {
    let data = data.unwrap_or(libc::EPERM.unsigned_abs());
    match action {
        SeccompAction::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        SeccompAction::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        SeccompAction::Trap => libc::SECCOMP_RET_TRAP,
        SeccompAction::Errno => libc::SECCOMP_RET_ERRNO | data,
        SeccompAction::Trace => libc::SECCOMP_RET_TRACE | data,
        SeccompAction::Allow => libc::SECCOMP_RET_ALLOW,
        SeccompAction::Log => libc::SECCOMP_RET_LOG,
    }
}
