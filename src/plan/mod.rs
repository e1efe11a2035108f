//! Decides what to do. Pure: values in, values out; no clock, no files, no tokio.
//!
//! A plan is a graph of idempotent steps. It is made anew from the whole observed state whenever something happened, so a plan
//! that was carried out half-way, or whose outcome was unexpected, needs no undo: the next plan goes on from there, and the plan
//! of a state that is as wanted is empty.

mod action;
mod addresses;
mod create;
mod depends;
mod desired;
mod display;
mod down;
pub mod drift;
mod emit;
mod error;
mod graph;
mod images;
mod init;
mod inputs;
mod lifecycle;
pub mod lower;
mod networks;
mod orphans;
mod ports;
mod run;
mod scale;
mod selection;
mod services;
mod up;
mod volumes;

pub use action::{
    Action, ContainerRef, Edge, ImageInput, Joins, NamespaceOwner, NewContainer, Plan, Step, StepId,
};
pub use desired::{Desired, with_dependencies};
pub use display::{describe, display};
pub use error::PlanError;
pub use images::{base_services, image_reference, mounted_references};
pub use inputs::{
    ChangedVolumes, DownInputs, DownOptions, HostFacts, Inputs, LifecycleAction, LifecycleInputs,
    Mode, Recreate, RemoveImages, RunInputs, Stopped, UpOptions,
};
pub use lifecycle::start_scope;
pub use networks::{build_network, build_seat, standalone_network};
pub use selection::selected_services;

/// The plan of `stack run`.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// All steps.
    pub plan: Plan,
    /// The steps of the one-off container; `None` = what it needs must be settled first: apply this plan and plan the run again.
    pub container: Option<RunSteps>,
}

/// The steps of a one-off container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSteps {
    /// Makes it.
    pub create: StepId,
    /// Starts it.
    pub start: StepId,
}

/// Plans `up`, and what the loop does after it.
pub fn plan(inputs: &Inputs<'_>) -> Result<Plan, Vec<PlanError>> {
    up::plan(inputs)
}

/// Plans `down`.
pub fn down(inputs: &DownInputs<'_>) -> Result<Plan, Vec<PlanError>> {
    down::plan(inputs)
}

/// Plans `start`, `stop`, `restart`, `kill`, `pause`, `unpause` and `rm`.
pub fn lifecycle(inputs: &LifecycleInputs<'_>) -> Result<Plan, Vec<PlanError>> {
    lifecycle::plan(inputs)
}

/// Plans a one-off container and what it needs.
pub fn run(inputs: &RunInputs<'_>) -> Result<RunPlan, Vec<PlanError>> {
    run::plan(inputs)
}

#[cfg(test)]
pub(in crate::plan) mod tests;
