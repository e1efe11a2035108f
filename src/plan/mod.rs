//! Decides what to do. Pure: values in, values out; no clock, no files, no tokio.
//!
//! A plan is a graph of idempotent steps. It is made anew from the whole observed state whenever something happened, so a plan
//! that was carried out half-way, or whose outcome was unexpected, needs no undo: the next plan goes on from there, and the plan
//! of a state that is as wanted is empty.

mod action;
mod error;
mod inputs;
pub mod lower;

pub use action::{
    Action, ContainerRef, Edge, ImageInput, Joins, NamespaceOwner, NewContainer, Plan, Step, StepId,
};
pub use error::{PlanError, PlanErrorKind};
pub use inputs::{
    ChangedVolumes, DownInputs, DownOptions, HostFacts, Inputs, LifecycleAction, LifecycleInputs,
    Mode, Recreate, RemoveImages, RunInputs, Stopped, UpOptions,
};

/// The plan of `stack run`, and which of its steps are about the one-off container.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// All steps.
    pub plan: Plan,
    /// The step that makes the container.
    pub create: StepId,
    /// The step that starts it.
    pub start: StepId,
}

/// Plans `up`, and what the loop does after it.
pub fn plan(inputs: &Inputs<'_>) -> Result<Plan, Vec<PlanError>> {
    let _ = inputs;
    Err(Vec::new())
}

/// Plans `down`.
pub fn down(inputs: &DownInputs<'_>) -> Result<Plan, Vec<PlanError>> {
    let _ = inputs;
    Err(Vec::new())
}

/// Plans `start`, `stop`, `restart`, `kill`, `pause`, `unpause` and `rm`.
pub fn lifecycle(inputs: &LifecycleInputs<'_>) -> Result<Plan, Vec<PlanError>> {
    let _ = inputs;
    Err(Vec::new())
}

/// Plans a one-off container.
pub fn run(inputs: &RunInputs<'_>) -> Result<RunPlan, Vec<PlanError>> {
    let _ = inputs;
    Err(Vec::new())
}
