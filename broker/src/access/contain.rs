//! Whether a filter may be subscribed to: not if it can match a topic about which no rule says
//! anything where all is denied by default, and not if rules deny all that it can match. What rules
//! deny of a filter that is allowed is left out as messages are sent.
//!
//! The rules cut all topics into finitely many classes: of two texts that no rule tells apart, one
//! stands for both. So where the filter has a wildcard it is enough to try, level by level, each
//! text that a rule names there, one of a device that the client speaks for, one of none. A
//! topic is decided as soon as no rule waits for a further level. The search gives up, and refuses,
//! after [`STEPS_MAX`].

use bellwire_model::TopicFilter;

use super::acl::{Effect, Line};
use super::pattern::{Level, Reach};
use super::principal::Subject;

/// The most levels that are tried for one filter: far more than any rules of use need, and less than
/// a millisecond.
const STEPS_MAX: usize = 4_096;

/// A text that no rule names: from Unicode's private use.
const STRANGE: &str = "\u{F8FF}";

/// What the search has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing that speaks against it.
    None,
    /// No rule speaks of this topic, and what no rule speaks of is denied.
    Unspoken(String),
    /// Rules deny this topic and all others that the filter matches.
    Denied(String),
    /// There is too much to look at.
    TooMuch,
}

/// Looks for a topic that `filter` matches and that speaks against it, by `lines`, which are all about
/// `subject`.
pub(super) fn denied_topic(
    lines: &[&Line],
    fallback: Effect,
    subject: &Subject,
    filter: &TopicFilter,
) -> Found {
    let levels: Vec<&str> = filter.as_str().split('/').collect();
    let mut search = Search {
        lines,
        fallback,
        subject,
        levels: &levels,
        topic: Vec::new(),
        n_steps: 0,
        has_allowed: false,
        denied: None,
    };
    let start = vec![Reach::Levels(0); lines.len()];
    match (search.from(&start), search.has_allowed, search.denied) {
        (Err(found), ..) => found,
        (Ok(()), false, Some(denied)) => Found::Denied(denied),
        (Ok(()), ..) => Found::None,
    }
}

struct Search<'a> {
    lines: &'a [&'a Line],
    fallback: Effect,
    subject: &'a Subject,
    /// The filter's.
    levels: &'a [&'a str],
    /// The levels that are being tried.
    topic: Vec<String>,
    n_steps: usize,
    /// Some topic is allowed.
    has_allowed: bool,
    /// A topic that a rule denies.
    denied: Option<String>,
}

impl Search<'_> {
    /// Goes on behind the levels tried so far, by which each line has come to its reach.
    fn from(&mut self, reaches: &[Reach]) -> Result<(), Found> {
        let (n, n_levels) = (self.topic.len(), self.levels.len());
        let wanted = self.levels.get(n.min(n_levels - 1)).copied().unwrap_or("#");
        // `a/#` matches `a` as well; `#` alone has one level at least.
        let may_end = n >= 1 && (n == n_levels || (wanted == "#" && n + 1 >= n_levels));
        let is_settled = n >= 1 && !reaches.iter().any(|it| matches!(it, Reach::Levels(_)));
        if may_end || is_settled {
            self.decide(reaches)?;
        }
        if is_settled || (may_end && wanted != "#") {
            return Ok(());
        }
        if !matches!(wanted, "#" | "+") {
            return self.step(reaches, wanted.to_owned());
        }
        let mut candidates = self.candidates(reaches);
        // A wildcard does not begin what begins with `$`. [MQTT-4.7.2-1]
        candidates.retain(|text| n > 0 || !text.starts_with('$'));
        candidates.into_iter().try_for_each(|text| self.step(reaches, text))
    }

    fn step(&mut self, reaches: &[Reach], text: String) -> Result<(), Found> {
        self.n_steps += 1;
        if self.n_steps > STEPS_MAX {
            return Err(Found::TooMuch);
        }
        let subject = self.subject;
        let mut next: Vec<Reach> = self
            .lines
            .iter()
            .zip(reaches)
            .map(|(line, &reach)| line.topic.step(reach, &text, |id| subject.speaks_for(id)))
            .collect();
        // Lines behind one that matches whatever follows have nothing to say any more.
        if let Some(n) = next.iter().position(|reach| *reach == Reach::Absorbed) {
            next[n + 1..].fill(Reach::Dead);
        }
        self.topic.push(text);
        self.from(&next)?;
        self.topic.pop();
        Ok(())
    }

    /// Notes what is said of the topic as it stands, and with it of all that go on from there if no
    /// line waits for more.
    fn decide(&mut self, reaches: &[Reach]) -> Result<(), Found> {
        let mut lines = self.lines.iter().zip(reaches);
        let first = lines.find(|(line, reach)| line.topic.ends(**reach));
        match (first.map(|(line, _)| line.effect), self.fallback) {
            (Some(Effect::Allow), _) | (None, Effect::Allow) => self.has_allowed = true,
            (Some(Effect::Deny), _) if self.denied.is_some() => {}
            (Some(Effect::Deny), _) => self.denied = Some(self.example()),
            (None, Effect::Deny) => return Err(Found::Unspoken(self.example())),
        }
        Ok(())
    }

    /// A topic that the filter matches and that begins with the levels tried so far.
    fn example(&self) -> String {
        let tried = self.topic.iter().map(String::as_str);
        let rest = self.levels.iter().skip(self.topic.len()).filter(|level| **level != "#");
        let rest = rest.map(|&level| if level == "+" { STRANGE } else { level });
        tried.chain(rest).collect::<Vec<_>>().join("/")
    }

    /// A text of each class that the lines tell apart at the next level.
    fn candidates(&self, reaches: &[Reach]) -> Vec<String> {
        let lines = self.lines.iter().zip(reaches);
        let waiting: Vec<&Level> =
            lines.filter_map(|(line, &reach)| line.topic.level(reach)).collect();
        let mut texts: Vec<String> = Vec::new();
        for level in &waiting {
            if let Level::Text(text) = level
                && !texts.iter().any(|known| **known == **text)
            {
                texts.push(text.to_string());
            }
        }
        if waiting.contains(&&Level::Device) {
            let own = self.subject.principal.name().map(str::to_owned).into_iter();
            let others = self.subject.speaks_for.iter().map(|it| it.example(STRANGE));
            let unnamed = own.chain(others).find(|text| !texts.contains(text));
            texts.extend(unnamed);
            // Who speaks for all devices still does not for an empty level.
            if self.subject.speaks_for(STRANGE) {
                texts.push(String::new());
            }
        }
        texts.push(STRANGE.to_owned());
        texts
    }
}

#[cfg(test)]
mod tests;
