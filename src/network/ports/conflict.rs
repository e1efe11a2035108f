//! Who has a port: the kernel's socket tables name an inode, and a process that has it open is the owner.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compose_spec::model::PortProtocol;
use fs_err as fs;

use crate::model::PublishedAddress;

use super::super::error::PortOwner;

/// `TCP_LISTEN` in /proc/net/tcp; datagram sockets are `07`.
const LISTENING: &str = "0A";

/// Finds the process that has a port of the calling thread's network namespace.
pub(super) fn owner(port: &PublishedAddress) -> PortOwner {
    let tables: [&str; 2] = match port.protocol {
        PortProtocol::Udp => ["udp", "udp6"],
        _ => ["tcp", "tcp6"],
    };
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok())
        .flat_map(|text| inodes(&text, port))
        .collect();
    process_with(&inodes).unwrap_or(PortOwner::Unknown)
}

/// Lists the inodes of sockets that keep others from the port.
fn inodes(table: &str, port: &PublishedAddress) -> Vec<u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, number) = fields.get(1)?.split_once(':')?;
            let taken = u16::from_str_radix(number, 16).ok()? == port.host_port
                && (port.protocol == PortProtocol::Udp || *fields.get(3)? == LISTENING)
                && in_the_way(parse_address(address)?, port.host_ip);
            taken.then(|| fields.get(9)?.parse().ok())?
        })
        .collect()
}

/// An unspecified address is in everybody's way.
fn in_the_way(taken: IpAddr, wanted: IpAddr) -> bool {
    taken.is_unspecified() || wanted.is_unspecified() || taken == wanted
}

/// Addresses are words in the machine's byte order, as hexadecimal digits.
fn parse_address(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = text
        .as_bytes()
        .chunks(8)
        .map(|chunk| {
            let word = std::str::from_utf8(chunk).ok()?;
            Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
        })
        .collect::<Option<_>>()?;
    match words.len() {
        1 => Some(Ipv4Addr::from(words[0]).into()),
        4 => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

fn process_with(inodes: &[u64]) -> Option<PortOwner> {
    if inodes.is_empty() {
        return None;
    }
    let wanted: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        let has = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|link| {
                wanted
                    .iter()
                    .any(|wanted| link.as_os_str() == wanted.as_str())
            });
        if has {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            return Some(PortOwner::Process {
                name: name.trim_end().to_owned(),
                pid,
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0\n\
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0\n\
   2: 0200A8C0:1F90 0100A8C0:1234 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0\n";

    #[test]
    fn listeners_in_the_way_are_found_and_connections_are_not() {
        let port = |ip: &str, number| PublishedAddress {
            host_ip: ip.parse().unwrap(),
            host_port: number,
            target: 80,
            protocol: PortProtocol::Tcp,
        };
        assert_eq!(inodes(TCP, &port("0.0.0.0", 8080)), [111, 222]);
        assert_eq!(inodes(TCP, &port("127.0.0.1", 8080)), [111, 222]);
        assert_eq!(inodes(TCP, &port("192.168.0.2", 8080)), [222]);
        assert_eq!(inodes(TCP, &port("0.0.0.0", 8081)), [0; 0]);
    }

    #[test]
    fn addresses_are_words() {
        assert_eq!(
            parse_address("0100007F"),
            Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
        );
        assert_eq!(
            parse_address("00000000000000000000000001000000"),
            Some(IpAddr::V6(Ipv6Addr::LOCALHOST))
        );
        assert_eq!(parse_address("00"), Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        assert_eq!(parse_address("xx"), None);
    }
}
