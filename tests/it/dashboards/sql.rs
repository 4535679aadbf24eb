//! Every query in SQL is asked as Grafana asks it, of a database that has something of everything.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_model::Clock as _;
use bellwire_store::on_every_kind;
use bellwire_store::testing::Kind;
use chrono::{DateTime, Utc};
use tokio_postgres::Client;

use super::layout::Board;
use super::model::{Format, Target, VariableKind};
use super::rows::{self, Answer};
use super::text::{Chosen, Moment, parse};
use super::{boards, seed};
use crate::support::fault::{Fault, none_of};
use crate::support::service::connect;

on_every_kind! { every_query_gives_what_can_be_drawn }

/// Points that a panel has room for.
const POINTS: u32 = 1_000;

/// The steps that Grafana rounds an interval to.
const STEPS: [&str; 15] =
    ["1s", "5s", "10s", "30s", "1m", "2m", "5m", "10m", "30m", "1h", "2h", "6h", "12h", "1d", "7d"];

/// Stretches of time that somebody may look at: single readings, minutes, hours and days are asked for.
const SPANS: [&str; 4] = ["15m", "2d", "90d", "3000d"];

/// Now, and how Grafana asks about the time until then.
#[derive(Debug)]
struct Clock {
    now: DateTime<Utc>,
    timescale: bool,
}

impl Clock {
    fn moment(&self, span: Duration, least: Option<&str>, chosen: &Chosens) -> Moment {
        let least = least.and_then(parse).unwrap_or(Duration::from_millis(1));
        let wanted = (span / POINTS).max(least);
        let steps = STEPS.iter().filter_map(|step| parse(step));
        let interval = steps.filter(|step| *step >= wanted).min().unwrap_or(wanted);
        Moment {
            from: self.now - span,
            to: self.now,
            interval,
            timescale: self.timescale,
            variables: chosen.clone(),
        }
    }
}

pub(super) type Chosens = BTreeMap<String, Chosen>;

fn span_of(board: &Board) -> Duration {
    let from = board.dashboard.time.from.strip_prefix("now-").unwrap();
    parse(from).unwrap_or_else(|| panic!("{}: `{from}` is no span", board.path))
}

/// What is chosen when the dashboard opens, and the faults of the variables' own queries.
async fn choose(
    client: &Client,
    board: &Board,
    clock: &Clock,
    typed: &str,
) -> (Chosens, Vec<Fault>) {
    let (mut chosen, mut faults) = (Chosens::new(), Vec::new());
    for variable in &board.dashboard.templating.list {
        let query = match variable.kind {
            VariableKind::DataSource => continue,
            VariableKind::Custom => {
                let all = variable.options.iter().map(|it| it.value.clone()).collect();
                let current = variable.current["value"].as_str().unwrap().to_owned();
                let values = if variable.include_all { all } else { vec![current] };
                let value = Chosen { values, many: variable.multi, raw: None };
                chosen.insert(variable.name.clone(), value);
                continue;
            }
            VariableKind::Query => variable.query.as_str(),
        };
        let Some(query) = query else {
            let raw = Some(variable.all_value.clone().expect("one that takes all"));
            let value = Chosen { values: Vec::new(), many: true, raw };
            chosen.insert(variable.name.clone(), value);
            continue;
        };
        let mut moment = clock.moment(span_of(board), None, &chosen);
        moment.variables.insert("__searchFilter".to_owned(), Chosen::one(format!("{typed}%")));
        let values = match asked(client, &moment, query).await {
            Ok(answer) => {
                answer.rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect()
            }
            Err(what) => {
                faults.push(Fault::whole(
                    &board.path,
                    format!("variable `{}`: {what}", variable.name),
                ));
                Vec::new()
            }
        };
        if values.is_empty() {
            let what = format!("variable `{}` has nothing to choose from", variable.name);
            faults.push(Fault::whole(&board.path, what));
        }
        let first = || values.iter().find(|it| *it == seed::DEVICE).or(values.first()).cloned();
        let values = if variable.include_all { values } else { first().into_iter().collect() };
        let value = Chosen { values, many: variable.multi || variable.include_all, raw: None };
        chosen.insert(variable.name.clone(), value);
    }
    (chosen, faults)
}

async fn asked(client: &Client, moment: &Moment, text: &str) -> Result<Answer, String> {
    rows::ask(client, &moment.sql(text)?).await
}

/// A query of a dashboard, and what asks it.
#[derive(Debug)]
struct Query<'a> {
    title: &'a str,
    /// The least interval.
    least: Option<&'a str>,
    repeat: Option<&'a str>,
    target: &'a Target,
}

fn queries(board: &Board) -> impl Iterator<Item = Query<'_>> {
    let panels = board.dashboard.panels.iter();
    let asked = panels.flat_map(|panel| {
        panel.targets.iter().map(|target| Query {
            title: &panel.title,
            least: panel.interval.as_deref(),
            repeat: panel.repeat.as_deref(),
            target,
        })
    });
    let annotations = board.dashboard.annotations.list.iter();
    let noted = annotations.filter_map(|it| {
        let target = it.target.as_ref()?;
        Some(Query { title: &it.name, least: None, repeat: None, target })
    });
    asked.chain(noted)
}

/// What is chosen for each time that a panel is there: one value each of what it is repeated for.
pub(super) fn repeated(chosen: &Chosens, repeat: Option<&str>) -> Vec<Chosens> {
    let Some((name, several)) = repeat.and_then(|name| Some((name, chosen.get(name)?))) else {
        return vec![chosen.clone()];
    };
    let with = |value: &String| {
        let one = Chosen { values: vec![value.clone()], ..several.clone() };
        let mut chosen = chosen.clone();
        chosen.insert(name.to_owned(), one);
        chosen
    };
    several.values.iter().map(with).collect()
}

/// What an answer without rows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nothing {
    Fine,
    AFault,
}

/// Asks all that a dashboard asks of the last `span`.
async fn faults(
    client: &Client,
    board: &Board,
    clock: &Clock,
    span: Duration,
    chosen: &Chosens,
    nothing: Nothing,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for Query { title, least, repeat, target } in queries(board) {
        let Some(text) = target.raw_sql.as_deref() else { continue };
        for chosen in repeated(chosen, repeat) {
            let moment = clock.moment(span, least, &chosen);
            let fault = match asked(client, &moment, text).await {
                Ok(answer) if answer.rows.is_empty() && nothing == Nothing::Fine => None,
                Ok(answer) => rows::fault(&answer, target.format.unwrap_or(Format::TimeSeries)),
                Err(what) => Some(what),
            };
            faults.extend(fault.map(|it| Fault::whole(&board.path, format!("`{title}`: {it}"))));
        }
    }
    faults
}

/// Somebody who looks at dashboards of a seeded database.
#[derive(Debug)]
pub(super) struct Asker {
    client: Client,
    clock: Clock,
}

impl Asker {
    pub(super) async fn new(kind: Kind) -> Self {
        let (client, clock) = prepare(kind).await;
        Self { client, clock }
    }

    /// Seconds since 1970.
    pub(super) fn now_s(&self) -> f64 {
        self.clock.now.timestamp() as f64
    }

    /// What is chosen when a dashboard opens.
    pub(super) async fn choose(&self, board: &Board) -> Chosens {
        choose(&self.client, board, &self.clock, "").await.0
    }

    /// What a query in SQL gives for the time that the dashboard opens with; `None` for other queries.
    pub(super) async fn answer(
        &self,
        board: &Board,
        chosen: &Chosens,
        least: Option<&str>,
        target: &Target,
    ) -> Option<Answer> {
        let moment = self.clock.moment(span_of(board), least, chosen);
        Some(asked(&self.client, &moment, target.raw_sql.as_deref()?).await.unwrap())
    }

    pub(super) fn title(&self, board: &Board, chosen: &Chosens, text: &str) -> String {
        self.clock.moment(span_of(board), None, chosen).title(text).unwrap()
    }
}

/// A clock, and a connection with the rights that Grafana's role has.
async fn prepare(kind: Kind) -> (Client, Clock) {
    let database = kind.database().await;
    let client = connect(&database.url).await;
    seed::fill(&database, &client).await;
    // What the role's own settings say does not come with it.
    let role = "SET timezone = 'UTC'; SET search_path = public; SET ROLE dashboards";
    client.batch_execute(role).await.unwrap();
    let now = bellwire::clock::SystemClock.now();
    let now = DateTime::from_timestamp_micros(now.as_micros()).unwrap();
    (client, Clock { now, timescale: kind.mode() == bellwire_store::Mode::Timescale })
}

async fn every_query_gives_what_can_be_drawn(kind: Kind) {
    let (client, clock) = prepare(kind).await;
    let mut found = Vec::new();
    for board in &boards() {
        let (chosen, of_variables) = choose(&client, board, &clock, "03").await;
        found.extend(of_variables);
        found
            .extend(faults(&client, board, &clock, span_of(board), &chosen, Nothing::AFault).await);
        for span in SPANS {
            let span = parse(span).unwrap();
            found.extend(faults(&client, board, &clock, span, &chosen, Nothing::Fine).await);
        }
        // TimescaleDB need not be switched on in the data source.
        let without = Clock { timescale: false, ..clock };
        found.extend(
            faults(&client, board, &without, span_of(board), &chosen, Nothing::AFault).await,
        );
        // Whatever stands in the address, it stays a text.
        let odd = |(name, it): (&String, &Chosen)| {
            let value = Chosen { values: vec!["it's; --".to_owned()], ..it.clone() };
            (name.clone(), if name == "silent" { it.clone() } else { value })
        };
        let odd = chosen.iter().map(odd).collect();
        found.extend(faults(&client, board, &clock, span_of(board), &odd, Nothing::Fine).await);
        // With nothing typed there is something to choose as well.
        found.extend(choose(&client, board, &clock, "").await.1);
    }
    none_of(found);
}

#[tokio::test]
async fn what_cannot_be_drawn_is_caught() {
    let (client, clock) = prepare(Kind::Plain).await;
    let moment = clock.moment(parse("6h").unwrap(), None, &Chosens::new());
    let check = async |format, text: &str, expected: &str| {
        let found = match asked(&client, &moment, text).await {
            Ok(answer) => rows::fault(&answer, format),
            Err(what) => Some(what),
        };
        match found {
            Some(what) => {
                assert!(!expected.is_empty() && what.contains(expected), "{text}: {what}")
            }
            None => assert!(expected.is_empty(), "{text}: no fault, but it {expected}"),
        }
    };
    let series = async |text: &str, expected: &str| check(Format::TimeSeries, text, expected).await;
    let good = "SELECT $__timeGroupAlias(at, 5m), metric, avg(avg) AS v FROM fleet_1m \
                WHERE $__timeFilter(at) GROUP BY 1, 2 ORDER BY 1";
    series(good, "").await;
    series(&good.replace("avg(avg)", "avg(mean)"), "column \"mean\" does not exist").await;
    series(&good.replace("fleet_1m", "bellwire.reading_1m"), "permission denied").await;
    series(&good.replace("$__timeGroupAlias(at, 5m)", "at"), "no column `time`").await;
    series(&good.replace("ORDER BY 1", "ORDER BY 1 DESC"), "does not ascend").await;
    series(&good.replace("avg(avg)", "jsonb_agg(avg)"), "neither number nor label").await;
    series(&good.replace("avg(avg)", "nullif(1, 1)"), "it has no value").await;
    series(&good.replace("WHERE", "WHERE false AND"), "it has no rows").await;
    series(&good.replace("(at, 5m)", "(at, 5 minutes)"), "is no interval").await;
    series(
        &good.replace("$__timeFilter(at)", "$__timeFilter(date_trunc('day', at))"),
        "does not exist",
    )
    .await;
    series(&good.replace("$__timeFilter", "$__timeFiltre"), "unknown macro").await;
    series("SELECT null::timestamptz AS time, 1 AS v", "a time is null").await;
    series("SELECT 'noon' AS time, 1 AS v", "its time is a text").await;
    check(Format::Table, "SELECT 1 AS a, 2 AS a", "`a` is there twice").await;
}
