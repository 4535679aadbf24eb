//! Shapes of JSON, in the few words that the API's document needs: each becomes a JSON Schema.

use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema,
    SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};

/// How a piece of JSON looks.
pub(super) struct Shape {
    of: Of,
    nullable: bool,
    says: Option<&'static str>,
    /// Whether it says which texts there may be.
    is_strict: bool,
}

enum Of {
    Plain(Type, Box<ObjectBuilder>),
    Words(Vec<&'static str>),
    Named(&'static str),
    List(Box<Shape>, usize),
    Either(Vec<Shape>),
    Any,
}

fn shape(of: Of) -> Shape {
    Shape { of, nullable: false, says: None, is_strict: false }
}

fn plain(kind: Type) -> Shape {
    shape(Of::Plain(kind, Box::default()))
}

/// Any text.
pub(super) fn text() -> Shape {
    plain(Type::String)
}

/// An instant, as RFC 3339 writes it.
pub(super) fn time() -> Shape {
    let format = SchemaFormat::Custom("date-time".to_owned());
    Shape { is_strict: true, ..text().build(|it| it.format(Some(format))) }
}

/// One of these words.
pub(super) fn word(words: impl IntoIterator<Item = &'static str>) -> Shape {
    shape(Of::Words(words.into_iter().collect()))
}

/// A hash or an id: so many digits of hexadecimal.
pub(super) fn hex(n_digits: usize) -> Shape {
    text().pattern(format!("^[0-9a-f]{{{n_digits}}}$"))
}

/// A length of time such as `30s`, `6h`.
pub(super) fn duration() -> Shape {
    text().pattern("^[0-9]+[smhd]$").example("1h")
}

/// A device's name.
pub(super) fn device() -> Shape {
    text().lengths(1, 256).example("freezer-1")
}

/// Any number.
pub(super) fn number() -> Shape {
    plain(Type::Number)
}

/// A whole number from 0.
pub(super) fn count() -> Shape {
    signed().build(|it| it.minimum(Some(0)))
}

/// A whole number from `least` to `most`.
pub(super) fn between(least: usize, most: usize) -> Shape {
    signed().build(|it| it.minimum(Some(least)).maximum(Some(most)))
}

/// Any whole number.
pub(super) fn signed() -> Shape {
    plain(Type::Integer)
}

/// True or false.
pub(super) fn flag() -> Shape {
    plain(Type::Boolean)
}

/// Anything.
pub(super) fn any() -> Shape {
    shape(Of::Any)
}

/// A shape that has a name in the document.
pub(super) fn named(name: &'static str) -> Shape {
    shape(Of::Named(name))
}

/// A list of any length.
pub(super) fn list(of: Shape) -> Shape {
    shape(Of::List(Box::new(of), 0))
}

/// A list of exactly so many.
pub(super) fn tuple(of: Shape, n: usize) -> Shape {
    shape(Of::List(Box::new(of), n))
}

/// One of these.
pub(super) fn either(shapes: impl IntoIterator<Item = Shape>) -> Shape {
    shape(Of::Either(shapes.into_iter().collect()))
}

/// An object whose keys are the client's.
pub(super) fn map(of: Shape) -> Shape {
    plain(Type::Object)
        .build(|it| it.additional_properties(Some(AdditionalProperties::RefOr(of.schema()))))
}

/// An object; its keys follow.
pub(super) fn object() -> Shape {
    plain(Type::Object)
}

/// Labels with their values.
pub(super) fn labels() -> Shape {
    map(text()).example_json(serde_json::json!({"kind": "freezer", "site": "berlin-2"}))
}

/// A page of a list: `{key: […], "next": …}`.
pub(super) fn page(key: &'static str, of: &'static str) -> Shape {
    object().must(key, list(named(of))).must("next", next())
}

/// Where a page ended.
pub(super) fn next() -> Shape {
    text().or_null().says("Handed back as `cursor` it gives the next page; `null` at the end.")
}

impl Shape {
    fn build(self, change: impl FnOnce(ObjectBuilder) -> ObjectBuilder) -> Self {
        match self.of {
            Of::Plain(kind, builder) => {
                Self { of: Of::Plain(kind, Box::new(change(*builder))), ..self }
            }
            _ => self,
        }
    }

    /// As a parameter of a query, where an empty text counts as absent.
    pub(super) fn or_empty(self) -> Self {
        match self.of {
            Of::Plain(Type::String, _) if !self.is_strict => self,
            Of::Words(words) if words.contains(&"") => Self { of: Of::Words(words), ..self },
            Of::Words(mut words) => {
                words.push("");
                Self { of: Of::Words(words), ..self }
            }
            _ => either([self, word([""])]),
        }
    }

    /// What it means.
    pub(super) fn says(self, text: &'static str) -> Self {
        Self { says: Some(text), ..self }
    }

    /// Or `null`.
    pub(super) fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// With a key that is always there.
    pub(super) fn must(self, key: &'static str, of: Shape) -> Self {
        self.build(|it| it.property(key, of.schema()).required(key))
    }

    /// With a key that may be absent.
    pub(super) fn may(self, key: &'static str, of: Shape) -> Self {
        self.build(|it| it.property(key, of.schema()))
    }

    /// With no other keys.
    pub(super) fn closed(self) -> Self {
        self.build(|it| it.additional_properties(Some(AdditionalProperties::FreeForm(false))))
    }

    /// A text that matches this (ECMA 262).
    pub(super) fn pattern(self, pattern: impl Into<String>) -> Self {
        Self { is_strict: true, ..self.build(|it| it.pattern(Some(pattern))) }
    }

    /// A text of so many characters.
    pub(super) fn lengths(self, least: usize, most: usize) -> Self {
        let bounded = self.build(|it| it.min_length(Some(least)).max_length(Some(most)));
        Self { is_strict: bounded.is_strict || least > 0, ..bounded }
    }

    /// Such as this.
    pub(super) fn example(self, text: &str) -> Self {
        self.example_json(Value::from(text))
    }

    /// Such as this.
    pub(super) fn example_json(self, example: Value) -> Self {
        self.build(|it| it.examples([example]))
    }

    /// What it is if it is absent.
    pub(super) fn usual(self, value: impl Into<Value>) -> Self {
        self.build(|it| it.default(Some(value.into())))
    }

    /// As JSON Schema.
    pub(super) fn schema(self) -> RefOr<Schema> {
        let Self { of, nullable, says, .. } = self;
        let types = |kind: Type| match nullable {
            true => SchemaType::Array(vec![kind, Type::Null]),
            false => SchemaType::Type(kind),
        };
        let null = || Object::with_type(SchemaType::Type(Type::Null));
        match of {
            Of::Plain(kind, builder) => {
                builder.schema_type(types(kind)).description(says).build().into()
            }
            Of::Words(words) => {
                let words = words.into_iter().map(Value::from);
                let words = words.chain(nullable.then_some(Value::Null));
                let builder = ObjectBuilder::new().schema_type(types(Type::String));
                builder.enum_values(Some(words)).description(says).build().into()
            }
            Of::Named(name) if nullable => {
                let either = OneOfBuilder::new().item(Ref::from_schema_name(name)).item(null());
                Schema::OneOf(either.description(says).build()).into()
            }
            Of::Named(name) => {
                let mut to = Ref::from_schema_name(name);
                to.description = says.unwrap_or_default().to_owned();
                RefOr::Ref(to)
            }
            Of::List(of, n) => {
                let list = ArrayBuilder::new().items(of.schema()).schema_type(types(Type::Array));
                let n = (n > 0).then_some(n);
                let list = list.min_items(n).max_items(n).description(says);
                list.build().into()
            }
            Of::Either(shapes) => {
                let either = AnyOfBuilder::new().description(says);
                let either = shapes.into_iter().fold(either, |it, shape| it.item(shape.schema()));
                let either = if nullable { either.item(null()) } else { either };
                Schema::AnyOf(either.build()).into()
            }
            Of::Any => {
                let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
                any.description(says).build().into()
            }
        }
    }
}
