//! What a change of a rule would do: pure, so that nothing is kept before all of it is known to be right.

use std::sync::Arc;

use bellwire_alerts::{FILE_BYTES_MAX, RULES_MAX, Rule, RuleError, read_one};
use bellwire_api::ports::{ChangedBy, Known, NewRule, RuleDeed, RuleMistake, RulesError};
use bellwire_model::{RuleName, Timestamp};

use crate::rulebook::effective::{Draft, Effective, FileRules, Misfit, compose};
use crate::rulebook::file::text_behind;
use crate::rulebook::history::History;
use crate::rulebook::line::Text;
use crate::rulebook::{Deed, Standing, Version};

/// What somebody wants.
#[derive(Debug)]
pub(super) enum Intent {
    Create(NewRule),
    Change(RuleName, RuleDeed, Known),
}

/// What is to be kept, and what is in force then.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) version: Version,
    pub(super) text: Text,
    pub(super) effective: Effective,
}

/// What there is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now<'a> {
    pub(super) file: &'a FileRules,
    pub(super) history: &'a History,
}

/// How a rule is to be.
struct Wanted {
    deed: Deed,
    toml: Option<Arc<str>>,
    standing: Standing,
}

/// Plans a change: whose, and what; no plan where it is so already.
///
/// # Errors
/// [`RulesError`] if it may not be.
pub(super) fn plan(
    now: Now<'_>,
    intent: &Intent,
    by: &ChangedBy,
    at: Timestamp,
) -> Result<(RuleName, Option<Plan>), RulesError> {
    let (name, wanted) = match intent {
        Intent::Create(new) => {
            let (name, wanted) = created(now, new)?;
            (name, Some(wanted))
        }
        Intent::Change(name, deed, known) => (name.clone(), changed(now, name, deed, known)?),
    };
    let Some(Wanted { deed, toml, standing }) = wanted else { return Ok((name, None)) };
    let in_force = toml.as_deref().filter(|_| standing.is_enabled());
    check_room(now.history, &name, toml.as_deref())?;
    let draft = Draft { rule: &name, toml: in_force };
    let effective = compose(now.file, now.history, Some(draft)).map_err(misfit)?;
    let (seq, number) = now.history.next(name.as_str());
    let version = Version {
        seq,
        number,
        at,
        author: by.author.as_str().into(),
        comment: by.comment.as_deref().map(Arc::from),
        deed,
        toml,
        standing,
    };
    let text = text_behind(now.history.last(name.as_str()), &version);
    Ok((name, Some(Plan { version, text, effective })))
}

fn created(now: Now<'_>, new: &NewRule) -> Result<(RuleName, Wanted), RulesError> {
    let name = read(&new.toml)?.name().clone();
    if now.file.has(name.as_str()) {
        return Err(RulesError::InFile(name));
    }
    if now.history.current(name.as_str()).is_some() {
        return Err(RulesError::Exists(name));
    }
    let standing = if new.enabled { Standing::Enabled } else { Standing::Disabled };
    Ok((name, Wanted { deed: Deed::Create, toml: Some(new.toml.as_str().into()), standing }))
}

fn changed(
    now: Now<'_>,
    name: &RuleName,
    deed: &RuleDeed,
    known: &Known,
) -> Result<Option<Wanted>, RulesError> {
    let no_such = || RulesError::NoSuchRule(name.clone());
    let current = now.history.current(name.as_str());
    // One that is set aside for the file's may be deleted.
    let may_be = current.is_some() && *deed == RuleDeed::Delete;
    if now.file.has(name.as_str()) && !may_be {
        return Err(RulesError::InFile(name.clone()));
    }
    let before = match deed {
        RuleDeed::Restore { .. } => now.history.last(name.as_str()).ok_or_else(no_such)?,
        _ => current.ok_or_else(no_such)?,
    };
    if let Known::Revisions(revisions) = known
        && !revisions.contains(&before.number)
    {
        return Err(RulesError::Stale { revision: before.number });
    }
    let with = |deed, toml: Option<Arc<str>>, standing| Wanted { deed, toml, standing };
    let wanted = match deed {
        RuleDeed::Change { toml } => {
            let found = read(toml)?.name().clone();
            if found != *name {
                return Err(RulesError::OtherName { found });
            }
            with(Deed::Change, Some(toml.as_str().into()), before.standing)
        }
        RuleDeed::Enable => {
            read(before.toml.as_deref().unwrap_or_default())?;
            with(Deed::Enable, before.toml.clone(), Standing::Enabled)
        }
        RuleDeed::Disable => with(Deed::Disable, before.toml.clone(), Standing::Disabled),
        RuleDeed::Delete => with(Deed::Delete, None, Standing::Disabled),
        RuleDeed::Restore { version: number } => {
            let version = now.history.version(name.as_str(), *number);
            let version = version.ok_or(RulesError::NoSuchVersion(*number))?;
            let toml = version.toml.clone().ok_or(RulesError::IsDeletion(*number))?;
            read(&toml)?;
            let standing = if current.is_some() { before.standing } else { Standing::Enabled };
            with(Deed::Restore, Some(toml), standing)
        }
    };
    let is_so = before.toml == wanted.toml && before.standing == wanted.standing;
    Ok((!is_so).then_some(wanted))
}

/// Rules that are kept are bounded as those in force are, whether they are or not.
fn check_room(history: &History, name: &RuleName, toml: Option<&str>) -> Result<(), RulesError> {
    let Some(toml) = toml else { return Ok(()) };
    let others = history.rules().filter(|(other, _, _)| *other != name);
    let (n, n_bytes) =
        others.fold((1, toml.len()), |(n, bytes), (_, _, toml)| (n + 1, bytes + toml.len()));
    if n > RULES_MAX {
        return Err(misfit(Misfit::TooMany { n_rules: n }));
    }
    if n_bytes > FILE_BYTES_MAX {
        return Err(misfit(Misfit::TooLong { n_bytes }));
    }
    Ok(())
}

pub(super) fn misfit(misfit: Misfit) -> RulesError {
    let text = misfit.to_string();
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    RulesError::NoFit(format!("{}{}.", first.unwrap_or_default(), chars.as_str()))
}

/// Reads the text of a rule.
pub(super) fn read(toml: &str) -> Result<Rule, RulesError> {
    read_one(toml).map_err(|errors| RulesError::Wrong(mistakes(errors, toml)))
}

/// What is wrong in a text, as the API says it.
pub(super) fn mistakes(errors: Vec<RuleError>, text: &str) -> Vec<RuleMistake> {
    errors.into_iter().map(|error| mistake(error, text)).collect()
}

/// The most of a line that is given back.
const FOUND_CHARS_MAX: usize = 120;

fn mistake(error: RuleError, toml: &str) -> RuleMistake {
    let RuleError { key, line, column, length, message, help, .. } = error;
    let text = toml.lines().nth(line - 1).unwrap_or_default();
    let found = text.chars().skip(column - 1).take(length.min(FOUND_CHARS_MAX)).collect();
    RuleMistake { key, line, column, length, message, help, found }
}
