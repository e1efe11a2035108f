//! System call filters of users, in the form of Docker's JSON profiles, which is that of the OCI runtime specification
//! (`linux.seccomp`) plus conditions on capabilities, architecture and kernel.

use serde::{Deserialize, Serialize};

/// A profile (`security_opt: [seccomp=FILE]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeccompProfile {
    /// What happens to calls that no rule names.
    pub default_action: SeccompAction,
    /// Error number of an `SCMP_ACT_ERRNO` default; `None` = EPERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// ABIs that are let in (`SCMP_ARCH_X86_64`). Neither these nor `arch_map`: the machine's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// For each machine the ABIs that are let in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arch_map: Vec<SeccompArchitecture>,
    /// `SECCOMP_FILTER_FLAG_*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Rules, in order.
    #[serde(default)]
    pub syscalls: Vec<SeccompRule>,
}

/// A machine and the ABIs of older machines that it also runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeccompArchitecture {
    /// `SCMP_ARCH_X86_64`, ….
    pub architecture: String,
    /// `SCMP_ARCH_X86`, ….
    #[serde(default)]
    pub sub_architectures: Option<Vec<String>>,
}

/// What happens to some calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeccompRule {
    /// Names of the calls; those that this build does not know are passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// One name, the older form.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What happens.
    pub action: SeccompAction,
    /// Error number of `SCMP_ACT_ERRNO`, message of `SCMP_ACT_TRACE`; `None` = EPERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// All must hold; conditions on the same argument are alternatives, as in runc.
    #[serde(default)]
    pub args: Option<Vec<SeccompArgument>>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The rule counts only where all of this holds.
    #[serde(default)]
    pub includes: SeccompCondition,
    /// The rule does not count where any of this holds.
    #[serde(default)]
    pub excludes: SeccompCondition,
}

/// Where a rule counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeccompCondition {
    /// Capabilities of the container (`CAP_SYS_ADMIN`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<String>,
    /// Machines (`amd64`, `arm64`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<String>,
    /// At least this kernel (`4.8`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_kernel: Option<String>,
}

/// A condition on an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeccompArgument {
    /// Which one, from 0 to 5.
    pub index: u32,
    /// What it is compared with; with [`SeccompOperator::MaskedEqual`] the mask.
    pub value: u64,
    /// What the masked argument must be, in the bits of the mask.
    #[serde(default)]
    pub value_two: u64,
    /// How it is compared.
    pub op: SeccompOperator,
}

/// How an argument is compared, all 64 bits without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompOperator {
    /// Differs.
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    /// Is less.
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    /// Is less or equal.
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    /// Is equal.
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    /// Is greater or equal.
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    /// Is greater.
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    /// Is equal after masking.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompAction {
    /// The thread is killed.
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    /// The process is killed.
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    /// The thread gets SIGSYS.
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    /// The call fails.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    /// A tracer is told.
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    /// It is carried out.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// It is carried out and logged.
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
}
