//! Whether an answer is one that the API's document has: route, status, type of content, and every
//! field of its JSON. All tests that ask over HTTP use it.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// The document with all its objects closed: a field that it does not have is a fault.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::from_str(bellwire_api::openapi()).expect("JSON");
    close(&mut document);
    document
});

/// Says of every object with fields that it has no others; but for parts of an `allOf`.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(close),
        Value::Object(map) => {
            for (_, inner) in map.iter_mut().filter(|(key, _)| *key != "allOf") {
                close(inner);
            }
            let is_problem = map.get("description") == Some(&json!("A problem (RFC 9457)."));
            if map.contains_key("properties") && map.contains_key("required") && !is_problem {
                map.entry("additionalProperties").or_insert(json!(false));
            }
        }
        _ => {}
    }
}

/// An answer, as far as the document says anything about it.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a str,
    /// With its query.
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: &'a str,
    pub(crate) body: &'a str,
}

impl Answered<'_> {
    /// Panics if the document has no such answer, and says why.
    pub(crate) fn check(&self) {
        if let Err(fault) = self.fault() {
            let Answered { method, path, status, body, .. } = self;
            let body: String = body.chars().take(500).collect();
            panic!(
                "{method} {path} answered {status}, which api/src/openapi does not say: {fault}: {body}"
            );
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn fault(&self) -> Result<(), String> {
        // What is no HTTP is answered before there is a request.
        if self.header("x-request-id").is_none() && matches!(self.status, 400 | 414 | 431) {
            return Ok(());
        }
        if self.header("x-request-id").is_none() {
            return Err("it has no X-Request-Id".to_owned());
        }
        let path = self.path.split('?').next().unwrap_or_default();
        let Some(item) = item(path) else { return self.is_none() };
        let method = if self.method == "HEAD" { "GET" } else { self.method };
        let operation = &item[method.to_ascii_lowercase()];
        if operation.is_null() {
            return self.is_none();
        }
        let answer = &operation["responses"][self.status.to_string()];
        if answer.is_null() {
            return Err("this status".to_owned());
        }
        if self.method == "HEAD" {
            return Ok(());
        }
        let kind = self.header("content-type").and_then(|kind| kind.split(';').next());
        let (Some(content), Some(kind)) = (answer["content"].as_object(), kind) else {
            return match (answer["content"].is_null(), kind) {
                (true, None) => Ok(()),
                _ => Err(format!("content of type {kind:?}")),
            };
        };
        let schema = content.get(kind).ok_or_else(|| format!("content of type {kind}"))?;
        if kind.ends_with("json") && !kind.ends_with("ndjson") {
            valid(&schema["schema"], self.body)?;
        }
        Ok(())
    }

    /// No route of the API, or not with this method: a problem that says so, or the console.
    fn is_none(&self) -> Result<(), String> {
        let path = self.path.split('?').next().unwrap_or_default();
        match self.status {
            404 | 405 => valid(&json!({"$ref": "#/components/schemas/Problem"}), self.body),
            // A browser asks so whether a page of another origin may ask.
            _ if self.method == "OPTIONS" => Ok(()),
            _ if !path.starts_with("/api/") => Ok(()),
            _ => Err("this route".to_owned()),
        }
    }
}

/// What the document says of a path: what has it as it is, before what has it by its parts.
fn item(path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let fits = |template: &str| {
        let (mut of, mut parts) = (template.split('/'), path.split('/'));
        loop {
            match (of.next(), parts.next()) {
                (None, None) => return true,
                (Some(of), Some(part)) if of == part || of.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    paths.get(path).or_else(|| paths.iter().find(|(it, _)| fits(it)).map(|(_, item)| item))
}

fn valid(schema: &Value, body: &str) -> Result<(), String> {
    let body: Value = serde_json::from_str(body).map_err(|error| format!("no JSON: {error}"))?;
    let mut schema = schema.clone();
    schema["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    let faults: Vec<String> = validator
        .iter_errors(&body)
        .map(|error| format!("at `{}`: {error}", error.instance_path()))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}
