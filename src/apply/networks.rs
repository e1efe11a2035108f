//! Networks by themselves: made and removed without a project, as other projects' `external` ones are.
//!
//! Making one writes its record and nothing else: the first project that uses it makes the bridge, as it does after a reboot.

use compose_spec::model::{Network, ProjectName};
use tokio::sync::Mutex;

use super::{Context, now};
use crate::{
    model::{NetworkNotFound, NetworkRecord, ObservedNetwork},
    network::{self, NetworkError},
    observe::{self, ObserveError},
    plan::{PlanError, standalone_network},
    protocol::NetworkRequest,
    store::{self, Root, StoreError},
};

/// Names that mean something else to Compose and Docker.
const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// One change at a time: two networks must not choose one subnet.
static TURN: Mutex<()> = Mutex::const_new(());

/// Why a network was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkChangeError {
    /// There is one of that name.
    #[error("network `{0}` exists already")]
    Exists(String),
    /// The name is not free to be used.
    #[error("`{name}` is not a name for a network: it means {}", predefined(.name))]
    Predefined {
        /// The name.
        name: String,
    },
    /// It cannot be made as it is wanted.
    #[error(transparent)]
    Refused(#[from] PlanError),
    /// There is none of that name or id.
    #[error(transparent)]
    NotFound(#[from] NetworkNotFound),
    /// Containers are on it, running or not.
    #[error("network `{name}` is in use by {}", users.join(", "))]
    InUse {
        /// The network.
        name: String,
        /// Names of the containers.
        users: Vec<String>,
    },
    /// Records could not be read or written.
    #[error("networks")]
    Records(#[from] StoreError),
    /// It is not known what there is and who uses it.
    #[error("find out who uses the networks")]
    Users(#[from] ObserveError),
    /// The host or the kernel.
    #[error(transparent)]
    Kernel(#[from] NetworkError),
}

impl NetworkChangeError {
    /// The next thing to do.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::InUse { .. } => "`stack down` or `stack rm` removes the containers",
            Self::NotFound(_) => "`stack network ls` lists those there are",
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

fn predefined(name: &str) -> &'static str {
    match name {
        "host" => "the host's own network",
        "none" => "no network at all",
        _ => "Docker's default network",
    }
}

/// What was changed, and what could not be.
#[derive(Debug, Default)]
pub struct NetworkChanges {
    /// Names of the networks that it was done to.
    pub names: Vec<String>,
    /// Why it was not done to others.
    pub errors: Vec<NetworkChangeError>,
}

/// Does what a call asks. `wanted`: the projects of which something is wanted.
pub async fn change_networks(
    context: &Context,
    request: NetworkRequest,
    wanted: &[ProjectName],
) -> NetworkChanges {
    let _turn = TURN.lock().await;
    let mut changes = NetworkChanges::default();
    let mut note = |result: Result<Option<String>, NetworkChangeError>| match result {
        Ok(name) => changes.names.extend(name),
        Err(error) => changes.errors.push(error),
    };
    match request {
        NetworkRequest::Create { network } => note(create(&context.root, &network).map(Some)),
        NetworkRequest::Remove { names, force } => {
            for name in names {
                note(match remove(context, &name).await {
                    Err(NetworkChangeError::NotFound(NetworkNotFound::Missing(_))) if force => {
                        Ok(None)
                    }
                    result => result.map(Some),
                });
            }
        }
        NetworkRequest::Prune { names } => {
            for name in names {
                note(prune(context, &name, wanted).await);
            }
        }
    }
    changes
}

fn create(root: &Root, wanted: &Network) -> Result<String, NetworkChangeError> {
    let name = &wanted.name;
    if PREDEFINED.contains(&name.as_str()) {
        return Err(NetworkChangeError::Predefined { name: name.clone() });
    }
    let known = store::read_networks(root)?;
    if known.iter().any(|known| known.name == *name) {
        return Err(NetworkChangeError::Exists(name.clone()));
    }
    let subnets: Vec<_> = network::host_facts()?.taken().collect();
    let record = standalone_network(wanted, &observe::host_facts(), (&known, &subnets), now())?;
    store::write_network(root, &record)?;
    Ok(record.name)
}

/// The kernel objects go first, so that a record remains as long as anything does.
async fn remove(context: &Context, text: &str) -> Result<String, NetworkChangeError> {
    let known = observe::networks(&context.root)?;
    let ObservedNetwork { record, users } =
        NetworkRecord::find(&known, text, |network| &network.record)?;
    let name = &record.name;
    if !users.is_empty() {
        return Err(NetworkChangeError::InUse {
            name: name.clone(),
            users: users.iter().map(|user| user.name.clone()).collect(),
        });
    }
    context.fabric.remove_network(record).await?;
    store::remove_network(&context.root, name)?;
    Ok(name.clone())
}

/// Removes a network if it is still there, nobody uses it and no project will want it again.
async fn prune(
    context: &Context,
    name: &str,
    wanted: &[ProjectName],
) -> Result<Option<String>, NetworkChangeError> {
    let known = store::read_networks(&context.root)?;
    let is_wanted = known.iter().any(|record| {
        let project = record.project.as_ref();
        record.name == name && project.is_some_and(|project| wanted.contains(project))
    });
    if is_wanted {
        return Ok(None);
    }
    match remove(context, name).await {
        Err(NetworkChangeError::InUse { .. } | NetworkChangeError::NotFound(_)) => Ok(None),
        result => result.map(Some),
    }
}
