//! Limits of block devices on this kernel.

use super::*;
use crate::spec::{BlockIo, DeviceWeight, Throttle, ThrottleBound};

/// Makes a node of some whole disk of this machine; its numbers as text.
fn a_disk(directory: &Path) -> (PathBuf, String) {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let mut disks = fs::read_dir("/sys/block").unwrap();
    let disk = disks.next().unwrap().unwrap().path();
    let text = fs::read_to_string(disk.join("dev")).unwrap();
    let text = text.trim().to_owned();
    let (major, minor) = text.split_once(':').unwrap();
    let number = makedev(major.parse().unwrap(), minor.parse().unwrap());
    let node = directory.join("disk");
    mknod(&node, SFlag::S_IFBLK, Mode::S_IRUSR, number).unwrap();
    (node, text)
}

#[test]
fn throttles_of_disks_are_what_the_kernel_says_back() {
    let directory = tempfile::tempdir().unwrap();
    let (device, number) = a_disk(directory.path());
    let throttle = |bound, rate| Throttle {
        device: device.clone(),
        bound,
        rate,
    };
    let resources = Resources {
        block_io: BlockIo {
            weight: None,
            weights: vec![],
            throttles: vec![
                throttle(ThrottleBound::ReadBytes, 1 << 20),
                throttle(ThrottleBound::WriteBytes, 2 << 20),
                throttle(ThrottleBound::ReadOperations, 30),
                throttle(ThrottleBound::WriteOperations, 40),
            ],
        },
        ..Resources::default()
    };
    let test = Test::create("throttle", &Hierarchies::detect().unwrap(), &resources);
    let Some(group) = test.cgroup.v1_directory("blkio") else {
        let group = test.cgroup.v2_directory("io").unwrap();
        let text = fs::read_to_string(group.join("io.max")).unwrap();
        let wanted = format!("{number} rbps=1048576 wbps=2097152 riops=30 wiops=40");
        assert_eq!(text.trim(), wanted);
        return;
    };
    for (file, value) in [
        ("blkio.throttle.read_bps_device", "1048576"),
        ("blkio.throttle.write_bps_device", "2097152"),
        ("blkio.throttle.read_iops_device", "30"),
        ("blkio.throttle.write_iops_device", "40"),
    ] {
        assert_eq!(
            control::words(&group.join(file)),
            [number.as_str(), value],
            "{file}"
        );
    }
}

#[test]
fn weights_of_disks_are_set_or_told_to_have_no_effect() {
    let directory = tempfile::tempdir().unwrap();
    let (device, _) = a_disk(directory.path());
    let weights = |device: PathBuf| Resources {
        block_io: BlockIo {
            weight: Some(300),
            weights: vec![DeviceWeight {
                device,
                weight: 500,
            }],
            throttles: vec![],
        },
        ..Resources::default()
    };
    let place = CgroupPlace {
        parent: format!("stack-test-{}-weights", std::process::id()),
        name: "container".to_owned(),
    };
    let create = |resources: &Resources, warnings: &mut Vec<String>| {
        Cgroup::create(&place, resources, &DevicePolicy::Everything, warnings)
    };
    let mut warnings = Vec::new();
    let cgroup = match create(&weights(device), &mut warnings) {
        Ok(cgroup) => cgroup,
        // bfq takes weights of the disks that it schedules only.
        Err(CgroupError::Limit { limit, value, .. }) => {
            assert_eq!(limit, "block I/O weight");
            assert!(value.ends_with(" 500"), "{value}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let group = cgroup
        .v1_directory("blkio")
        .or_else(|| cgroup.v2_directory("io"))
        .unwrap()
        .to_owned();
    let has = [
        "blkio.bfq.weight",
        "blkio.weight",
        "io.bfq.weight",
        "io.weight",
    ]
    .into_iter()
    .find(|file| group.join(file).exists());
    match has {
        Some(file) => {
            let text = fs::read_to_string(group.join(file)).unwrap();
            let wanted = if file == "io.weight" { "2931" } else { "300" };
            assert!(text.contains(wanted), "{file}: {text}");
        }
        None => assert_eq!(
            warnings,
            [
                "the block I/O weight has no effect: no scheduler of this kernel has weights (load bfq)"
            ]
        ),
    }
    cgroup.remove().unwrap();
    // What is no disk is an error that names it, and nothing is left.
    let error = create(&weights("/dev/null".into()), &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "look at device `/dev/null`");
    assert!(!group.exists());
}
