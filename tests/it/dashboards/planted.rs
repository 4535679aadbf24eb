//! Faults that are put into a good dashboard are found: tests of the checkers.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};

use super::layout::{Board, faults, read};
use super::text::{Chosen, Moment};
use super::{FOLDER, texts};

fn text_of(name: &str) -> String {
    let path = format!("{FOLDER}{name}.json");
    texts().into_iter().find(|file| file.path == path).unwrap().text
}

/// The faults of all dashboards, when one of them is this.
fn with(name: &str, dashboard: &Value) -> Vec<String> {
    let changed = format!("{FOLDER}{name}.json");
    let boards: Result<Vec<Board>, _> = texts()
        .into_iter()
        .map(|file| {
            let text = if file.path == changed { dashboard.to_string() } else { file.text };
            read(&file.path, &text)
        })
        .collect();
    match boards {
        Ok(boards) => faults(&boards).iter().map(ToString::to_string).collect(),
        Err(fault) => vec![fault.to_string()],
    }
}

/// Changes the fleet's dashboard, and expects exactly one fault, which says this.
#[track_caller]
fn expect(expected: &str, change: impl FnOnce(&mut Value)) {
    let mut dashboard: Value = serde_json::from_str(&text_of("fleet")).unwrap();
    change(&mut dashboard);
    let found = with("fleet", &dashboard);
    assert!(found.len() == 1 && found[0].contains(expected), "expected {expected:?}: {found:?}");
}

/// The first panel of this kind.
fn panel<'a>(dashboard: &'a mut Value, kind: &str) -> &'a mut Value {
    let panels = dashboard["panels"].as_array_mut().unwrap();
    panels.iter_mut().find(|panel| panel["type"] == kind).unwrap()
}

fn sql(dashboard: &mut Value, change: impl FnOnce(&str) -> String) {
    let asked = &mut panel(dashboard, "table")["targets"][0]["rawSql"];
    *asked = change(asked.as_str().unwrap()).into();
}

#[test]
fn misspelt_keys_are_caught() {
    expect("unknown field `tittle`", |it| it["panels"][0]["tittle"] = "x".into());
    expect("unknown field `legendformat`", |it| {
        panel(it, "stat")["targets"][0]["legendformat"] = "x".into();
    });
    expect("unknown field `showHeaders`", |it| {
        panel(it, "table")["options"]["showHeaders"] = true.into();
    });
    expect("unknown field `graphMode`", |it| {
        panel(it, "table")["options"]["graphMode"] = "none".into();
    });
    expect("`custom.with` is no property", |it| {
        let overrides = panel(it, "table")["fieldConfig"]["overrides"].as_array_mut().unwrap();
        overrides[0]["properties"]
            .as_array_mut()
            .unwrap()
            .push(json!({"id": "custom.with", "value": 9}));
    });
    expect("unknown variant `tabel`", |it| panel(it, "table")["type"] = "tabel".into());
    expect("missing field `uid`", |it| drop(it.as_object_mut().unwrap().remove("uid")));
}

#[test]
fn panels_out_of_place_are_caught() {
    expect("lies on", |it| it["panels"][1]["gridPos"]["x"] = 1.into());
    expect("not within 24 columns", |it| it["panels"][5]["gridPos"]["w"] = 5.into());
    expect("panel id 1 is there twice", |it| it["panels"][1]["id"] = 1.into());
    expect("has the uid of", |it| it["uid"] = "bellwire-storage".into());
    expect("schemaVersion", |it| it["schemaVersion"] = 42.into());
    expect("id is the server's", |it| it["id"] = 7.into());
    expect("its thresholds do not rise", |it| {
        panel(it, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"] =
            json!([{"color": "red", "value": 1.0}]);
    });
}

#[test]
fn panels_that_say_too_little_are_caught() {
    expect("needs a description", |it| panel(it, "stat")["description"] = "".into());
    expect("noValue", |it| panel(it, "stat")["fieldConfig"]["defaults"]["noValue"] = "".into());
    expect("`byte` is none of the units", |it| {
        panel(it, "stat")["fieldConfig"]["defaults"]["unit"] = "byte".into();
    });
    expect("it asks nothing", |it| panel(it, "table")["targets"] = json!([]));
    expect("a table needs a LIMIT", |it| sql(it, |sql| sql.replace("LIMIT", "-- LIMITED")));
}

#[test]
fn queries_with_unknown_or_unquoted_variables_are_caught() {
    expect("there is no variable `silnt`", |it| {
        sql(it, |sql| format!("{sql} -- ${{silnt:sqlstring}}"));
    });
    expect("`metric` is not quoted", |it| sql(it, |sql| format!("{sql} -- $metric")));
    expect("`metric` is not quoted", |it| sql(it, |sql| format!("{sql} -- ${{metric:raw}}")));
    expect("there is no variable `__intervall`", |it| {
        sql(it, |sql| format!("{sql} -- $__intervall"))
    });
    expect("is no variable for a source of type", |it| {
        let source = json!({"type": "grafana-postgresql-datasource", "uid": "P123"});
        let panel = panel(it, "table");
        panel["datasource"] = source.clone();
        panel["targets"][0]["datasource"] = source;
    });
    expect("repeated for `silent`", |it| panel(it, "table")["repeat"] = "silent".into());
    expect("nothing uses variable `spare`", |it| {
        let variables = it["templating"]["list"].as_array_mut().unwrap();
        let mut spare = variables.iter().find(|it| it["name"] == "silent").unwrap().clone();
        spare["name"] = "spare".into();
        variables.push(spare);
    });
    expect("its query needs a LIMIT", |it| {
        let variables = it["templating"]["list"].as_array_mut().unwrap();
        let metric = variables.iter_mut().find(|it| it["name"] == "metric").unwrap();
        for key in ["query", "definition"] {
            metric[key] = metric[key].as_str().unwrap().replace(" LIMIT 500", "").into();
        }
    });
}

#[test]
fn links_that_lead_nowhere_are_caught() {
    let link = |url: &str| json!([{"title": "x", "url": url}]);
    expect("there is no such dashboard", |it| {
        panel(it, "table")["links"] =
            link("/d/bellwire-devices/bellwire-devices?${__url_time_range}");
    });
    expect("`dev=x`, which is no variable there", |it| {
        panel(it, "table")["links"] =
            link("/d/bellwire-device/bellwire-device?var-dev=x&${__url_time_range}");
    });
    expect("does not keep the time", |it| {
        panel(it, "table")["links"] = link("/d/bellwire-device/bellwire-device?var-device=x");
    });
}

/// The first hour of 2026, of a data source without TimescaleDB.
fn moment() -> Moment {
    let many = |values: &[&str]| Chosen {
        values: values.iter().map(ToString::to_string).collect(),
        many: true,
        raw: None,
    };
    let raw = Chosen { raw: Some(".*".to_owned()), ..many(&[]) };
    let from = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
    Moment {
        from,
        to: from + Duration::from_secs(3_600),
        interval: Duration::from_secs(90),
        timescale: false,
        variables: BTreeMap::from([
            ("one".to_owned(), Chosen::one("o'k")),
            ("many".to_owned(), many(&["a", "b'c"])),
            ("all".to_owned(), raw),
        ]),
    }
}

#[test]
fn queries_are_expanded_as_grafana_expands_them() {
    let check = |timescale, text: &str, expected: &str| {
        let moment = Moment { timescale, ..moment() };
        assert_eq!(moment.sql(text).as_deref(), Ok(expected), "{text}");
    };
    let both = |text: &str, expected: &str| [true, false].map(|it| check(it, text, expected));
    both("$__timeFilter(at)", "at BETWEEN '2026-01-01T00:00:00Z' AND '2026-01-01T01:00:00Z'");
    both("$__timeFrom() $__timeTo()", "'2026-01-01T00:00:00Z' '2026-01-01T01:00:00Z'");
    both("$__from $__to $__interval $__interval_ms", "1767225600000 1767229200000 90s 90000");
    check(true, "$__timeGroup(at, 5m)", "time_bucket('300.000s',at)");
    check(true, "$__timeGroup(at,'1d'), x", "time_bucket('86400.000s',at) AS \"time\", x");
    check(false, "$__timeGroup(at, 5m)", "floor(extract(epoch from at)/300)*300");
    check(false, "$__timeGroup(at, 5m), x", "floor(extract(epoch from at)/300)*300 AS \"time\", x");
    check(
        false,
        "$__timeGroupAlias(at, $__interval)",
        "floor(extract(epoch from at)/90)*90 AS \"time\"",
    );
    check(
        false,
        "$__timeGroupAlias(at, 500ms)",
        "floor(extract(epoch from at)/0.5)*0.5 AS \"time\"",
    );
    both("'$one' ${one:sqlstring}", "'o''k' 'o''k'");
    both("${one:singlequote} ${one:raw}", r"'o\'k' o'k");
    both("IN ($many) IN (${many:sqlstring}) [[many:csv]]", "IN ('a','b''c') IN ('a','b''c') a,b'c");
    both("${all:sqlstring} $unknown", ".* $unknown");
    // What Grafana takes for the arguments ends at the first bracket.
    check(false, "$__time(f(at))", "f(at AS \"time\")");
    for wrong in ["$__timeGroup(at)", "$__timeGroup(at, 5 min)", "$__tmeFilter(at)", "${one:sql}"] {
        assert!(moment().sql(wrong).is_err(), "{wrong}");
    }
    assert_eq!(moment().promql("x{a=~\"$many\"}").as_deref(), Ok("x{a=~\"(a|b'c)\"}"));
    assert_eq!(
        moment().promql("x{a=~\"$all\"}[$__rate_interval]").as_deref(),
        Ok("x{a=~\".*\"}[1m]")
    );
}
