//! Devices of the model.

use super::{int, pairs, service::path, size, text, texts};
use crate::{
    canonical::items,
    model::{
        Blkio, Device, DeviceAccess, DeviceChoice, DeviceRate, DeviceRequest, DeviceRule,
        DeviceWeight,
    },
    yaml::Node,
};

/// Returns the entries of `devices`.
pub(super) fn devices(node: &Node) -> Vec<Device> {
    node.items_at("devices")
        .iter()
        .map(|device| {
            let part = |key| device.text_at(key).unwrap_or_default();
            if items::is_cdi_name(part("source")) {
                return Device::Cdi(part("source").to_owned());
            }
            Device::Node {
                source: path(part("source")),
                target: path(part("target")),
                access: DeviceAccess::parse(part("permissions")).unwrap_or(DeviceAccess::ALL),
            }
        })
        .collect()
}

/// Returns the entries of `device_cgroup_rules`, which were checked when they were read.
pub(super) fn rules(node: &Node) -> Vec<DeviceRule> {
    texts(node, "device_cgroup_rules")
        .iter()
        .filter_map(|text| DeviceRule::parse(text))
        .collect()
}

/// Returns what `gpus` and `deploy.resources.reservations.devices` ask for.
pub(super) fn requests(node: &Node) -> Vec<DeviceRequest> {
    let gpus = node.items_at("gpus").iter().enumerate();
    let gpus = gpus.map(|(index, item)| {
        let mut request = request(format!("gpus[{index}]"), item);
        if !request.capabilities.iter().any(|known| known == "gpu") {
            request.capabilities.push("gpu".to_owned());
        }
        request
    });
    let reserved = node
        .get("deploy")
        .and_then(|deploy| deploy.get("resources")?.get("reservations"))
        .map_or(&[][..], |reservations| reservations.items_at("devices"));
    let reserved = reserved.iter().enumerate().map(|(index, item)| {
        let path = format!("deploy.resources.reservations.devices[{index}]");
        request(path, item)
    });
    gpus.chain(reserved).collect()
}

fn request(path: String, node: &Node) -> DeviceRequest {
    let ids = texts(node, "device_ids");
    let devices = match int(node, "count").map(u32::try_from) {
        _ if !ids.is_empty() => DeviceChoice::Ids(ids),
        // Docker gives all devices when nothing is said, and -1 is `all`.
        None | Some(Err(_)) => DeviceChoice::All,
        Some(Ok(count)) => DeviceChoice::Count(count),
    };
    DeviceRequest {
        path,
        capabilities: texts(node, "capabilities"),
        driver: text(node, "driver"),
        devices,
        options: pairs(node, "options"),
    }
}

/// Returns `blkio_config`.
pub(super) fn blkio(node: &Node) -> Blkio {
    let rates = |key| {
        let rate = |item: &Node| {
            Some(DeviceRate {
                path: path(item.text_at("path")?),
                rate: size(item, "rate")?,
            })
        };
        node.items_at(key).iter().filter_map(rate).collect()
    };
    let weight = |node: &Node| {
        let weight = int(node, "weight")?;
        u16::try_from(weight).ok().filter(|weight| *weight != 0)
    };
    let device = |item: &Node| {
        Some(DeviceWeight {
            path: path(item.text_at("path")?),
            weight: weight(item)?,
        })
    };
    Blkio {
        weight: weight(node),
        weight_device: node
            .items_at("weight_device")
            .iter()
            .filter_map(device)
            .collect(),
        read_bps: rates("device_read_bps"),
        read_iops: rates("device_read_iops"),
        write_bps: rates("device_write_bps"),
        write_iops: rates("device_write_iops"),
    }
}
