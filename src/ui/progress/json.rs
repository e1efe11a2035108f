//! JSON lines with docker's fields (`id`, `parent_id`, `status`, `text`, `current`, `total`, `percent`) and ours.

use serde_json::{Map, Value, json};

use super::{kind, text};
use crate::protocol::{Progress as Step, StepState, Subject, SubjectKind};

pub(super) fn step(step: &Step) -> String {
    let mut object = Map::new();
    object.insert("id".into(), id(&step.subject).into());
    if step.subject.kind == SubjectKind::Layer
        && let Some((image, _)) = step.subject.name.split_once(' ')
    {
        object.insert("parent_id".into(), format!("Image {image}").into());
    }
    object.insert("kind".into(), kind(step.subject.kind).into());
    object.insert("name".into(), step.subject.name.clone().into());
    object.insert("status".into(), status(&step.state).into());
    object.insert("text".into(), text(&step.state).into());
    if let StepState::Working { current, total, .. } = &step.state {
        let numbers = [
            ("current", *current),
            ("total", *total),
            ("percent", percent(*current, *total)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                object.insert(name.into(), number.into());
            }
        }
    }
    if let Some(took) = step.took_ms {
        object.insert("took_ms".into(), took.into());
    }
    Value::Object(object).to_string()
}

pub(super) fn warning(text: &str) -> String {
    json!({"status": "Warning", "text": text}).to_string()
}

pub(super) fn output(source: &str, line: &str) -> String {
    json!({"id": source, "status": "Working", "text": "output", "details": line}).to_string()
}

/// `Container shop-web-1`, as docker identifies rows.
fn id(subject: &Subject) -> String {
    let word = kind(subject.kind);
    let (first, rest) = word.split_at(1);
    format!("{}{rest} {}", first.to_uppercase(), subject.name)
}

fn status(state: &StepState) -> &'static str {
    match state {
        StepState::Waiting { .. } | StepState::Working { .. } => "Working",
        StepState::Done { .. } => "Done",
        StepState::Failed { .. } => "Error",
    }
}

fn percent(current: Option<u64>, total: Option<u64>) -> Option<u64> {
    let (current, total) = (current?, total.filter(|total| *total > 0)?);
    Some((u128::from(current) * 100 / u128::from(total)).min(100) as u64)
}
