//! Where each value of a project was written.

use std::collections::HashMap;

use crate::{
    diagnostic::{Location, Sources},
    yaml::{Mapping, Node, Value},
};

/// Places by path: `services.web.ports[0]` -> file, line, column of the value (of the key for mappings and lists).
#[derive(Debug, Clone, Default)]
pub struct Locations {
    places: HashMap<String, Location>,
}

impl Locations {
    /// Returns the place of a value, or that of the nearest value around it.
    pub fn find(&self, path: &str) -> Option<&Location> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place);
            }
            let cut = path.rfind(['.', '['])?;
            path = &path[..cut];
        }
    }

    /// Returns all places, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Location)> {
        self.places
            .iter()
            .map(|(path, place)| (path.as_str(), place))
    }

    /// Notes the places of a merged tree.
    pub(crate) fn of(root: &Node, sources: &Sources) -> Self {
        let mut locations = Self::default();
        locations.walk(root, &mut String::new(), sources);
        locations
    }

    fn walk(&mut self, node: &Node, path: &mut String, sources: &Sources) {
        let length = path.len();
        match &node.value {
            Value::Mapping(mapping) => self.walk_mapping(mapping, path, sources),
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    push_index(path, index);
                    self.places
                        .insert(path.clone(), sources.location(item.span));
                    self.walk(item, path, sources);
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn walk_mapping(&mut self, mapping: &Mapping, path: &mut String, sources: &Sources) {
        let length = path.len();
        for (key, entry) in mapping.iter() {
            if length > 0 {
                path.push('.');
            }
            path.push_str(key);
            let nested = matches!(entry.value.value, Value::Mapping(_) | Value::Sequence(_));
            let span = if nested {
                entry.key_span
            } else {
                entry.value.span
            };
            let place = sources.location(span);
            self.places.insert(path.clone(), place);
            self.walk(&entry.value, path, sources);
            path.truncate(length);
        }
    }
}

/// Adds `[index]` to the path of a value.
pub(crate) fn push_index(path: &mut String, index: usize) {
    path.push('[');
    path.push_str(&index.to_string());
    path.push(']');
}
