//! `up` in chosen situations.

use compose_spec::model::Condition;

use super::{
    fixture::{With, project, service},
    world::World,
};
use crate::plan::{UpOptions, display};

#[test]
fn a_new_project_is_made_in_the_order_of_its_dependencies() {
    let project = project([
        service("web")
            .publishes(8080, 80)
            .needs("db", Condition::ServiceHealthy)
            .built(),
        service("db").probed().mounts("data", "/data"),
    ]);
    let mut world = World::new();
    world.call(UpOptions::default());
    insta::assert_snapshot!(display(&world.plan(&project)), @r"
    1 ensure network shop_default 10.201.137.0/24 (not there)
    2 ensure volume shop_data (not there)
    3 pull image db:1 (not in the store)
    4 build image shop-web (not in the store)
    5 create container shop-db-1 shop_default=10.201.137.24 (not there) needs 1,2,3
    6 start container shop-db-1 (not there) needs 5
    7 create container shop-web-1 shop_default=10.201.137.68 8080:80 (not there) needs 1,4
    8 await shop-db-1 healthy (others need it healthy) needs 6
    9 start container shop-web-1 (not there) needs 7,8
    ");
}
