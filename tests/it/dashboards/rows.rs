//! Asks the database what a panel asks, and looks whether Grafana could draw the answer.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::model::Format;

/// An answer: names and types of its columns, and its cells as text.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) columns: Vec<(String, Type)>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

/// Asks; the error says what the database says.
pub(super) async fn ask(client: &Client, sql: &str) -> Result<Answer, String> {
    let said = |error: tokio_postgres::Error| {
        let what =
            error.as_db_error().map_or_else(|| error.to_string(), |it| it.message().to_owned());
        format!("{what} in\n{sql}")
    };
    let statement = client.prepare(sql).await.map_err(said)?;
    let columns = statement.columns().iter();
    let columns: Vec<_> = columns.map(|it| (it.name().to_owned(), it.type_().clone())).collect();
    let messages = client.simple_query(sql).await.map_err(said)?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..columns.len()).map(|n| row.get(n).map(str::to_owned)).collect())
        }
        _ => None,
    });
    let rows = rows.collect();
    Ok(Answer { columns, rows })
}

fn is_number(kind: &Type) -> bool {
    [Type::INT2, Type::INT4, Type::INT8, Type::FLOAT4, Type::FLOAT8, Type::NUMERIC].contains(kind)
}

fn is_text(kind: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::NAME, Type::UNKNOWN].contains(kind)
}

/// What keeps Grafana from drawing it, if something does.
pub(super) fn fault(answer: &Answer, format: Format) -> Option<String> {
    let mut names: Vec<_> = answer.columns.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(format!("column `{}` is there twice", twice[0]));
    }
    if answer.rows.is_empty() {
        return Some("it has no rows".to_owned());
    }
    match format {
        Format::Table => None,
        Format::TimeSeries => series_fault(answer),
    }
}

fn series_fault(answer: &Answer) -> Option<String> {
    let time = answer.columns.iter().position(|(name, _)| name == "time");
    let Some(time) = time else { return Some("it has no column `time`".to_owned()) };
    let kind = &answer.columns[time].1;
    if *kind != Type::TIMESTAMPTZ && !is_number(kind) {
        return Some(format!("its time is a {kind}"));
    }
    if let Some(fault) = order_fault(answer, time) {
        return Some(fault);
    }
    let mut values = Vec::new();
    for (n, (name, kind)) in answer.columns.iter().enumerate() {
        match (n == time, is_number(kind), is_text(kind)) {
            (true, ..) | (_, _, true) => {}
            (_, true, _) => values.push(n),
            _ => return Some(format!("column `{name}` is neither number nor label: {kind}")),
        }
    }
    let drawn = answer.rows.iter().any(|row| values.iter().any(|&n| row[n].is_some()));
    (!drawn).then(|| "it has no value".to_owned())
}

/// Grafana refuses series of which the time does not ascend, or is not known.
fn order_fault(answer: &Answer, time: usize) -> Option<String> {
    let instants: Option<Vec<&String>> = answer.rows.iter().map(|row| row[time].as_ref()).collect();
    let Some(instants) = instants else { return Some("a time is null".to_owned()) };
    let numbers: Vec<f64> = instants.iter().filter_map(|text| text.parse().ok()).collect();
    let ascends = if numbers.len() == instants.len() {
        numbers.is_sorted()
    } else {
        // All in UTC, and of one form.
        instants.is_sorted()
    };
    (!ascends).then(|| "its time does not ascend".to_owned())
}
