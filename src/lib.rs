//! `stack` reads a Compose file and makes it true on this Linux host, and keeps it true.
//!
//! Layers; a module may use those to the right of its arrow and nothing else (`tests/it/layering.rs` checks it):
//!
//! ```text
//! L1  model      -> compose_spec, runtime::spec        store -> model
//! L2  plan       -> compose_spec, model, runtime::spec                  PURE
//! L3  image      -> store, model                       volume -> store, model
//!     inventory  -> model                              scan -> inventory, model
//!     network    -> store, model, runtime              container -> store, model, runtime
//! L4  build      -> image, container, store, model
//!     watch      -> build (ignore files), compose_spec
//! L5  observe    -> build, image, inventory, network, volume, container, store, model
//!     apply      -> plan, observe (facts of the host), build, image, network, volume, container, store, model, protocol
//! L6  supervisor -> observe, plan, apply, container, store, model, protocol, compose_spec
//!     oci        -> plan (names of signals), runtime
//! L7  client     -> protocol, store, model             ui -> model, protocol, plan, compose_spec
//! L8  cli        -> client, ui, compose_spec, plan, observe, inventory, scan, watch, container (monitor clients), store, model, protocol, oci
//!     protocol   -> model, compose_spec
//! ```

pub mod apply;
pub mod build;
pub mod cli;
pub mod client;
pub mod container;
pub mod image;
pub mod inventory;
pub mod model;
pub mod network;
pub mod observe;
pub mod oci;
pub mod plan;
pub mod protocol;
pub mod scan;
pub mod store;
pub mod supervisor;
pub mod ui;
pub mod volume;
pub mod watch;
