//! Whether dashboards hold together: places, names, sources, variables, links.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{
    Dashboard, DataLink, Kind, Override, Panel, Source, Target, Variable, VariableKind,
    property_fault,
};
use super::text::{Mention, mentions};
use crate::support::fault::Fault;

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;

/// The schema that we write; what Grafana 12 and later read without changing it.
const SCHEMA: u32 = 41;

const SQL: &str = "grafana-postgresql-datasource";
const PROMETHEUS: &str = "prometheus";

/// The units that we use; a misspelt one is shown behind the number as it is.
const UNITS: [&str; 7] =
    ["short", "s", "bytes", "Bps", "percentunit", "dateTimeAsLocal", "dateTimeFromNow"];

/// What every dashboard knows without saying it.
const BUILT_IN: [&str; 3] = ["__interval", "__interval_ms", "__rate_interval"];

/// A dashboard and where it lies.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) path: String,
    pub(super) dashboard: Dashboard,
}

/// Reads one; a misspelt key is a fault.
pub(super) fn read(path: &str, text: &str) -> Result<Board, Fault> {
    match serde_json::from_str(text) {
        Ok(dashboard) => Ok(Board { path: path.to_owned(), dashboard }),
        Err(error) => Err(Fault::at(path, error.line().saturating_sub(1), error.to_string())),
    }
}

/// Every fault of all of them together.
pub(super) fn faults(boards: &[Board]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut uids = BTreeMap::new();
    for board in boards {
        if let Some(other) = uids.insert(&*board.dashboard.uid, board) {
            faults.push(Fault::whole(&board.path, format!("has the uid of {}", other.path)));
        }
    }
    for board in boards {
        let whats = head_faults(&board.dashboard)
            .into_iter()
            .chain(grid_faults(&board.dashboard.panels))
            .chain(board.dashboard.panels.iter().flat_map(|it| panel_faults(it, &board.dashboard)))
            .chain(variable_faults(&board.dashboard))
            .chain(annotation_faults(&board.dashboard))
            .chain(link_faults(&board.dashboard, &uids));
        faults.extend(whats.map(|what| Fault::whole(&board.path, what)));
    }
    faults
}

fn head_faults(board: &Dashboard) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            faults.push(what.to_owned());
        }
    };
    must(board.schema_version == SCHEMA, "schemaVersion must be 41");
    must(board.uid.starts_with("bellwire-") && board.uid.len() <= 40, "uid must be `bellwire-…`");
    must(board.title.starts_with("Bellwire: "), "the title must begin with `Bellwire: `");
    must(!board.description.is_empty(), "it needs a description");
    must(board.id.is_none(), "id is the server's: it must be null");
    must(board.tags == ["bellwire"], "it must have the tag `bellwire`, and no other");
    must(board.time.from.starts_with("now-") && board.time.to == "now", "time must end now");
    let to_others = board
        .links
        .iter()
        .any(|link| link.kind == "dashboards" && link.keep_time && link.tags == ["bellwire"]);
    must(to_others, "it must link to the others, by their tag, and keep the time");
    faults
}

fn grid_faults(panels: &[Panel]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for (n, panel) in panels.iter().enumerate() {
        let place = panel.grid_pos;
        if !ids.insert(panel.id) {
            faults.push(format!("panel id {} is there twice", panel.id));
        }
        if place.w == 0 || place.h == 0 || place.x + place.w > COLUMNS {
            faults.push(format!("`{}` is not within {COLUMNS} columns", panel.title));
        }
        for other in &panels[..n] {
            let that = other.grid_pos;
            let beside = place.x + place.w <= that.x || that.x + that.w <= place.x;
            let above = place.y + place.h <= that.y || that.y + that.h <= place.y;
            if !beside && !above {
                faults.push(format!("`{}` lies on `{}`", panel.title, other.title));
            }
        }
        if !panel.panels.is_empty() {
            faults.push(format!("`{}` is collapsed: its panels would not be checked", panel.title));
        }
    }
    faults
}

fn panel_faults(panel: &Panel, board: &Dashboard) -> Vec<String> {
    let mut faults: Vec<String> = panel.options_fault().into_iter().collect();
    if panel.kind == Kind::Row {
        return faults;
    }
    if panel.description.as_deref().unwrap_or_default().is_empty() {
        faults.push("it needs a description".to_owned());
    }
    if panel.targets.is_empty() {
        faults.push("it asks nothing".to_owned());
    }
    if let Some(name) = &panel.repeat {
        let variable = board.templating.list.iter().find(|it| it.name == *name);
        if !variable.is_some_and(|it| it.multi) {
            faults.push(format!("it is repeated for `{name}`, which does not take several values"));
        }
    }
    let mut refs = BTreeSet::new();
    for target in &panel.targets {
        faults.extend(target_faults(target, target.datasource.as_ref(), board));
        if panel.datasource != target.datasource {
            faults.push("the panel's data source is not its query's".to_owned());
        }
        if !refs.insert(&target.ref_id) {
            faults.push(format!("refId {} is there twice", target.ref_id));
        }
        let sql = target.raw_sql.as_deref().unwrap_or_default();
        if panel.kind == Kind::Table && !sql.contains("LIMIT ") {
            faults.push("a table needs a LIMIT".to_owned());
        }
    }
    faults.extend(field_faults(panel));
    let texts = [panel.title.as_str(), panel.description.as_deref().unwrap_or_default()];
    faults.extend(texts.into_iter().flat_map(|text| unknown_variables(text, board)));
    faults.into_iter().map(|what| format!("`{}`: {what}", panel.title)).collect()
}

fn field_faults(panel: &Panel) -> Vec<String> {
    let Some(fields) = &panel.field_config else {
        return vec!["it needs a fieldConfig".to_owned()];
    };
    let mut faults = Vec::new();
    if fields.defaults.no_value.as_deref().unwrap_or_default().is_empty() {
        faults.push("it does not say what it shows when there is nothing (noValue)".to_owned());
    }
    let units = fields.overrides.iter().flat_map(unit_of).chain(fields.defaults.unit.as_deref());
    for unit in units.filter(|unit| !UNITS.contains(unit)) {
        faults.push(format!("`{unit}` is none of the units that we use"));
    }
    if panel.kind != Kind::Table && fields.defaults.unit.is_none() {
        faults.push("it needs a unit".to_owned());
    }
    if let Some(thresholds) = &fields.defaults.thresholds {
        let values: Vec<_> = thresholds.steps.iter().map(|step| step.value).collect();
        let rising = values.first() == Some(&None) && values.is_sorted();
        if !rising {
            faults.push("its thresholds do not rise from null".to_owned());
        }
    }
    for over in &fields.overrides {
        faults.extend(over.properties.iter().filter_map(property_fault));
        if over.matcher.id != "byName" {
            faults.push(format!("`{}` is no matcher that we use", over.matcher.id));
        }
    }
    faults
}

fn unit_of(over: &Override) -> Option<&str> {
    over.properties.iter().find(|it| it.id == "unit").and_then(|it| it.value.as_str())
}

fn target_faults(target: &Target, source: Option<&Source>, board: &Dashboard) -> Vec<String> {
    let Some(source) = source else { return vec!["a query without a data source".to_owned()] };
    let mut faults = source_faults(source, board);
    let (sql, expr) = (target.raw_sql.as_deref(), target.expr.as_deref());
    match (source.kind.as_str(), sql, expr) {
        (SQL, Some(sql), None) => {
            if target.format.is_none() {
                faults.push("a query in SQL says its format".to_owned());
            }
            faults.extend(quoting_faults(sql));
            faults.extend(unknown_variables(sql, board));
        }
        (PROMETHEUS, None, Some(expr)) => {
            faults.extend(unknown_variables(expr, board));
        }
        _ => faults.push(format!("refId {} does not ask what its source knows", target.ref_id)),
    }
    faults
}

/// Sources are variables of the dashboard, so that it can be imported anywhere.
fn source_faults(source: &Source, board: &Dashboard) -> Vec<String> {
    let name = source.uid.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let variable = board.templating.list.iter().find(|it| Some(it.name.as_str()) == name);
    match variable {
        Some(it) if it.kind == VariableKind::DataSource && it.query == *source.kind => Vec::new(),
        _ => vec![format!("`{}` is no variable for a source of type {}", source.uid, source.kind)],
    }
}

/// A variable's value is whatever somebody types into an address: in SQL it is always quoted.
fn quoting_faults(sql: &str) -> Vec<String> {
    mentions(sql)
        .filter(|it| !it.name.starts_with("__") && it.format != Some("sqlstring"))
        .map(|it| format!("`{}` is not quoted: ${{{}:sqlstring}}", it.name, it.name))
        .collect()
}

fn unknown_variables(text: &str, board: &Dashboard) -> Vec<String> {
    let unknown = |it: &Mention<'_>| {
        let name = it.name;
        !name.starts_with("__") && board.templating.list.iter().all(|known| known.name != name)
    };
    let odd = |it: &Mention<'_>| {
        let is_macro = text[it.end..].starts_with('(');
        it.name.starts_with("__")
            && !is_macro
            && !BUILT_IN.contains(&it.name)
            && it.name != "__searchFilter"
    };
    mentions(text)
        .filter(|it| unknown(it) || odd(it))
        .map(|it| format!("there is no variable `{}`", it.name))
        .collect()
}

fn variable_faults(board: &Dashboard) -> Vec<String> {
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    for variable in &board.templating.list {
        let name = &variable.name;
        if !names.insert(name) {
            faults.push(format!("variable `{name}` is there twice"));
        }
        let whats = match variable.kind {
            VariableKind::Query => query_variable_faults(variable, board),
            VariableKind::Custom => custom_variable_faults(variable),
            VariableKind::DataSource => Vec::new(),
        };
        faults.extend(whats.into_iter().map(|what| format!("variable `{name}`: {what}")));
        if !is_used(name, board) {
            faults.push(format!("nothing uses variable `{name}`"));
        }
    }
    faults
}

fn query_variable_faults(variable: &Variable, board: &Dashboard) -> Vec<String> {
    let Some(source) = &variable.datasource else {
        return vec!["it needs a data source".to_owned()];
    };
    let mut faults = source_faults(source, board);
    let query = variable.query.as_str().or_else(|| variable.query["query"].as_str());
    let query = query.unwrap_or_default();
    if variable.definition.as_deref() != Some(query) {
        faults.push("definition and query differ".to_owned());
    }
    if variable.description.as_deref().unwrap_or_default().is_empty() {
        faults.push("it needs a description".to_owned());
    }
    faults.extend(unknown_variables(query, board));
    if source.kind == SQL {
        // There may be ten thousand.
        if !query.contains(" LIMIT ") {
            faults.push("its query needs a LIMIT".to_owned());
        }
        faults.extend(quoting_faults(query));
        if variable.all_value.is_some() {
            faults.push("allValue is put into SQL without quotes".to_owned());
        }
    }
    faults
}

fn custom_variable_faults(variable: &Variable) -> Vec<String> {
    let values: Vec<&str> = variable.options.iter().map(|it| it.value.as_str()).collect();
    let current = variable.current["value"].as_str().unwrap_or_default();
    let mut faults = Vec::new();
    if variable.query != values.join(",") {
        faults.push("query and options differ".to_owned());
    }
    let all = variable.include_all && current == "$__all";
    if !all && !values.contains(&current) {
        faults.push("current is none of its options".to_owned());
    }
    faults
}

/// Whether a query, a title or another variable's query mentions it.
fn is_used(name: &str, board: &Dashboard) -> bool {
    let source = format!("${{{name}}}");
    let sources = board.panels.iter().flat_map(|panel| &panel.targets);
    let mut sources = sources.filter_map(|target| target.datasource.as_ref());
    sources.any(|it| it.uid == source)
        || texts(board).any(|text| mentions(&text).any(|it| it.name == name))
}

/// Everything in which variables are mentioned.
fn texts(board: &Dashboard) -> impl Iterator<Item = String> {
    let of_target = |target: &Target| target.raw_sql.clone().or_else(|| target.expr.clone());
    let of_panel = move |panel: &Panel| {
        let asked = panel.targets.iter().filter_map(of_target);
        asked.chain([panel.title.clone()]).collect::<Vec<_>>()
    };
    let annotations = board.annotations.list.iter().filter_map(|it| it.target.as_ref());
    let variables = board.templating.list.iter().map(|it| it.query.to_string());
    board
        .panels
        .iter()
        .flat_map(of_panel)
        .chain(annotations.filter_map(of_target))
        .chain(variables)
        .collect::<Vec<_>>()
        .into_iter()
}

fn annotation_faults(board: &Dashboard) -> Vec<String> {
    let ours = board.annotations.list.iter().filter_map(|it| Some((it, it.target.as_ref()?)));
    ours.flat_map(|(annotation, target)| {
        let faults = target_faults(target, Some(&annotation.datasource), board);
        faults.into_iter().map(|what| format!("annotation `{}`: {what}", annotation.name))
    })
    .collect()
}

/// Links to dashboards lead to one of them, and hand over variables that it has.
fn link_faults(board: &Dashboard, boards: &BTreeMap<&str, &Board>) -> Vec<String> {
    let of_overrides = board.panels.iter().filter_map(|panel| panel.field_config.as_ref());
    let of_overrides = of_overrides.flat_map(|fields| &fields.overrides);
    let of_overrides = of_overrides.flat_map(|over| &over.properties);
    let of_overrides = of_overrides.filter(|property| property.id == "links");
    let of_overrides = of_overrides.filter_map(|property| property.value.as_array());
    let of_overrides = of_overrides.flatten().filter_map(|link| link["url"].as_str());
    let of_panels = board.panels.iter().flat_map(|panel| &panel.links);
    let of_panels = of_panels.map(|DataLink { url, .. }| url.as_str());
    of_panels.chain(of_overrides).filter_map(|url| link_fault(url, boards)).collect()
}

fn link_fault(url: &str, boards: &BTreeMap<&str, &Board>) -> Option<String> {
    let wrong = |what: &str| Some(format!("link `{url}`: {what}"));
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let parts: Vec<&str> = place.split('/').collect();
    let ["", "d", uid, slug] = parts[..] else { return wrong("it is none to a dashboard") };
    let Some(board) = boards.get(uid) else { return wrong("there is no such dashboard") };
    if slug != uid {
        return wrong("what follows the uid must be the uid again");
    }
    if !query.contains("${__url_time_range}") {
        return wrong("it does not keep the time");
    }
    let variables = &board.dashboard.templating.list;
    let mut names = query.split('&').filter_map(|part| part.strip_prefix("var-"));
    let unknown = names.find(|name| {
        let name = name.split('=').next().unwrap_or_default();
        variables.iter().all(|it| it.name != name)
    });
    unknown.and_then(|name| wrong(&format!("it hands over `{name}`, which is no variable there")))
}
