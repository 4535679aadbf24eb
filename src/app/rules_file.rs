//! Follows the rules file: when it changes and is right, it goes into the log; when it is wrong,
//! the rules in force stay, and the log of the program says what is wrong.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::file_watch::{self, Changes, Watching};
use super::reload::{Looked, Reloads, What};
use super::rulebook::Rulebook;
use super::rules;
use crate::rulebook::effective::FileRules;

/// The file, and what of it is in force.
#[derive(Clone, Debug)]
pub(super) struct RulesFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The text in force. Whoever has it looks.
    text: Mutex<Arc<str>>,
    book: Rulebook,
    reloads: Reloads,
}

impl RulesFile {
    /// The file at `path`, whose content is `rules` now.
    pub(super) fn new(path: PathBuf, rules: FileRules, book: Rulebook, reloads: Reloads) -> Self {
        Self(Arc::new(Inner { path, text: Mutex::new(rules.text), book, reloads }))
    }

    /// Looks whenever it changes, until the watch ends.
    pub(super) fn watch(&self, tracker: &TaskTracker) -> anyhow::Result<Watching> {
        let (watching, changes) = file_watch::watch(&self.0.path)?;
        tracker.spawn(self.clone().follow(changes));
        Ok(watching)
    }

    /// Reads it now, and puts it into force if it has changed and is right.
    pub(super) async fn look(&self) -> Looked {
        let mut text = self.0.text.lock().await;
        let looked = self.take_up(&mut text).await;
        self.0.reloads.count(What::Rules, &looked);
        looked
    }

    async fn take_up(&self, text: &mut Arc<str>) -> Looked {
        let path = self.0.path.display();
        let new = rules::read(&self.0.path).map(FileRules::from).map_err(|error| {
            format!("The rules in force stay as they are: {}", super::chain(&error))
        })?;
        if new.text == *text {
            return Ok(None);
        }
        let n_rules = self
            .0
            .book
            .take_file(new.clone())
            .await
            .map_err(|error| format!("The new rules of {path} are not in force: {error:#}."))?;
        *text = new.text;
        Ok(Some(format!("{} rules from {path}, {n_rules} are in force", new.set.rules().len())))
    }

    async fn follow(self, mut changes: Changes) {
        loop {
            // At once too: it may have changed while the service started.
            match self.look().await {
                Ok(None) => {}
                Ok(Some(new)) => info!("Read {new}."),
                Err(why) => warn!("{why}"),
            }
            if !changes.next().await {
                return;
            }
        }
    }
}
