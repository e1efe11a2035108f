//! Refusals of limits, devices and user maps.

use super::*;
use crate::spec::{
    BlockIo, Device, DeviceAccess, DeviceWeight, IdRange, Seccomp, Throttle, ThrottleBound, UserMap,
};

#[test]
fn devices_limits_and_users_are_refused_with_field_and_value() {
    let device = |source: &str, target: &str| Device {
        source: source.into(),
        target: target.into(),
        access: DeviceAccess::ALL,
    };
    let throttle = |device: &str, rate| Throttle {
        device: device.into(),
        bound: ThrottleBound::ReadBytes,
        rate,
    };
    let weight = |weight| DeviceWeight {
        device: "/dev/sda".into(),
        weight,
    };
    let range = |inside, outside, count| IdRange {
        inside,
        outside,
        count,
    };
    let users = |uids: Vec<IdRange>| {
        refusal(|s| {
            s.users = Some(UserMap {
                uids,
                gids: vec![range(0, 1, 1)],
            });
        })
    };
    let io = |io: BlockIo| refusal(|s| s.resources.block_io = io);
    let cases = [
        (
            refusal(|s| s.devices = vec![device("dev/x", "/dev/x")]),
            "device `dev/x` is not an absolute path",
        ),
        (
            refusal(|s| s.devices = vec![device("/dev/x", "dev/x")]),
            "device target `dev/x` is not an absolute path",
        ),
        (
            refusal(|s| s.devices = vec![device("/dev/x", "/proc/x")]),
            "mount on `/proc/x` is inside /proc",
        ),
        (
            refusal(|s| s.devices = vec![device("/dev/x", "/..")]),
            "mount on `/..` would hide the root filesystem",
        ),
        (
            refusal(|s| {
                let mut device = device("/dev/x", "/dev/x");
                device.access = DeviceAccess {
                    read: false,
                    write: false,
                    make: false,
                };
                s.devices = vec![device];
            }),
            "device `/dev/x` has no access at all",
        ),
        (
            io(BlockIo {
                weight: Some(9),
                ..BlockIo::default()
            }),
            "block I/O weight 9 is not 10 to 1000",
        ),
        (
            io(BlockIo {
                weights: vec![weight(1001)],
                ..BlockIo::default()
            }),
            "block I/O weight 1001 is not 10 to 1000",
        ),
        (
            io(BlockIo {
                throttles: vec![throttle("/dev/sda", 0)],
                ..BlockIo::default()
            }),
            "block I/O limit 0 is not 1 or more",
        ),
        (
            io(BlockIo {
                throttles: vec![throttle("sda", 1)],
                ..BlockIo::default()
            }),
            "block device `sda` is not an absolute path",
        ),
        (
            refusal(|s| s.resources.memory_swappiness = Some(101)),
            "swappiness 101 is not 0 to 100",
        ),
        (
            refusal(|s| s.resources.cpu_shares = Some(1)),
            "CPU shares 1 is not 2 to 262144",
        ),
        (
            refusal(|s| s.resources.cpu_period_us = Some(999)),
            "CPU period 999 is not 1000 to 1000000",
        ),
        (
            refusal(|s| {
                s.resources.cpu_rt_runtime_us = Some(11);
                s.resources.cpu_rt_period_us = Some(10);
            }),
            "real-time limit 11 is not within its period",
        ),
        (users(vec![]), "user map `` does not have id 0"),
        (
            users(vec![range(1, 5, 1)]),
            "user map `1 5 1` does not have id 0",
        ),
        (
            users(vec![range(0, 5, 0)]),
            "user map `0 5 0` has an empty range",
        ),
        (
            users(vec![range(0, 5, 10), range(9, 100, 1)]),
            "user map `0 5 10, 9 100 1` has ids twice",
        ),
        (
            users(vec![range(0, 5, 10), range(10, 14, 1)]),
            "user map `0 5 10, 10 14 1` has ids twice",
        ),
        (
            users(vec![range(0, u32::MAX, 1)]),
            "user map `0 4294967295 1` has ids above 4294967294",
        ),
        (
            refusal(|s| {
                s.users = Some(UserMap::of_range(5, 5));
                s.security.privileged = true;
            }),
            "a privileged container cannot have users of its own (a user map)",
        ),
        (
            refusal(|s| {
                let profile = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}"#;
                s.security.seccomp = Seccomp::Profile(serde_json::from_str(profile).unwrap());
            }),
            "seccomp profile: error number 5000 is above 4095",
        ),
        (
            refusal(|s| {
                s.mounts = vec![Mount {
                    target: "/x".into(),
                    kind: MountKind::Image {
                        lowers: vec![],
                        subpath: None,
                    },
                    read_only: true,
                }];
            }),
            "0 layers are not 1 to 500",
        ),
    ];
    for (found, wanted) in cases {
        assert_eq!(found, wanted);
    }
}
