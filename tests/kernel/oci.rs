//! `stack oci`: commands on containers of bundles, beyond what the conformance suites look at.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::support::World;

/// A bundle whose container sleeps, in a control group of its own.
struct Bundle<'a> {
    world: &'a World,
    directory: PathBuf,
    group: String,
}

impl<'a> Bundle<'a> {
    fn new(world: &'a World, resources: &Value) -> Self {
        let directory = world.project().join("bundle");
        let bin = directory.join("rootfs/bin");
        fs_err::create_dir_all(&bin).unwrap();
        fs_err::copy("/bin/busybox", bin.join("sleep")).unwrap();
        let bundle = Self {
            world,
            group: format!("stack-test-oci-{}", std::process::id()),
            directory,
        };
        bundle.oci(&["spec", "-b", bundle.directory.to_str().unwrap()]);
        let path = bundle.directory.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sleep", "1000"]);
        config["linux"]["cgroupsPath"] = json!(format!("/{}/c", bundle.group));
        config["linux"]["resources"] = resources.clone();
        fs_err::write(path, config.to_string()).unwrap();
        bundle
    }

    /// Runs a command; gives its exit code. Standard streams are nobody's, because a container would keep them.
    fn code(&self, arguments: &[&str]) -> i32 {
        let root = self.world.project().join("oci");
        let mut all = vec!["oci", "--root", root.to_str().unwrap()];
        all.extend(arguments);
        let null = Stdio::null;
        let mut command = self.world.command(&all);
        command.stdin(null()).stdout(null()).stderr(null());
        command.status().unwrap().code().unwrap()
    }

    #[track_caller]
    fn oci(&self, arguments: &[&str]) {
        assert_eq!(self.code(arguments), 0, "{arguments:?}");
    }

    /// A control file: that of version 1 where its controller is there, and otherwise that of version 2.
    fn limit(&self, controller: &str, v1: &str, v2: &str) -> String {
        let top = Path::new("/sys/fs/cgroup");
        let group = Path::new(&self.group).join("c");
        let file = top.join(controller).join(&group).join(v1);
        let file = if file.exists() {
            file
        } else {
            top.join(group).join(v2)
        };
        fs_err::read_to_string(file).unwrap().trim().to_owned()
    }
}

const MIB: i64 = 1 << 20;

#[test]
fn an_update_goes_on_from_the_one_before() {
    let world = World::new("services: {}");
    let resources = json!({
        "memory": { "limit": 64 * MIB, "swap": 96 * MIB },
        "cpu": { "quota": 20000, "period": 40000 },
        "pids": { "limit": 50 },
    });
    let bundle = Bundle::new(&world, &resources);
    let directory = bundle.directory.to_str().unwrap();
    bundle.oci(&["run", "-d", "-b", directory, "c"]);
    let memory = || bundle.limit("memory", "memory.limit_in_bytes", "memory.max");
    let quota = || bundle.limit("cpu", "cpu.cfs_quota_us", "cpu.max");
    let period = || bundle.limit("cpu", "cpu.cfs_period_us", "cpu.max");
    let swap = || bundle.limit("memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
    // On version 2 both are one file, and swap counts alone.
    let is = |text: String, v1: i64, v2: &str| text == v1.to_string() || text == v2;

    // Both above what was: memory alone may not be above memory plus swap for a moment.
    let more = (200 * MIB).to_string();
    bundle.oci(&["update", "--memory", &more, "--memory-swap", &more, "c"]);
    assert_eq!(memory(), more);
    assert!(is(swap(), 200 * MIB, "0"), "{}", swap());
    // The swap of the last update, not that of the bundle, is below which this one stays.
    let less = (150 * MIB).to_string();
    bundle.oci(&["update", "--memory", &less, "c"]);
    assert_eq!(memory(), less);
    assert!(is(swap(), 200 * MIB, &(50 * MIB).to_string()), "{}", swap());

    bundle.oci(&["update", "--cpu-period", "80000", "c"]);
    assert!(is(period(), 80_000, "20000 80000"), "{}", period());
    bundle.oci(&["update", "--cpu-quota", "30000", "c"]);
    assert!(is(period(), 80_000, "30000 80000"), "{}", period());
    assert!(is(quota(), 30_000, "30000 80000"), "{}", quota());
    bundle.oci(&["update", "--cpu-quota", "-1", "--memory", "-1", "c"]);
    assert!(is(quota(), -1, "max 80000"), "{}", quota());
    let unlimited = memory();
    assert!(
        unlimited == "max" || unlimited.parse::<u64>().unwrap() > 1 << 60,
        "{unlimited}"
    );
    assert_eq!(bundle.limit("pids", "pids.max", "pids.max"), "50");

    // What no kernel takes is refused before anything is written.
    assert_ne!(bundle.code(&["update", "--cpu-share", "1", "c"]), 0);
    bundle.oci(&["delete", "-f", "c"]);
    world.finish();
}
