//! Decides what to do. Pure: values in, values out.

mod action;

pub use action::{Action, ContainerRef, Edge, ImageInput, NewContainer, Plan, Step, StepId};
