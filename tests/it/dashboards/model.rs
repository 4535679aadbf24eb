//! A dashboard's JSON as Grafana writes it, as far as ours use it: a key that is not here is misspelt, or
//! needs a look.

#![expect(dead_code, reason = "what is not looked at is here so that serde knows it")]

use serde::Deserialize;
use serde_json::Value;

/// A dashboard, schema 41.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Dashboard {
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) schema_version: u32,
    version: u32,
    editable: bool,
    fiscal_year_start_month: u8,
    graph_tooltip: u8,
    /// Grafana's own; a file must leave it to the server.
    pub(super) id: Option<u64>,
    live_now: bool,
    preload: bool,
    refresh: String,
    pub(super) time: TimeSpan,
    timepicker: Nothing,
    timezone: String,
    week_start: String,
    pub(super) annotations: Annotations,
    pub(super) links: Vec<BoardLink>,
    pub(super) panels: Vec<Panel>,
    pub(super) templating: Templating,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeSpan {
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Annotations {
    pub(super) list: Vec<Annotation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Annotation {
    built_in: Option<u8>,
    pub(super) datasource: Source,
    enable: bool,
    hide: bool,
    icon_color: String,
    pub(super) name: String,
    /// Absent in the one that is built in.
    pub(super) target: Option<Target>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Which data source: its type, and its uid or the variable that has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) uid: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BoardLink {
    as_dropdown: bool,
    icon: String,
    include_vars: bool,
    pub(super) keep_time: bool,
    pub(super) tags: Vec<String>,
    target_blank: bool,
    title: String,
    tooltip: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Row,
    Stat,
    TimeSeries,
    Table,
    BarGauge,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Panel {
    pub(super) id: u32,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) datasource: Option<Source>,
    pub(super) grid_pos: GridPos,
    pub(super) field_config: Option<FieldConfig>,
    /// Checked by [`Panel::options`].
    pub(super) options: Option<Value>,
    #[serde(default)]
    pub(super) targets: Vec<Target>,
    #[serde(default)]
    pub(super) links: Vec<DataLink>,
    /// The variable for each of whose values it is there once.
    pub(super) repeat: Option<String>,
    repeat_direction: Option<String>,
    max_per_row: Option<u8>,
    /// The least `$__interval`.
    pub(super) interval: Option<String>,
    collapsed: Option<bool>,
    /// A collapsed row's.
    #[serde(default)]
    pub(super) panels: Vec<Panel>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GridPos {
    pub(super) h: u32,
    pub(super) w: u32,
    pub(super) x: u32,
    pub(super) y: u32,
}

/// A query; of SQL, or of PromQL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Target {
    /// Absent in an annotation, which has it itself.
    pub(super) datasource: Option<Source>,
    editor_mode: String,
    pub(super) ref_id: String,
    pub(super) format: Option<Format>,
    raw_query: Option<bool>,
    pub(super) raw_sql: Option<String>,
    pub(super) expr: Option<String>,
    pub(super) legend_format: Option<String>,
    range: Option<bool>,
    instant: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    TimeSeries,
    Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldConfig {
    pub(super) defaults: Defaults,
    pub(super) overrides: Vec<Override>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Defaults {
    color: Option<Color>,
    custom: Option<Custom>,
    decimals: Option<u8>,
    mappings: Option<Vec<Mapping>>,
    max: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) no_value: Option<String>,
    pub(super) thresholds: Option<Thresholds>,
    pub(super) unit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Color {
    mode: String,
    fixed_color: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Custom {
    align: Option<String>,
    draw_style: Option<String>,
    fill_opacity: Option<u8>,
    filterable: Option<bool>,
    line_width: Option<u8>,
    scale_distribution: Option<Scale>,
    show_points: Option<String>,
    span_nulls: Option<bool>,
    stacking: Option<Stacking>,
    thresholds_style: Option<Mode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scale {
    #[serde(rename = "type")]
    kind: String,
    log: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stacking {
    group: String,
    mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mode {
    mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mapping {
    options: std::collections::BTreeMap<String, Mapped>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapped {
    color: String,
    index: u8,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Thresholds {
    mode: String,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) color: String,
    /// `None` in the first.
    pub(super) value: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Override {
    pub(super) matcher: Matcher,
    pub(super) properties: Vec<Property>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Matcher {
    pub(super) id: String,
    pub(super) options: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Property {
    pub(super) id: String,
    pub(super) value: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DataLink {
    title: String,
    pub(super) url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Templating {
    pub(super) list: Vec<Variable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum VariableKind {
    DataSource,
    Query,
    Custom,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Variable {
    #[serde(rename = "type")]
    pub(super) kind: VariableKind,
    pub(super) name: String,
    label: String,
    pub(super) description: Option<String>,
    /// Of a query.
    pub(super) datasource: Option<Source>,
    pub(super) definition: Option<String>,
    /// SQL, or of Prometheus an object.
    pub(super) query: Value,
    pub(super) current: Value,
    hide: u8,
    pub(super) include_all: bool,
    pub(super) all_value: Option<String>,
    pub(super) multi: bool,
    pub(super) options: Vec<Choice>,
    refresh: Option<u8>,
    regex: Option<String>,
    skip_url_sync: bool,
    sort: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    selected: bool,
    text: String,
    pub(super) value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StatOptions {
    color_mode: String,
    graph_mode: String,
    justify_mode: String,
    orientation: String,
    reduce_options: Reduce,
    text_mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BarOptions {
    display_mode: String,
    min_viz_height: u32,
    min_viz_width: u32,
    name_placement: String,
    orientation: String,
    reduce_options: Reduce,
    show_unfilled: bool,
    sizing: String,
    value_mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reduce {
    calcs: Vec<String>,
    fields: String,
    values: bool,
    limit: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesOptions {
    legend: Legend,
    tooltip: Tooltip,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Legend {
    calcs: Vec<String>,
    display_mode: String,
    placement: String,
    show_legend: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tooltip {
    mode: String,
    sort: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TableOptions {
    cell_height: String,
    show_header: bool,
}

impl Defaults {
    /// The text and the colour that a value is shown as, if it has some of its own.
    pub(super) fn mapped(&self, value: f64) -> Option<(&str, &str)> {
        let mappings = self.mappings.iter().flatten();
        let mapped = mappings.filter_map(|it| it.options.get(&value.to_string())).next()?;
        Some((mapped.text.as_deref()?, &mapped.color))
    }

    /// Whether series are drawn as bars.
    pub(super) fn is_bars(&self) -> bool {
        let style = self.custom.as_ref().and_then(|it| it.draw_style.as_deref());
        style == Some("bars")
    }
}

impl Panel {
    /// What is wrong with its options, if something is: they are of its kind.
    pub(super) fn options_fault(&self) -> Option<String> {
        let options = self.options.clone().unwrap_or(Value::Null);
        let read = match self.kind {
            Kind::Row if self.options.is_none() => return None,
            Kind::Row => return Some("a row has no options".to_owned()),
            Kind::Stat => serde_json::from_value::<StatOptions>(options).map(drop),
            Kind::TimeSeries => serde_json::from_value::<SeriesOptions>(options).map(drop),
            Kind::Table => serde_json::from_value::<TableOptions>(options).map(drop),
            Kind::BarGauge => serde_json::from_value::<BarOptions>(options).map(drop),
        };
        read.err().map(|error| error.to_string())
    }
}

/// What is wrong with the value of an override's property, if something is.
pub(super) fn property_fault(property: &Property) -> Option<String> {
    let value = property.value.clone();
    let read = match property.id.as_str() {
        "links" => serde_json::from_value::<Vec<DataLink>>(value).map(drop),
        "mappings" => serde_json::from_value::<Vec<Mapping>>(value).map(drop),
        "thresholds" => serde_json::from_value::<Thresholds>(value).map(drop),
        "color" => serde_json::from_value::<Color>(value).map(drop),
        "unit" | "custom.axisPlacement" => serde_json::from_value::<String>(value).map(drop),
        "decimals" => serde_json::from_value::<u8>(value).map(drop),
        "custom.width" => serde_json::from_value::<u32>(value).map(drop),
        "custom.cellOptions" | "custom.lineStyle" => {
            serde_json::from_value::<serde_json::Map<String, Value>>(value).map(drop)
        }
        other => return Some(format!("`{other}` is no property of a field")),
    };
    read.err().map(|error| error.to_string())
}
