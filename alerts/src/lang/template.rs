//! The sentence that operators read: `{device} is at {value} °C`.
//!
//! Places: `{device}`, `{rule}`, `{severity}`, `{value}`, `{metric:NAME}`, `{label:NAME}`,
//! `{param:NAME}`. A brace is written twice: `{{`.

use bellwire_model::MetricName;

use super::names::{Names, Param};
use super::{Problem, Span, explain, lexer};
use crate::suggest;

/// The longest template, in bytes.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 4 * 1024;
/// The longest sentence, in bytes; longer ones are cut.
const SENTENCE_BYTES_MAX: usize = 4 * 1024;

/// The places that need no name.
const PLAIN: [&str; 4] = ["device", "rule", "severity", "value"];
/// The places that do.
const NAMED: [&str; 3] = ["metric", "label", "param"];

/// A sentence with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Device,
    Rule,
    Severity,
    Value,
    Metric(u16),
    Label(String),
}

/// Tells what stands in a place.
pub(crate) trait Fill {
    fn device(&self) -> String;
    fn rule(&self) -> String;
    fn severity(&self) -> String;
    fn value(&self) -> String;
    fn metric(&self, input: u16) -> String;
    fn label(&self, name: &str) -> String;
}

impl Template {
    /// Reads a template; the metrics it shows become inputs of the rule.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn parse(text: &str, names: &mut Names<'_>) -> Result<Self, Vec<Problem>> {
        if text.len() > TEMPLATE_BYTES_MAX {
            let message = format!("the summary is longer than {TEMPLATE_BYTES_MAX} bytes");
            return Err(vec![Problem::new(Span::default(), message)]);
        }
        let (mut pieces, mut problems) = (Vec::new(), Vec::new());
        let (mut plain, mut at) = (String::new(), 0);
        while let Some(found) = text[at..].find(['{', '}']) {
            plain.push_str(&text[at..at + found]);
            at += found;
            let brace = &text[at..=at];
            if text[at + 1..].starts_with(brace) {
                plain.push_str(brace);
                at += 2;
                continue;
            }
            let end = text[at..].find('}').filter(|_| brace == "{");
            let Some(length) = end else {
                let message = format!("`{brace}` has no partner");
                let problem = Problem::new(Span::new(at, at + 1), message);
                problems.push(problem.help(format!("write `{brace}{brace}` for the character")));
                at += 1;
                continue;
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            match place(text, Span::new(at + 1, at + length), names) {
                Ok(piece) => pieces.push(piece),
                Err(problem) => problems.push(problem),
            }
            at += length + 1;
        }
        plain.push_str(&text[at..]);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        if problems.is_empty() { Ok(Self(pieces)) } else { Err(problems) }
    }

    /// The sentence.
    pub(crate) fn render(&self, fill: &impl Fill) -> String {
        let mut sentence = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => sentence.push_str(text),
                Piece::Device => sentence.push_str(&fill.device()),
                Piece::Rule => sentence.push_str(&fill.rule()),
                Piece::Severity => sentence.push_str(&fill.severity()),
                Piece::Value => sentence.push_str(&fill.value()),
                Piece::Metric(input) => sentence.push_str(&fill.metric(*input)),
                Piece::Label(name) => sentence.push_str(&fill.label(name)),
            }
            if sentence.len() > SENTENCE_BYTES_MAX {
                sentence.truncate(sentence.floor_char_boundary(SENTENCE_BYTES_MAX));
                sentence.push('…');
                break;
            }
        }
        sentence
    }
}

/// Reads what stands between braces.
fn place(text: &str, span: Span, names: &mut Names<'_>) -> Result<Piece, Problem> {
    let source = span.of(text);
    let (kind, name) = source.split_once(':').unwrap_or((source, ""));
    let wrong = |message: String| Problem::new(span, message);
    match (kind, name) {
        ("device", "") => Ok(Piece::Device),
        ("rule", "") => Ok(Piece::Rule),
        ("severity", "") => Ok(Piece::Severity),
        ("value", "") => Ok(Piece::Value),
        ("metric", name) if names.group.is_some() => {
            let message = format!("`{name}` is of one device, but the rule is of groups");
            Err(wrong(message).help("`{value}` is what the condition is about"))
        }
        ("metric", name) => match MetricName::new(name) {
            Ok(name) => Ok(Piece::Metric(names.input(name))),
            Err(error) => Err(wrong(format!("`{name}` cannot be a metric: {error}"))),
        },
        ("label", name) if lexer::is_name(name) => Ok(Piece::Label(name.to_owned())),
        ("label", name) => Err(wrong(format!("`{name}` cannot be a label"))),
        ("param", name) => match names.params.get(name) {
            Some(param) => {
                let text = match param {
                    Param::Number(number) => explain::Number(*number).to_string(),
                    Param::Truth(truth) => truth.to_string(),
                    Param::Text(text) => text.to_string(),
                };
                names.used_params.push(name.to_owned());
                Ok(Piece::Text(text))
            }
            None => Err(wrong(format!("the rule has no parameter `{name}`"))),
        },
        _ => Err(wrong(format!("unknown place `{{{source}}}`")).help(help(kind, names))),
    }
}

fn help(kind: &str, names: &Names<'_>) -> String {
    if names.params.contains_key(kind) {
        return format!("write `{{param:{kind}}}`");
    }
    if names.inputs.iter().any(|name| name.as_str() == kind) {
        return format!("write `{{metric:{kind}}}`");
    }
    if let Some(near) = suggest::nearest(kind, PLAIN.into_iter().chain(NAMED)) {
        return format!("did you mean `{near}`?");
    }
    let named = NAMED.map(|name| format!("{name}:NAME"));
    let known: Vec<_> = PLAIN.into_iter().chain(named.iter().map(String::as_str)).collect();
    format!("the places are {}", suggest::list(&known))
}

#[cfg(test)]
mod tests {
    use super::super::names::Params;
    use super::*;

    struct Example;

    impl Fill for Example {
        fn device(&self) -> String {
            "f-1".to_owned()
        }
        fn rule(&self) -> String {
            "warm".to_owned()
        }
        fn severity(&self) -> String {
            "critical".to_owned()
        }
        fn value(&self) -> String {
            "-3".to_owned()
        }
        fn metric(&self, input: u16) -> String {
            format!("m{input}")
        }
        fn label(&self, name: &str) -> String {
            format!("l-{name}")
        }
    }

    fn render(text: &str) -> Result<String, Vec<(usize, String, Option<String>)>> {
        let params = Params::from([("limit".to_owned(), Param::Number(-15.0))]);
        Template::parse(text, &mut Names::new(&params))
            .map(|template| template.render(&Example))
            .map_err(|problems| {
                problems.into_iter().map(|p| (p.span.start, p.message, p.help)).collect()
            })
    }

    #[test]
    fn places_are_filled_in() {
        assert_eq!(
            render("{device} is at {value} °C (limit {param:limit}), {{{metric:motor.speed}}}"),
            Ok("f-1 is at -3 °C (limit -15), {m0}".to_owned())
        );
        assert_eq!(
            render("{severity} {rule} in {label:site}"),
            Ok("critical warm in l-site".to_owned())
        );
        assert_eq!(render(""), Ok(String::new()));
    }

    #[test]
    fn unknown_places_are_errors() {
        let all = "`device`, `rule`, `severity`, `value`, `metric:NAME`, `label:NAME` and \
                   `param:NAME`";
        assert_eq!(
            render("{devcie} {limit} {site} {param:x} {"),
            Err(vec![
                (
                    1,
                    "unknown place `{devcie}`".to_owned(),
                    Some("did you mean `device`?".to_owned())
                ),
                (
                    10,
                    "unknown place `{limit}`".to_owned(),
                    Some("write `{param:limit}`".to_owned())
                ),
                (18, "unknown place `{site}`".to_owned(), Some(format!("the places are {all}"))),
                (25, "the rule has no parameter `x`".to_owned(), None),
                (
                    34,
                    "`{` has no partner".to_owned(),
                    Some("write `{{` for the character".to_owned())
                ),
            ])
        );
    }
}
