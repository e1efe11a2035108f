//! What a service is attached to: networks, ports, mounts and devices.

use super::{
    Empty, Field, Items, Kind, Map, Pairs, Section, Short,
    shared::{ANY_INT, TEXTS},
};
use crate::canonical::{check, items, short};

/// Why a mount's words about consistency do nothing.
pub(crate) const CONSISTENCY: &str = "binds are always consistent on Linux";
/// Why a mount's words about SELinux do nothing.
pub(crate) const SELINUX: &str = "SELinux labels are not set";
const LATER: &str = "this version does not implement it yet";

/// The networks that a service is on.
pub(super) const NETWORKS: Kind = Kind::Short(&Short {
    expects: "a list of networks or a mapping",
    expand: short::names,
    long: Kind::Map(&Map {
        what: "network",
        value: Kind::OptionalSection(&ATTACHMENT),
        strict_names: true,
        replace: false,
    }),
});
static ATTACHMENT: Section = Section {
    title: "a network attachment",
    fields: &[
        Field::new("aliases", TEXTS),
        Field::new("driver_opts", Kind::Options).no_effect(LATER),
        Field::new("gw_priority", Kind::Number),
        Field::new("interface_name", Kind::Text),
        Field::new("ipv4_address", Kind::Checked(&check::IPV4)),
        Field::new("ipv6_address", Kind::Checked(&check::IPV6)),
        Field::new("link_local_ips", TEXTS).no_effect(LATER),
        Field::new("mac_address", Kind::Text),
        Field::new("priority", Kind::Number),
    ],
    extensions: true,
};

/// Published ports.
pub(super) const PORTS: Kind = Kind::Items(&Items {
    single: false,
    expand: short::port,
    long: &PORT,
    finish: short::finish_port,
    key: short::port_key,
    keep_twice: false,
});
static PORT: Section = Section {
    title: "a port",
    fields: &[
        Field::new("name", Kind::Text).no_effect("it is a note for readers"),
        Field::new("mode", Kind::Text).only("ingress", "ports are published on this host only"),
        Field::new("host_ip", Kind::Text),
        Field::new("target", ANY_INT).required(),
        Field::new("published", Kind::TextOrNumber),
        Field::new("protocol", Kind::Text),
        Field::new("app_protocol", Kind::Text).no_effect("it is a note for proxies"),
    ],
    extensions: true,
};

/// Mounts.
pub(super) const VOLUMES: Kind = Kind::Items(&Items {
    single: false,
    expand: short::volume,
    long: &MOUNT,
    finish: short::finish_volume,
    key: short::target_key,
    keep_twice: false,
});
static MOUNT: Section = Section {
    title: "a volume",
    fields: &[
        Field::new(
            "type",
            Kind::OneOf(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]),
        )
        .required(),
        Field::new("source", Kind::Text),
        Field::new("target", Kind::Text),
        Field::new("read_only", Kind::Flag),
        Field::new("consistency", Kind::Text).no_effect(CONSISTENCY),
        Field::new(
            "bind",
            Kind::Section(&Section {
                title: "`bind`",
                fields: &[
                    Field::new("selinux", Kind::OneOf(&["z", "Z"])).no_effect(SELINUX),
                    Field::new("propagation", Kind::Text),
                    Field::new("create_host_path", Kind::Flag).empty(Empty::DropTrue),
                    Field::new(
                        "recursive",
                        Kind::OneOf(&["enabled", "disabled", "writable", "readonly"]),
                    ),
                ],
                extensions: true,
            }),
        )
        .keep(),
        Field::new(
            "volume",
            Kind::Section(&Section {
                title: "`volume`",
                fields: &[
                    Field::new("labels", Kind::Pairs(Pairs::Labels))
                        .no_effect("anonymous volumes have no labels"),
                    Field::new("nocopy", Kind::Flag),
                    Field::new("subpath", Kind::Text),
                ],
                extensions: true,
            }),
        )
        .keep(),
        Field::new(
            "tmpfs",
            Kind::Section(&Section {
                title: "`tmpfs`",
                fields: &[
                    Field::new("size", Kind::Size),
                    Field::new("mode", Kind::ModeNumber),
                ],
                extensions: true,
            }),
        )
        .keep(),
        Field::new(
            "image",
            Kind::Section(&Section {
                title: "`image`",
                fields: &[Field::new("subpath", Kind::Text)],
                extensions: true,
            }),
        )
        .keep(),
    ],
    extensions: true,
};

/// Device nodes.
pub(super) const DEVICES: Kind = Kind::Items(&Items {
    single: false,
    expand: items::device,
    long: &DEVICE,
    finish: items::finish_device,
    key: short::target_key,
    keep_twice: false,
});
static DEVICE: Section = Section {
    title: "a device",
    fields: &[
        Field::new("source", Kind::Text).required(),
        Field::new("target", Kind::Text),
        Field::new("permissions", Kind::Text),
    ],
    extensions: true,
};
