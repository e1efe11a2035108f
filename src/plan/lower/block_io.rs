//! Limits of block devices, and of the root filesystem's size.

use compose_spec::model::{Resources as Wanted, Service};
use runtime::spec::{BlockIo, DeviceWeight, Throttle, ThrottleBound};

use super::error::Checks;

/// Lowers `blkio_config`.
pub(super) fn lower(wanted: &Wanted, checks: &mut Checks<'_>) -> BlockIo {
    let Some(wanted) = &wanted.blkio else {
        return BlockIo::default();
    };
    let mut weight = |path: String, weight: u16| {
        if !(10..=1000).contains(&weight) {
            let path = format!("blkio_config.{path}");
            checks.invalid(path, "weight", weight.to_string(), "10 to 1000");
        }
        weight
    };
    // 0 is "the default" to Docker.
    let default = wanted.weight.filter(|weight| *weight != 0);
    let default = default.map(|value| weight("weight".to_owned(), value));
    let weights = wanted.weight_device.iter().enumerate();
    let weights = weights.map(|(index, one)| DeviceWeight {
        device: one.path.clone(),
        weight: weight(format!("weight_device[{index}].weight"), one.weight),
    });
    let weights = weights.collect();
    let mut throttles = Vec::new();
    for (key, bound, rates) in [
        (
            "device_read_bps",
            ThrottleBound::ReadBytes,
            &wanted.read_bps,
        ),
        (
            "device_write_bps",
            ThrottleBound::WriteBytes,
            &wanted.write_bps,
        ),
        (
            "device_read_iops",
            ThrottleBound::ReadOperations,
            &wanted.read_iops,
        ),
        (
            "device_write_iops",
            ThrottleBound::WriteOperations,
            &wanted.write_iops,
        ),
    ] {
        for (index, rate) in rates.iter().enumerate() {
            let path = format!("blkio_config.{key}[{index}]");
            if rate.rate == 0 {
                checks.invalid(format!("{path}.rate"), "rate", "0", "1 or more a second");
            }
            if !rate.path.is_absolute() {
                let text = rate.path.display().to_string();
                checks.invalid(
                    format!("{path}.path"),
                    "device",
                    text,
                    "it must be absolute",
                );
            }
            throttles.push(Throttle {
                device: rate.path.clone(),
                bound,
                rate: rate.rate,
            });
        }
    }
    for (index, one) in wanted.weight_device.iter().enumerate() {
        if !one.path.is_absolute() {
            let path = format!("blkio_config.weight_device[{index}].path");
            let text = one.path.display().to_string();
            checks.invalid(path, "device", text, "it must be absolute");
        }
    }
    BlockIo {
        weight: default,
        weights,
        throttles,
    }
}

/// Judges `storage_opt`: overlayfs has no size of its own, and a limit that does not hold is worse than none.
pub(super) fn storage(service: &Service, checks: &mut Checks<'_>) {
    for (name, value) in &service.storage_opt {
        let path = format!("storage_opt.{name}");
        let reason = if name == "size" {
            "the root filesystem is an overlay, which has no size limit; limit a `tmpfs` or a volume on a filesystem of its own instead"
        } else {
            "the overlay has no such option"
        };
        checks.invalid(path, "storage option", format!("{name}={value}"), reason);
    }
}
