//! What is said of devices, as far as it has been kept.

use bellwire_model::registry::Registered;
use bellwire_model::{DeviceId, Profile, Registry};

use super::{Queries, ROWS_MAX, row_limit, word};
use crate::Error;
use crate::metrics::QueryKind;
use crate::profiles::labels;

impl Queries {
    /// What is said of devices, of all or of one. Revisions are not stored.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn registry(&self, only: Option<&DeviceId>) -> Result<Registry, Error> {
        let mut registry = Registry::default();
        let mut after: i32 = 0;
        loop {
            let rows = self
                .run(
                    QueryKind::Devices,
                    "reading what is said of devices",
                    "SELECT id, name, registered::text, born::text FROM bellwire.device \
                     WHERE id > $1 AND ($2::text IS NULL OR name = $2) \
                       AND (registered IS NOT NULL OR born <> '{}') ORDER BY id LIMIT $3",
                    &[&after, &only.map(DeviceId::as_str), &row_limit(ROWS_MAX)],
                )
                .await?;
            let Some(last) = rows.last() else { return Ok(registry) };
            after = last.get(0);
            for row in &rows {
                let device = word("a device", row.get(1), |text| DeviceId::new(text).ok())?;
                let said = |text: &str| word("labels", text, labels);
                let registered: Option<&str> = row.get(2);
                let registered = registered.map(said).transpose()?;
                let registered =
                    registered.map(|labels| Registered { labels, ..Default::default() });
                let profile = Profile { registered, born: said(row.get(3))?, ..Profile::default() };
                registry.restore(&device, profile);
            }
        }
    }
}
