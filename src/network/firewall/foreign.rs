//! Firewalls of others: chains of the forward hook that drop by policy (Docker, ufw, administrators).
//!
//! An accept of ours cannot override their drop, so each gets two rules at its head, marked with our comment and removed with the last
//! network. Nothing else of others is touched.

use super::super::{
    names::BRIDGE_PREFIX,
    netlink::{Batch, CREATE, Netlink, NetlinkError, attribute, be32, text},
};
use super::{
    expression::{Expression as E, Match, Verdict, encode_all},
    send,
    table::{
        ANY_FAMILY, DELRULE, GETCHAIN, GETRULE, INET, IPV4, NEWRULE, header, kind, transaction,
        user_comment,
    },
};

const HOOK_INPUT: u32 = 1;
const HOOK_FORWARD: u32 = 2;
const POLICY_DROP: u32 = 0;
/// Docker's chain for the administrator's rules: dockerd reorders `FORWARD`, but keeps what is in here.
const DOCKER_USER: &str = "DOCKER-USER";
/// firewalld rejects by a last rule, not by policy.
const FIREWALLD: &str = "firewalld";

/// Whether a foreign firewall keeps strangers from this host's own ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputPolicy {
    /// No chain of the input hook drops by policy.
    Open,
    /// One does (ufw, firewalld, an administrator): publishing must not go around it.
    Guarded,
}

/// A chain of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chain {
    family: u8,
    table: String,
    name: String,
    hook: Option<u32>,
    policy: Option<u32>,
}

/// A rule of ours in a foreign chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    family: u8,
    table: String,
    chain: String,
    handle: u64,
    /// Comment without the owner: which interface.
    interface: String,
}

/// Lets our bridges pass foreign forward chains; with no bridge, takes the rules away again.
pub(super) fn pass(
    netlink: &mut Netlink,
    comment: &str,
    bridges: &[&str],
) -> Result<(), NetlinkError> {
    let wanted = interfaces(bridges);
    let targets = if wanted.is_empty() {
        Vec::new()
    } else {
        targets(&chains(netlink)?)
    };
    let marks = marks(netlink, comment)?;
    let batch = difference(comment, &targets, &marks, &wanted);
    // The kernel acknowledges nothing of an empty transaction.
    match send(netlink, batch) {
        // The chain went away since we looked: the next commit looks again.
        Err(error) if error.errno() == Some(libc::ENOENT) => {
            tracing::debug!(%error, "a foreign chain changed under us");
            Ok(())
        }
        result => result,
    }
}

/// Says whether a chain of the input hook drops what it does not know.
pub(super) fn input_policy(netlink: &mut Netlink) -> Result<InputPolicy, NetlinkError> {
    Ok(judge_input(&chains(netlink)?))
}

/// Whether iptables-legacy has a filter table in this thread's network namespace. Its rules are out of netlink's reach.
pub(super) fn has_legacy_filter() -> bool {
    fs_err::read_to_string("/proc/thread-self/net/ip_tables_names")
        .is_ok_and(|names| names.lines().any(|name| name == "filter"))
}

fn judge_input(chains: &[Chain]) -> InputPolicy {
    let guarded = chains.iter().any(|chain| {
        chain.hook == Some(HOOK_INPUT)
            && matches!(chain.family, INET | IPV4)
            && (chain.policy == Some(POLICY_DROP) || chain.table == FIREWALLD)
    });
    if guarded {
        InputPolicy::Guarded
    } else {
        InputPolicy::Open
    }
}

/// One wildcard for the bridges with our names, and each that the user named.
fn interfaces(bridges: &[&str]) -> Vec<String> {
    let mut interfaces: Vec<String> = bridges
        .iter()
        .map(|bridge| {
            if bridge.starts_with(BRIDGE_PREFIX) {
                format!("{BRIDGE_PREFIX}*")
            } else {
                (*bridge).to_owned()
            }
        })
        .collect();
    interfaces.sort();
    interfaces.dedup();
    interfaces
}

/// Chooses where to insert: the forward chains that drop, or `DOCKER-USER` of the same table.
fn targets(chains: &[Chain]) -> Vec<Chain> {
    chains
        .iter()
        .filter(|chain| {
            chain.hook == Some(HOOK_FORWARD)
                && chain.policy == Some(POLICY_DROP)
                && matches!(chain.family, INET | IPV4)
        })
        .map(|chain| {
            chains
                .iter()
                .find(|user| {
                    user.name == DOCKER_USER
                        && user.family == chain.family
                        && user.table == chain.table
                })
                .unwrap_or(chain)
                .clone()
        })
        .collect()
}

/// Returns the transaction that removes marks that are not wanted and inserts missing ones.
fn difference(comment: &str, targets: &[Chain], marks: &[Mark], wanted: &[String]) -> Batch {
    let same = |mark: &Mark, chain: &Chain| {
        mark.family == chain.family && mark.table == chain.table && mark.chain == chain.name
    };
    let mut batch = Batch::default();
    transaction(&mut batch, |batch| {
        for mark in marks {
            let known = targets.iter().any(|chain| same(mark, chain));
            if !known || !wanted.contains(&mark.interface) {
                delete(batch, mark);
            }
        }
        for chain in targets {
            for interface in wanted {
                let there = marks
                    .iter()
                    .any(|mark| same(mark, chain) && mark.interface == *interface);
                if !there {
                    insert(batch, chain, comment, interface);
                }
            }
        }
    });
    batch
}

fn insert(batch: &mut Batch, chain: &Chain, comment: &str, interface: &str) {
    for input in [false, true] {
        let side = if input {
            E::InputName(Match::Is, interface.to_owned())
        } else {
            E::OutputName(Match::Is, interface.to_owned())
        };
        let rule = [side, E::Counter, E::Verdict(Verdict::Accept)];
        batch.message(
            format!(
                "insert a rule into chain {} of table {}",
                chain.name, chain.table
            ),
            kind(NEWRULE),
            CREATE,
            &header(chain.family),
            |a| {
                a.text(1, &chain.table)
                    .text(2, &chain.name)
                    .nest(4, |a| encode_all(a, &rule))
                    .bytes(7, &user_comment(&format!("{comment} {interface}")));
            },
        );
    }
}

fn delete(batch: &mut Batch, mark: &Mark) {
    batch.message(
        format!("delete our rule of chain {}", mark.chain),
        kind(DELRULE),
        0,
        &header(mark.family),
        |a| {
            a.text(1, &mark.table)
                .text(2, &mark.chain)
                .bytes(3, &mark.handle.to_be_bytes());
        },
    );
}

fn chains(netlink: &mut Netlink) -> Result<Vec<Chain>, NetlinkError> {
    let mut chains = Vec::new();
    netlink.dump(
        "list chains",
        kind(GETCHAIN),
        &header(ANY_FAMILY),
        |bytes| {
            chains.extend(parse_chain(bytes));
        },
    )?;
    Ok(chains)
}

fn parse_chain(bytes: &[u8]) -> Option<Chain> {
    let attributes = bytes.get(4..)?;
    Some(Chain {
        family: *bytes.first()?,
        table: attribute(attributes, 1).map(text)?,
        name: attribute(attributes, 3).map(text)?,
        hook: attribute(attributes, 4)
            .and_then(|hook| attribute(hook, 1))
            .and_then(be32),
        policy: attribute(attributes, 5).and_then(be32),
    })
}

fn marks(netlink: &mut Netlink, comment: &str) -> Result<Vec<Mark>, NetlinkError> {
    let mut marks = Vec::new();
    netlink.dump("list rules", kind(GETRULE), &header(ANY_FAMILY), |bytes| {
        marks.extend(parse_mark(bytes, comment));
    })?;
    Ok(marks)
}

fn parse_mark(bytes: &[u8], comment: &str) -> Option<Mark> {
    let attributes = bytes.get(4..)?;
    // USERDATA: type, length, text.
    let said = attribute(attributes, 7)
        .and_then(|data| data.get(2..))
        .map(text)?;
    let handle = attribute(attributes, 3)?.try_into().ok()?;
    Some(Mark {
        family: *bytes.first()?,
        table: attribute(attributes, 1).map(text)?,
        chain: attribute(attributes, 2).map(text)?,
        handle: u64::from_be_bytes(handle),
        interface: said.strip_prefix(comment)?.strip_prefix(' ')?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(table: &str, name: &str, hook: Option<u32>, policy: Option<u32>) -> Chain {
        Chain {
            family: IPV4,
            table: table.to_owned(),
            name: name.to_owned(),
            hook,
            policy,
        }
    }

    #[test]
    fn only_dropping_forward_chains_are_entered_and_dockers_user_chain_is_preferred() {
        let plain = chain("filter", "FORWARD", Some(HOOK_FORWARD), Some(POLICY_DROP));
        let accepting = chain("other", "FORWARD", Some(HOOK_FORWARD), Some(1));
        let input = chain("filter", "INPUT", Some(HOOK_INPUT), Some(POLICY_DROP));
        let user = chain("filter", DOCKER_USER, None, None);
        let without = [plain.clone(), accepting.clone(), input.clone()];
        assert_eq!(targets(&without), without[..1]);
        assert_eq!(targets(&[plain, user.clone(), input]), [user]);
        assert_eq!(targets(&[accepting]), []);
    }

    #[test]
    fn input_is_guarded_by_policy_or_by_firewalld() {
        let drop = chain("filter", "INPUT", Some(HOOK_INPUT), Some(POLICY_DROP));
        let accept = chain("filter", "INPUT", Some(HOOK_INPUT), Some(1));
        let firewalld = chain(FIREWALLD, "filter_INPUT", Some(HOOK_INPUT), Some(1));
        let forward = chain("filter", "FORWARD", Some(HOOK_FORWARD), Some(POLICY_DROP));
        assert_eq!(judge_input(&[drop]), InputPolicy::Guarded);
        assert_eq!(judge_input(&[firewalld]), InputPolicy::Guarded);
        assert_eq!(judge_input(&[accept, forward]), InputPolicy::Open);
    }

    #[test]
    fn a_second_pass_changes_nothing_and_the_last_network_takes_the_rules_along() {
        let target = chain("filter", "FORWARD", Some(HOOK_FORWARD), Some(POLICY_DROP));
        let wanted = interfaces(&["st-0011aabb", "st-22334455", "br-mine"]);
        assert_eq!(wanted, ["br-mine", "st-*"]);
        let first = difference("stack:x", std::slice::from_ref(&target), &[], &wanted);
        assert_eq!(first.len(), 2 + 4);
        let marks: Vec<Mark> = wanted
            .iter()
            .map(|interface| Mark {
                family: IPV4,
                table: "filter".to_owned(),
                chain: "FORWARD".to_owned(),
                handle: 7,
                interface: interface.clone(),
            })
            .collect();
        let again = difference("stack:x", &[target], &marks, &wanted);
        assert_eq!(again.len(), 2);
        assert_eq!(difference("stack:x", &[], &marks, &[]).len(), 2 + 2);
    }
}
