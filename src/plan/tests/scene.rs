//! Situations that several tests begin with.

use compose_spec::model::{Condition, Project, Service};

use super::{
    fixture::{With, service},
    world::World,
};
use crate::plan::{UpOptions, display};

pub(super) fn web_and_db() -> [Service; 2] {
    [
        service("web")
            .publishes(8080, 80)
            .needs("db", Condition::ServiceHealthy),
        service("db").probed().mounts("data", "/data"),
    ]
}

/// A world where the project is up already.
pub(super) fn settled(project: &Project) -> World {
    let mut world = World::new();
    world.up(project, UpOptions::default());
    world
}

pub(super) fn planned(world: &mut World, project: &Project, options: UpOptions) -> String {
    world.call(options);
    display(&world.plan(project))
}
