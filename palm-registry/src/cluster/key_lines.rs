//! Where the keys of a TOML file's components stand.

use std::collections::HashMap;

use toml::de::{DeTable, DeValue};

/// Lines of keys, component by component.
#[derive(Debug, Default)]
pub(super) struct KeyLines(Vec<HashMap<String, usize>>);

impl KeyLines {
    /// Those of a file that can be read.
    pub(super) fn of(text: &str) -> Self {
        let text = super::without_mark(text);
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |at: usize| ends.partition_point(|end| *end < at) + 1;
        let Ok(file) = DeTable::parse(text) else { return Self::default() };
        let components = file.get_ref().iter().find(|(key, _)| key.get_ref() == "component");
        let tables = components.and_then(|(_, value)| value.get_ref().as_array());
        let lines = tables.into_iter().flat_map(|tables| tables.iter()).map(|table| {
            let mut lines = HashMap::new();
            if let DeValue::Table(table) = table.get_ref() {
                for (key, value) in table.iter() {
                    lines.insert(key.get_ref().to_string(), line(key.span().start));
                    let DeValue::Table(inner) = value.get_ref() else { continue };
                    for (name, _) in inner.iter() {
                        // What makes it ready is one key, and each flag has its own.
                        let name_of = if key.get_ref() == "ready" { key } else { name };
                        lines.insert(name_of.get_ref().to_string(), line(name.span().start));
                    }
                }
            }
            lines
        });
        Self(lines.collect())
    }

    /// The line of a key, or of a flag, of the component with this index; `None` if it is not in the file.
    pub(super) fn line(&self, component: usize, key: &str) -> Option<usize> {
        self.0.get(component)?.get(key).copied()
    }
}
