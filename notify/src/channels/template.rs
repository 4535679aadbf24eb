//! A webhook's body by a template of the operator's own: Jinja, over what Alertmanager's payload has.

use std::path::Path;

use minijinja::{Environment, UndefinedBehavior, context};

use super::Setting;
use super::chat::title;
use super::payload::Payload;
use crate::dispatch::Notice;

/// How much a template may do: more than any for 1,000 alerts needs.
const FUEL: u64 = 2_000_000;
/// The longest file.
const BYTES_MAX: usize = 256 << 10;

/// A template that was read.
#[derive(Debug)]
pub(super) struct Template(Environment<'static>);

/// The name under which the environment has it, shown in errors.
const NAME: &str = "template";

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| {
            format!("template_file: cannot use {}: {error}", path.display())
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        if text.len() > BYTES_MAX {
            return Err(wrong(&format!("it has more than {BYTES_MAX} bytes")));
        }
        Self::parse(text).map_err(|error| wrong(&error))
    }

    fn parse(text: String) -> Result<Self, String> {
        let mut environment = Environment::empty();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.add_filter("tojson", minijinja::filters::tojson);
        environment.add_filter("length", minijinja::filters::length);
        environment.add_filter("upper", minijinja::filters::upper);
        environment.add_filter("lower", minijinja::filters::lower);
        environment.add_filter("default", minijinja::filters::default);
        environment.add_filter("join", minijinja::filters::join);
        environment.add_filter("first", minijinja::filters::first);
        environment.add_filter("replace", minijinja::filters::replace);
        environment.add_template_owned(NAME, text).map_err(|error| format!("{error:#}"))?;
        Ok(Self(environment))
    }

    /// The body of a message.
    ///
    /// # Errors
    /// What went wrong, with its line.
    pub(super) fn body(&self, notice: &Notice, setting: &Setting) -> Result<Vec<u8>, String> {
        let payload = Payload::new(notice, setting);
        let values = context! { title => title(notice), ..minijinja::value::Serde(&payload) };
        let made = self.0.get_template(NAME).and_then(|template| template.render(values));
        made.map(String::into_bytes).map_err(|error| format!("the template fails: {error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::testing::{notice, setting};

    fn made(text: &str) -> Result<String, String> {
        let template = Template::parse(text.to_owned())?;
        template.body(&notice(), &setting()).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn it_has_the_payload_and_a_title() {
        let text = r#"{"text": {{ title | tojson }}, "all": [{% for alert in alerts %}{{ alert.labels.device | tojson }}{% if not loop.last %}, {% endif %}{% endfor %}]}"#;
        let expected = r#"{"text": "[FIRING:1] hot (site=berlin)", "all": ["oven-1", "oven-2"]}"#;
        assert_eq!(made(text).as_deref(), Ok(expected));
        assert_eq!(made("{{ alerts[0].annotations.nothing }}!").as_deref(), Ok("!"));
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_runs_for_ever() {
        assert!(made("{% for %}").unwrap_err().contains("template:1"));
        assert!(made("{{ title | nothing }}").is_err());
        let mut endless = "x".to_owned();
        for level in 0..6 {
            endless = format!("{{% for a{level} in title %}}{endless}{{% endfor %}}");
        }
        assert!(made(&endless).unwrap_err().contains("fuel"));
    }
}
