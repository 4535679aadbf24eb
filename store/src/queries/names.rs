//! The metrics' names by their ids. Ids never change, so what has been read once stays.

use std::sync::{Arc, PoisonError, RwLock};

use bellwire_model::MetricName;
use hashbrown::HashMap;

use super::{Queries, word};
use crate::Error;
use crate::metrics::QueryKind;

/// Names that have been looked up. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct MetricNames(Arc<RwLock<HashMap<i32, MetricName>>>);

impl MetricNames {
    fn get(&self, id: i32) -> Option<MetricName> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

impl Queries {
    /// The names of `ids`.
    pub(super) async fn metric_names(
        &self,
        ids: impl Iterator<Item = i32> + Send,
    ) -> Result<HashMap<i32, MetricName>, Error> {
        let mut known: HashMap<i32, MetricName> = HashMap::new();
        let mut unknown: Vec<i32> = Vec::new();
        for id in ids {
            if known.contains_key(&id) || unknown.contains(&id) {
                continue;
            }
            match self.names.get(id) {
                Some(name) => drop(known.insert(id, name)),
                None => unknown.push(id),
            }
        }
        if unknown.is_empty() {
            return Ok(known);
        }
        let sql = "SELECT id, name FROM bellwire.metric WHERE id = ANY($1)";
        let rows = self.run(QueryKind::Readings, "reading metrics", sql, &[&unknown]).await?;
        for row in &rows {
            let name = word("a metric's name", row.get(1), |text| MetricName::new(text).ok())?;
            known.insert(row.get(0), name);
        }
        let mut names = self.names.0.write().unwrap_or_else(PoisonError::into_inner);
        names.extend(known.iter().map(|(id, name)| (*id, name.clone())));
        Ok(known)
    }
}
