//! Limits of block devices: weights and throttles, in v1 (`blkio`) and in v2 (`io`).
//!
//! Throttles work with every scheduler. Weights need bfq, or on v2 the cost model (`io.cost.qos`); without either their files are missing
//! and one warning says so. A throttle takes whole disks only; the kernel refuses partitions.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, major, minor, stat};

use super::{Cgroup, CgroupError, control};
use crate::spec::{BlockIo, ThrottleBound};

/// One line for the first of some control files that this kernel has.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    limit: &'static str,
    /// Files and the value in the notation of each.
    candidates: Vec<(&'static str, String)>,
}

const WEIGHT: &str = "block I/O weight";
const THROTTLE: &str = "block I/O limit";

/// Sets all limits where their controller is; tells those that nothing enforces.
pub(super) fn apply(
    cgroup: &Cgroup,
    wanted: &BlockIo,
    warnings: &mut Vec<String>,
) -> Result<(), CgroupError> {
    if *wanted == BlockIo::default() {
        return Ok(());
    }
    let number = |device: &Path| number(device);
    let (directory, lines) = match (cgroup.v1_directory("blkio"), cgroup.v2_directory("io")) {
        (Some(directory), _) => (directory, lines(wanted, &V1, &number)?),
        (None, Some(directory)) => (directory, lines(wanted, &V2, &number)?),
        (None, None) => {
            warnings.push(
                "the limits of block devices have no effect: this host's control groups have no `blkio` or `io` controller"
                    .to_owned(),
            );
            return Ok(());
        }
    };
    let mut is_told = false;
    for line in lines {
        if !write_first(directory, &line)? && !is_told {
            is_told = true;
            warnings.push(format!(
                "the {} has no effect: no scheduler of this kernel has weights (load bfq)",
                line.limit
            ));
        }
    }
    Ok(())
}

/// Writes the first file that exists; false when none does.
fn write_first(directory: &Path, line: &Line) -> Result<bool, CgroupError> {
    for (file, value) in &line.candidates {
        match control::write(&directory.join(file), value) {
            Ok(()) => return Ok(true),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(source) => {
                return Err(CgroupError::Limit {
                    limit: line.limit,
                    path: directory.to_owned(),
                    value: value.clone(),
                    source,
                });
            }
        }
    }
    Ok(false)
}

/// Names and notations of one version.
struct Version {
    /// Files of weights with the notation of the default one and of a device's.
    weights: [WeightFile; 2],
    throttle: fn(ThrottleBound, &str, u64) -> (&'static str, String),
}

struct WeightFile {
    default: &'static str,
    device: &'static str,
    default_prefix: &'static str,
    /// From Docker's scale (10 to 1000).
    scale: fn(u16) -> u64,
}

const V1: Version = Version {
    weights: [
        WeightFile {
            default: "blkio.bfq.weight",
            device: "blkio.bfq.weight_device",
            default_prefix: "",
            scale: same,
        },
        // Schedulers before Linux 5.0.
        WeightFile {
            default: "blkio.weight",
            device: "blkio.weight_device",
            default_prefix: "",
            scale: same,
        },
    ],
    throttle: |bound, device, rate| {
        let file = match bound {
            ThrottleBound::ReadBytes => "blkio.throttle.read_bps_device",
            ThrottleBound::WriteBytes => "blkio.throttle.write_bps_device",
            ThrottleBound::ReadOperations => "blkio.throttle.read_iops_device",
            ThrottleBound::WriteOperations => "blkio.throttle.write_iops_device",
        };
        (file, format!("{device} {rate}"))
    },
};

const V2: Version = Version {
    weights: [
        WeightFile {
            default: "io.bfq.weight",
            device: "io.bfq.weight",
            default_prefix: "default ",
            scale: same,
        },
        WeightFile {
            default: "io.weight",
            device: "io.weight",
            default_prefix: "default ",
            scale: to_io_weight,
        },
    ],
    throttle: |bound, device, rate| {
        let key = match bound {
            ThrottleBound::ReadBytes => "rbps",
            ThrottleBound::WriteBytes => "wbps",
            ThrottleBound::ReadOperations => "riops",
            ThrottleBound::WriteOperations => "wiops",
        };
        ("io.max", format!("{device} {key}={rate}"))
    },
};

fn same(weight: u16) -> u64 {
    u64::from(weight)
}

/// Docker's weights (10 to 1000) on the whole range of `io.weight` (1 to 10000), linearly as runc maps them.
fn to_io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

fn lines(
    wanted: &BlockIo,
    version: &Version,
    number: &impl Fn(&Path) -> Result<String, CgroupError>,
) -> Result<Vec<Line>, CgroupError> {
    let mut lines = Vec::new();
    let mut weight = |text: &str, weight: u16, is_device: bool| {
        let candidates = version.weights.iter().map(|file| {
            let scaled = (file.scale)(weight);
            if is_device {
                (file.device, format!("{text} {scaled}"))
            } else {
                (file.default, format!("{}{scaled}", file.default_prefix))
            }
        });
        lines.push(Line {
            limit: WEIGHT,
            candidates: candidates.collect(),
        });
    };
    if let Some(default) = wanted.weight {
        weight("", default, false);
    }
    for one in &wanted.weights {
        weight(&number(&one.device)?, one.weight, true);
    }
    for throttle in &wanted.throttles {
        let device = number(&throttle.device)?;
        lines.push(Line {
            limit: THROTTLE,
            candidates: vec![(version.throttle)(throttle.bound, &device, throttle.rate)],
        });
    }
    Ok(lines)
}

/// `major:minor` of a block device's node.
fn number(device: &Path) -> Result<String, CgroupError> {
    let failed = |source| CgroupError::Device {
        path: device.to_owned(),
        source,
    };
    // udev's links in this directory are the numbers, and not every host has udev.
    if let Ok(numbers) = device.strip_prefix("/dev/block")
        && let Some(numbers) = numbers.to_str()
        && let Some((major, minor)) = numbers.split_once(':')
        && major.parse::<u32>().is_ok()
        && minor.parse::<u32>().is_ok()
    {
        return Ok(numbers.to_owned());
    }
    let stat = stat(device).map_err(|errno| failed(errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
        return Err(failed(io::Error::from_raw_os_error(libc::ENOTBLK)));
    }
    Ok(format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{DeviceWeight, Throttle};

    fn everything() -> BlockIo {
        let throttle = |bound, rate| Throttle {
            device: "/dev/sda".into(),
            bound,
            rate,
        };
        BlockIo {
            weight: Some(10),
            weights: vec![DeviceWeight {
                device: "/dev/sda".into(),
                weight: 1000,
            }],
            throttles: vec![
                throttle(ThrottleBound::ReadBytes, 1),
                throttle(ThrottleBound::WriteBytes, 2),
                throttle(ThrottleBound::ReadOperations, 3),
                throttle(ThrottleBound::WriteOperations, 4),
            ],
        }
    }

    fn texts(version: &Version) -> Vec<String> {
        let lines = lines(&everything(), version, &|_| Ok("8:0".to_owned())).unwrap();
        let text = |line: Line| {
            let files = line.candidates.iter();
            let files: Vec<_> = files
                .map(|(file, value)| format!("{file}={value}"))
                .collect();
            files.join(" | ")
        };
        lines.into_iter().map(text).collect()
    }

    #[test]
    fn every_limit_has_its_file_in_both_versions() {
        assert_eq!(
            texts(&V1),
            [
                "blkio.bfq.weight=10 | blkio.weight=10",
                "blkio.bfq.weight_device=8:0 1000 | blkio.weight_device=8:0 1000",
                "blkio.throttle.read_bps_device=8:0 1",
                "blkio.throttle.write_bps_device=8:0 2",
                "blkio.throttle.read_iops_device=8:0 3",
                "blkio.throttle.write_iops_device=8:0 4",
            ]
        );
        assert_eq!(
            texts(&V2),
            [
                "io.bfq.weight=default 10 | io.weight=default 1",
                "io.bfq.weight=8:0 1000 | io.weight=8:0 10000",
                "io.max=8:0 rbps=1",
                "io.max=8:0 wbps=2",
                "io.max=8:0 riops=3",
                "io.max=8:0 wiops=4",
            ]
        );
    }

    #[test]
    fn what_is_no_block_device_is_named() {
        let error = number(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.to_string(), "look at device `/dev/null`");
        assert!(number(Path::new("/dev/none")).is_err());
    }
}
