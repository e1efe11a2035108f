//! The state root: every path, locks, and files that are either old or new but never half-written.
//!
//! ```text
//! <root>/                      /var/lib/stack, or --root / STACK_ROOT
//!   blobs/sha256/<hex>         immutable: manifests, configs, compressed layers
//!   layers/<hex>/              unpacked layers, overlay-ready (owner: image)
//!   unsynced/<boot id>/        what of those is not on the disk yet (owner: image)
//!   images.json                references and images (owner: image)
//!   build/                     build cache (owner: build)
//!   volumes/<name>/{volume.json,_data}
//!   networks/<name>.json
//!   projects/<name>/desired.json
//!   events/{current.log,1.log}  the journal (owner: container::journal)
//!   containers/<id>/{record.json,spec.json,state.json,hooks.json,monitor.sock,monitor.lock,rootfs,upper,work,files}
//!   mount-points/              the layer below every image: empty places for /proc, /etc/hosts, … (owner: container)
//!   logs/<project>/<service>-<n>/{current.log,1.log,…}
//!   users/<project>.json       range of user ids of a project whose users are not the host's
//!   tmp/                       everything unfinished; wiped when nobody holds it
//! <run>/                       /run/stack, or <root>/run when the root was moved
//!   supervisor.sock  supervisor.lock  supervisor.log
//!   netns/<id>                 pinned network namespaces
//! ```

mod clock;
mod disk;
mod file;
mod networks;
mod paths;
mod scatter;
mod tar;
mod users;

pub use clock::{boot_id, now};
pub use disk::Meter;
pub use file::{
    Lock, StoreError, is_locked, lock, lock_shared, read_json, remove_tree, try_lock, write_json,
};
pub use networks::{read_networks, remove_network, write_network};
pub use paths::Root;
pub use scatter::scatter;
pub use tar::{TAR_BLOCK, TarMember, tar_padding};
pub use users::{free_users, take_users};
