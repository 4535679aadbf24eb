//! One operation of the API: what it takes, what it answers, and which problems it has.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::json;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::AllOfBuilder;
use utoipa::openapi::{
    ContentBuilder, Object, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
    SecurityRequirement,
};

use super::codes;
use super::shape::{Shape, between, text};
use crate::auth::table::{self, Need};
use crate::guard::once;
use crate::params::LIMIT_MAX;
use crate::routes::{BACKTEST, COMMANDS, MAPPINGS_TRY, RULE_TESTS, RULES_CHECK, TELEMETRY};

/// What every operation of the API may answer.
const OF_ALL: [&str; 7] = [
    "unknown_parameter",
    "duplicate_parameter",
    "invalid_parameter",
    "body_too_large",
    "too_many_connections",
    "too_many_requests",
    "internal",
];
/// What every operation with `Idempotency-Key` may answer.
const OF_KEYS: [&str; 3] =
    ["invalid_idempotency_key", "idempotency_key_in_use", "idempotency_key_reused"];
/// What an operation that changes something may answer.
const OF_WRITES: [&str; 4] = ["audit_log_closed", "audit_log_full", "body_timeout", "writes_full"];
/// What a query of history may answer.
const OF_HISTORY: [&str; 2] = ["database_away", "history_timeout"];
/// What an operation with a body may answer.
const OF_BODIES: [&str; 3] = ["not_json", "invalid_body", "body_timeout"];
/// What an operation with `If-Match` may answer.
const OF_CONDITIONS: [&str; 1] = ["if_match_missing"];

/// What is answered to whom it is not known, or who may not.
pub(super) const OF_PEOPLE: [&str; 3] = ["unauthenticated", "setup_needed", "forbidden"];

/// The type of content of almost everything.
pub(super) const JSON: &str = "application/json";

/// One operation.
pub(super) struct Op {
    pub(super) path: &'static str,
    pub(super) method: HttpMethod,
    pub(super) id: &'static str,
    /// More about it, in Markdown.
    about: String,
    builder: OperationBuilder,
    body: Option<RequestBody>,
    answers: BTreeMap<u16, Response>,
    codes: BTreeMap<u16, Vec<&'static str>>,
    is_open: bool,
}

impl Op {
    fn new(method: HttpMethod, path: &'static str, id: &'static str, summary: &str) -> Self {
        let builder = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
        let is_kept = once::is_kept(path, &axum_method(&method));
        let is_post = method == HttpMethod::Post;
        let (body, answers, codes) = (None, BTreeMap::new(), BTreeMap::new());
        let about = String::new();
        let op = Self { path, method, id, about, builder, body, answers, codes, is_open: false };
        let op = op.problems(&OF_ALL);
        // These two have keys of their own.
        let has_keys = [TELEMETRY, COMMANDS].contains(&path) && is_post;
        let op = if is_kept || has_keys { op.idempotent() } else { op };
        // What changes nothing is not in the audit log.
        let is_read = op.method == HttpMethod::Get;
        let tries = [BACKTEST, MAPPINGS_TRY, RULES_CHECK, RULE_TESTS];
        let is_safe = is_read || tries.contains(&path) && is_post;
        if is_safe { op } else { op.problems(&OF_WRITES) }
    }

    /// It reads. `id` is its name in clients that are made from the document.
    pub(super) fn get(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Get, path, id, summary)
    }

    /// It makes something, or does something.
    pub(super) fn post(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Post, path, id, summary)
    }

    /// It puts something in place of what there is.
    pub(super) fn put(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Put, path, id, summary)
    }

    /// It changes something.
    pub(super) fn patch(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Patch, path, id, summary)
    }

    /// It takes something away.
    pub(super) fn delete(path: &'static str, id: &'static str, summary: &str) -> Self {
        Self::new(HttpMethod::Delete, path, id, summary)
    }

    /// Nobody is asked who they are.
    fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// It is for what watches the service: nobody is asked, and it has none of the usual problems.
    pub(super) fn watched(self) -> Self {
        Self { codes: BTreeMap::new(), ..self.open() }
    }

    /// Among which it is shown.
    pub(super) fn tag(mut self, tag: &str) -> Self {
        self.builder = self.builder.tag(tag);
        self
    }

    /// More about it, in Markdown.
    pub(super) fn about(mut self, text: &str) -> Self {
        text.clone_into(&mut self.about);
        self
    }

    fn parameter(
        mut self,
        place: ParameterIn,
        name: &str,
        required: Required,
        shape: Shape,
        says: &str,
    ) -> Self {
        let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
        let parameter = parameter.schema(Some(shape.schema())).description(Some(says));
        self.builder = self.builder.parameter(parameter);
        self
    }

    /// A part of the path.
    pub(super) fn part(self, name: &str, shape: Shape, says: &str) -> Self {
        self.parameter(ParameterIn::Path, name, Required::True, shape, says)
    }

    /// A parameter that may be absent.
    pub(super) fn query(self, name: &str, shape: Shape, says: &str) -> Self {
        self.parameter(ParameterIn::Query, name, Required::False, shape.or_empty(), says)
    }

    /// A parameter that must be there.
    pub(super) fn must_query(self, name: &str, shape: Shape, says: &str) -> Self {
        self.parameter(ParameterIn::Query, name, Required::True, shape, says)
    }

    /// A line of the head that may be absent.
    pub(super) fn header(self, name: &str, shape: Shape, says: &str) -> Self {
        self.parameter(ParameterIn::Header, name, Required::False, shape, says)
    }

    /// `limit` and `cursor` of lists.
    pub(super) fn pages(self, usual: usize) -> Self {
        let says = "Where the page before ended: its `next`.";
        self.query("limit", between(1, LIMIT_MAX).usual(usual), "The most rows of one page.").query(
            "cursor",
            text().lengths(0, 512),
            says,
        )
    }

    fn idempotent(self) -> Self {
        let says = "The client's name for the request: sent again with the same name, it is done \
            once, and answered as the first was.";
        self.header("Idempotency-Key", text().pattern("^[!-~]{1,200}$"), says).problems(&OF_KEYS)
    }

    /// `If-Match`: it is done to the version that the client has seen, or to none.
    pub(super) fn if_match(self, of: &str) -> Self {
        let says = format!("The {of}'s `ETag` as it was seen, or `*` for whatever there is.");
        let shape = text().example("*");
        self.header("If-Match", shape, &says).problems(&OF_CONDITIONS)
    }

    /// `If-None-Match`: 304 if the client has it already.
    pub(super) fn if_none_match(self) -> Self {
        let says = "The `ETag` of what the client has: if it is still that, the answer is 304.";
        self.header("If-None-Match", text(), says)
            .empty(304, "It is as the client has it.")
            .answer_header(304, "ETag", "As in `If-None-Match`.")
    }

    /// A body that must be there.
    pub(super) fn body(self, shape: Shape) -> Self {
        self.takes(&[JSON], shape, Required::True)
    }

    /// A body that may be absent.
    pub(super) fn may_body(self, shape: Shape) -> Self {
        self.takes(&[JSON], shape, Required::False)
    }

    /// A body of one of several types of content.
    pub(super) fn body_as(self, kinds: &[&str], shape: Shape) -> Self {
        self.takes(kinds, shape, Required::True)
    }

    fn takes(self, kinds: &[&str], shape: Shape, required: Required) -> Self {
        let schema = shape.schema();
        let content = |schema| ContentBuilder::new().schema(Some(schema)).build();
        let body = kinds.iter().fold(RequestBodyBuilder::new(), |body, kind| {
            // What stands on lines is no one JSON value.
            let lines =
                RefOr::T(Schema::Object(Object::with_type(utoipa::openapi::schema::Type::String)));
            let is_json = kind.ends_with("json") && !kind.ends_with("ndjson");
            body.content(*kind, content(if is_json { schema.clone() } else { lines }))
        });
        let body = Some(body.required(Some(required)).build());
        Self { body, ..self }.problems(&OF_BODIES)
    }

    fn answer(mut self, status: u16, change: impl FnOnce(&mut Response)) -> Self {
        change(self.answers.entry(status).or_default());
        self
    }

    /// It answers with JSON.
    pub(super) fn gives(self, status: u16, says: &str, shape: Shape) -> Self {
        self.gives_as(status, JSON, says, shape)
    }

    /// It answers with content of this type.
    pub(super) fn gives_as(self, status: u16, kind: &str, says: &str, shape: Shape) -> Self {
        self.answer(status, |response| {
            says.clone_into(&mut response.description);
            let content = ContentBuilder::new().schema(Some(shape.schema())).build();
            response.content.insert(kind.to_owned(), content.into());
        })
    }

    /// It answers without a body.
    pub(super) fn empty(self, status: u16, says: &str) -> Self {
        self.answer(status, |response| says.clone_into(&mut response.description))
    }

    /// A line in the head of an answer.
    pub(super) fn answer_header(self, status: u16, name: &str, says: &str) -> Self {
        self.answer(status, |response| {
            let header = HeaderBuilder::new().schema(Some(text().schema())).description(Some(says));
            response.headers.insert(name.to_owned(), header.build().into());
        })
    }

    /// The problems it may have, by their codes.
    ///
    /// # Panics
    /// If the table of codes has one not; a test makes the document.
    pub(super) fn problems(mut self, codes: &[&'static str]) -> Self {
        for code in codes {
            let found = codes::CODES.iter().find(|it| it.code == *code);
            let found = found.unwrap_or_else(|| panic!("{code} is not in openapi/codes.rs"));
            self = self.problem(found.status, code);
        }
        self
    }

    /// A problem whose code has another status elsewhere.
    pub(super) fn problem(mut self, status: u16, code: &'static str) -> Self {
        let codes = self.codes.entry(status).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
        self
    }

    /// It asks history.
    pub(super) fn asks_history(self) -> Self {
        self.problems(&OF_HISTORY)
    }

    /// With what is asked of whoever asks, as the table of routes says.
    pub(super) fn admitting(mut self) -> Self {
        let method = axum_method(&self.method);
        let need = table::need(self.path, &method);
        let needs = match need {
            None => return self,
            Some(Need::Nothing) => return self.open().forgeable(&method),
            Some(Need::Anyone) => "Whoever has signed in, and any token, may.".to_owned(),
            Some(Need::Telemetry) => {
                "Needs a token for telemetry, or the role `operator`.".to_owned()
            }
            Some(Need::Role(role)) => format!("Needs the role `{}`.", role.label()),
        };
        self.about = format!("{} {needs}", self.about).trim_start().to_owned();
        let whole = table::is_of_the_whole(self.path, &method);
        let op = if whole { self.problems(&["out_of_scope"]) } else { self };
        op.problems(&OF_PEOPLE).forgeable(&method)
    }

    /// A page of another origin may have sent it, if it changes something.
    fn forgeable(self, method: &Method) -> Self {
        if *method == Method::GET { self } else { self.problems(&["csrf"]) }
    }

    /// As the document has it.
    pub(super) fn operation(mut self) -> utoipa::openapi::path::Operation {
        for (status, codes) in &self.codes {
            self.answers.insert(*status, problem(*status, codes));
        }
        let about = Some(self.about).filter(|about| !about.is_empty());
        let mut builder = self.builder.description(about).request_body(self.body);
        if self.is_open {
            builder = builder.securities(Some([SecurityRequirement::default()]));
        }
        for (status, mut response) in self.answers {
            let id = HeaderBuilder::new().schema(Some(text().schema()));
            let id = id.description(Some("Names the request in the service's log.")).build();
            response.headers.insert("X-Request-Id".to_owned(), id.into());
            builder = builder.response(status.to_string(), response);
        }
        builder.build()
    }
}

/// The method as requests have it.
fn axum_method(method: &HttpMethod) -> Method {
    match method {
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
        _ => Method::GET,
    }
}

/// The answer for a problem of this status, with the codes it may have.
fn problem(status: u16, those: &[&'static str]) -> Response {
    let means = |code: &&str| {
        let found = codes::CODES.iter().find(|it| it.code == *code && it.status == status);
        format!("- `{code}`: {}", found.map_or("", |it| it.means))
    };
    let lines: Vec<String> = those.iter().map(means).collect();
    let code = ObjectBuilder::new().enum_values(Some(those.iter().map(|code| json!(code))));
    let code = code.schema_type(utoipa::openapi::schema::Type::String);
    let this = ObjectBuilder::new().property("code", code);
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(this);
    let content = ContentBuilder::new().schema(Some(RefOr::T(Schema::from(schema.build()))));
    let mut response = ResponseBuilder::new()
        .description(lines.join("\n"))
        .content("application/problem+json", content.build());
    if matches!(status, 429 | 503) {
        let wait = HeaderBuilder::new().schema(Some(between(1, 86_400).schema()));
        let wait = wait.description(Some("After how many seconds to ask again.")).build();
        response = response.header("Retry-After", wait);
    }
    response.build()
}
