//! Which keys of payloads are labels of their device: `labels = ["site", "info.model"]`.

use std::sync::Arc;

use bellwire_model::registry::{LABELS_MAX, check_label_name};

use super::object::{KeyPath, LabelKey};
use super::reader::{Entry, Reader};

/// Reads the keys; what cannot be a label is noted.
pub(super) fn read(reader: &mut Reader<'_>, entry: Option<&Entry<'_, '_>>) -> Vec<LabelKey> {
    let Some(entry) = entry else { return Vec::new() };
    let mut labels: Vec<LabelKey> = Vec::new();
    for text in reader.texts_in("labels", entry.value) {
        let path = text.replace('/', ".");
        let name = path.rsplit('.').next().unwrap_or_default();
        if let Err(error) = check_label_name(name) {
            let found = format!("`{text}` cannot be a label");
            reader.error(entry.value.span(), found, Some(error.to_string()));
        } else if labels.iter().any(|known| &*known.name == name) {
            let found = format!("two keys are the label `{name}`");
            reader.error(entry.value.span(), found, None);
        } else {
            labels.push(LabelKey { name: Arc::from(name), path: KeyPath::new(&path) });
        }
    }
    if labels.len() > LABELS_MAX {
        let found = format!("{} labels are more than {LABELS_MAX}", labels.len());
        reader.error(entry.value.span(), found, None);
    }
    labels
}
