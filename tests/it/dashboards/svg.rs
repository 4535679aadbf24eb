//! Draws a panel as SVG from what its query gave: plainly, for the guides. How Grafana draws it is Grafana's.

use std::collections::HashMap;
use std::fmt::Write as _;

use tokio_postgres::types::Type;

use super::model::{Kind, Panel, Step};
use super::rows::Answer;

/// Pixels of a column of the grid, and of a row.
const COLUMN: u32 = 40;
const ROW: u32 = 30;
/// Pixels of a line of a table.
const LINE: u32 = 17;
/// Points that a line is drawn of, at most.
const POINTS: usize = 160;
const PALETTE: [&str; 6] = ["#3d71d9", "#e0752d", "#2f9e63", "#b877d9", "#c4a000", "#c4162a"];

/// Pixels of `columns` of the grid, and of `rows`.
pub(super) const fn pixels(columns: u32, rows: u32) -> (u32, u32) {
    (columns * COLUMN, rows * ROW)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A text that ends with `…` where it is longer than its place.
fn cut(text: &str, n_chars: usize) -> String {
    let text = text.replace('\n', " ");
    if text.chars().count() <= n_chars {
        return escaped(&text);
    }
    let begin: String = text.chars().take(n_chars.saturating_sub(1)).collect();
    escaped(&begin) + "…"
}

fn colour(name: &str) -> &'static str {
    match name {
        "red" => "#c4162a",
        "orange" => "#e0752d",
        "yellow" => "#c4a000",
        "green" => "#2f9e63",
        "purple" => "#8f3bb8",
        "blue" => "#3d71d9",
        _ => "#444444",
    }
}

/// The number in a cell, if it is one.
fn number(cell: Option<&String>) -> Option<f64> {
    match cell?.as_str() {
        "t" => Some(1.0),
        "f" => Some(0.0),
        text => text.parse().ok(),
    }
}

/// A number as a person reads it.
fn shown(value: f64, unit: &str, now_s: f64) -> String {
    let scaled = |value: f64, steps: &[(&str, f64)]| {
        let fits = steps.iter().rev().find(|(_, length)| value.abs() >= *length);
        let (name, length) = fits.unwrap_or(&steps[0]);
        let text = format!("{:.2}", value / length);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text}{name}")
    };
    match unit {
        "bytes" | "Bps" => scaled(
            value,
            &[(" B", 1.0), (" KiB", 1024.0), (" MiB", 1_048_576.0), (" GiB", 1_073_741_824.0)],
        ),
        "percentunit" => scaled(value * 100.0, &[(" %", 1.0)]),
        "s" => {
            let steps =
                [(" ms", 0.001), (" s", 1.0), (" min", 60.0), (" h", 3_600.0), (" d", 86_400.0)];
            scaled(value, &steps)
        }
        "dateTimeFromNow" => {
            let age = (now_s - value / 1_000.0).max(0.0);
            format!("{} ago", shown(age.round(), "s", now_s))
        }
        _ => scaled(value, &[("", 1.0), (" K", 1e3), (" Mil", 1e6), (" Bil", 1e9)]),
    }
}

/// The colour of the last threshold that a value reaches.
fn threshold(value: f64, steps: &[Step]) -> &'static str {
    let reached = steps.iter().rev().find(|step| step.value.is_none_or(|least| value >= least));
    reached.map_or("#444444", |step| colour(&step.color))
}

/// A canvas of one panel.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    panel: &'a Panel,
    now_s: f64,
    width: u32,
    height: u32,
    out: String,
}

impl<'a> Canvas<'a> {
    pub(super) const fn new(panel: &'a Panel, now_s: f64) -> Self {
        let (width, height) = pixels(panel.grid_pos.w, panel.grid_pos.h);
        Self { panel, now_s, width, height, out: String::new() }
    }

    fn unit(&self) -> &str {
        let fields = self.panel.field_config.as_ref();
        fields.and_then(|it| it.defaults.unit.as_deref()).unwrap_or("short")
    }

    fn unit_of(&self, column: &str) -> &str {
        let overrides = self.panel.field_config.iter().flat_map(|it| &it.overrides);
        let mut of_column = overrides.filter(|it| it.matcher.options == column);
        let unit = of_column.find_map(|it| it.properties.iter().find(|it| it.id == "unit"));
        unit.and_then(|it| it.value.as_str()).unwrap_or_else(|| self.unit())
    }

    fn steps(&self) -> &[Step] {
        let fields = self.panel.field_config.as_ref();
        fields.and_then(|it| it.defaults.thresholds.as_ref()).map_or(&[], |it| &it.steps)
    }

    fn text(&mut self, (x, y): (u32, u32), class: &str, style: &str, text: &str) {
        let text = escaped(text);
        writeln!(self.out, "<text x='{x}' y='{y}' class='{class}' {style}>{text}</text>").unwrap();
    }

    /// The panel with this answer; without one it says what it says when there is nothing.
    pub(super) fn draw(mut self, title: &str, answer: Option<&Answer>) -> String {
        let (width, height) = (self.width - 6, self.height - 6);
        writeln!(self.out, "<rect class='p' width='{width}' height='{height}' rx='3'/>").unwrap();
        let room = usize::try_from(width / 8).unwrap();
        writeln!(self.out, "<text x='9' y='18' class='t'>{}</text>", cut(title, room)).unwrap();
        match (self.panel.kind, answer.filter(|it| !it.rows.is_empty())) {
            (Kind::Row, _) => {}
            (_, None) => {
                let fields = self.panel.field_config.as_ref();
                let text = fields.and_then(|it| it.defaults.no_value.clone()).unwrap_or_default();
                self.text((width / 2, height / 2 + 8), "n", "text-anchor='middle'", &text);
            }
            (Kind::Stat, Some(answer)) => self.stat(answer),
            (Kind::Table, Some(answer)) => self.table(answer),
            (Kind::BarGauge, Some(answer)) => self.bars(answer),
            (Kind::TimeSeries, Some(answer)) => self.series(answer),
        }
        self.out
    }

    fn stat(&mut self, answer: &Answer) {
        let cells = answer.rows.last().into_iter().flatten();
        let value = cells.filter_map(|cell| number(cell.as_ref())).next_back();
        let fields = self.panel.field_config.as_ref();
        let mapped = fields.and_then(|it| it.defaults.mapped(value?));
        let (text, fill) = match (mapped, value) {
            (Some((text, name)), _) => (text.to_owned(), colour(name)),
            (None, Some(value)) => {
                (shown(value, self.unit(), self.now_s), threshold(value, self.steps()))
            }
            (None, None) => {
                (fields.and_then(|it| it.defaults.no_value.clone()).unwrap_or_default(), "#888888")
            }
        };
        let place = ((self.width - 6) / 2, self.height / 2 + 22);
        let size = if text.chars().count() > 7 { 20 } else { 30 };
        let style = format!("text-anchor='middle' style='fill:{fill};font-size:{size}px'");
        self.text(place, "v", &style, &text);
    }

    fn cell(&self, (column, kind): &(String, Type), cell: Option<&String>) -> String {
        let Some(text) = cell else { return String::new() };
        match number(cell) {
            Some(value) => shown(value, self.unit_of(column), self.now_s),
            // Day and minute are enough.
            None if *kind == Type::TIMESTAMPTZ => text.get(5..16).unwrap_or(text).to_owned(),
            None => text.clone(),
        }
    }

    fn table(&mut self, answer: &Answer) {
        let lines = usize::try_from((self.height - 50) / LINE).unwrap();
        let mut table: Vec<Vec<String>> =
            vec![answer.columns.iter().map(|(name, _)| name.clone()).collect()];
        for row in answer.rows.iter().take(lines) {
            let cells = answer.columns.iter().zip(row);
            table.push(cells.map(|(column, cell)| self.cell(column, cell.as_ref())).collect());
        }
        let longest = |n: usize| table.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
        let lengths: Vec<usize> =
            (0..answer.columns.len()).map(|n| longest(n).clamp(4, 34)).collect();
        let total: usize = lengths.iter().sum::<usize>() + 2 * lengths.len();
        let room = usize::try_from(self.width - 20).unwrap();
        for (index, row) in (0_u32..).zip(&table) {
            let (mut at, y) = (10, 38 + index * LINE);
            for (length, cell) in lengths.iter().zip(row) {
                // Shares of the width, but no wider than the text is.
                let place = (room * (length + 2) / total).min((length + 2) * 7);
                let class = if index == 0 { "h" } else { "c" };
                let text = cut(cell, place / 6);
                writeln!(self.out, "<text x='{at}' y='{y}' class='{class}'>{text}</text>").unwrap();
                at += place;
            }
        }
    }

    fn bars(&mut self, answer: &Answer) {
        let value = |row: &Vec<Option<String>>| row.iter().find_map(|it| number(it.as_ref()));
        let label = |row: &Vec<Option<String>>| row[0].clone().unwrap_or_default();
        let bars: Vec<(String, f64)> =
            answer.rows.iter().filter_map(|row| Some((label(row), value(row)?))).collect();
        let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        let step = ((self.height - 40) / u32::try_from(bars.len()).unwrap()).min(26);
        for (index, (label, value)) in (0_u32..).zip(&bars) {
            let y = 32 + index * step;
            let long = f64::from(self.width - 240) * value / most;
            let fill = threshold(*value, self.steps());
            self.text((10, y + 12), "c", "", &cut(label, 22));
            let height = step.saturating_sub(6);
            writeln!(
                self.out,
                "<rect x='150' y='{y}' width='{long:.0}' height='{height}' fill='{fill}'/>"
            )
            .unwrap();
            let text = shown(*value, self.unit(), self.now_s);
            self.text((self.width - 16, y + 12), "c", "text-anchor='end'", &text);
        }
    }

    fn series(&mut self, answer: &Answer) {
        let series = series_of(answer);
        let fields = self.panel.field_config.as_ref();
        let is_bars = fields.is_some_and(|it| it.defaults.is_bars());
        let mut plot = self.plot(&series);
        if is_bars {
            plot.high = heights(&series).values().copied().fold(plot.high, f64::max) * 1.05;
        }
        for n in 0..=4 {
            let value = plot.low + (plot.high - plot.low) * f64::from(n) / 4.0;
            let (line, label) = (plot.y(value), shown(value, self.unit(), self.now_s));
            writeln!(
                self.out,
                "<path class='g' d='M{:.0} {line:.0}H{:.0}'/>\
                 <text x='56' y='{:.0}' class='a' text-anchor='end'>{label}</text>",
                plot.left,
                plot.right,
                line + 3.0
            )
            .unwrap();
        }
        let mut legend = String::new();
        let mut below = Heap::new();
        for (index, (name, points)) in series.iter().enumerate() {
            let fill = PALETTE[index % PALETTE.len()];
            let drawn = thinned(points);
            self.out += &if is_bars {
                plot.bars(&drawn, fill, &mut below)
            } else {
                plot.line(&drawn, fill)
            };
            let last = points.last().map_or(0.0, |it| it.1);
            let last = shown(last, self.unit(), self.now_s);
            write!(legend, "<tspan style='fill:{fill}'>■</tspan> {} ({last})  ", escaped(name))
                .unwrap();
        }
        let y = self.height - 16;
        let preserved = "class='c' xml:space='preserve'";
        writeln!(self.out, "<text x='12' y='{y}' {preserved}>{legend}</text>").unwrap();
    }

    /// Where points of these series lie.
    fn plot(&self, series: &[Series]) -> Plot {
        let points = || series.iter().flat_map(|(_, points)| points);
        let bounds = |of: fn(&(f64, f64)) -> f64| {
            let least_and_most = |(least, most): (f64, f64), it: f64| (least.min(it), most.max(it));
            points().map(of).fold((f64::MAX, f64::MIN), least_and_most)
        };
        let ((from, to), (mut low, mut high)) = (bounds(|it| it.0), bounds(|it| it.1));
        let fields = self.panel.field_config.as_ref();
        if let Some(least) = fields.and_then(|it| it.defaults.min) {
            low = low.min(least);
        } else {
            low -= (high - low) * 0.05;
        }
        high = if high - low < 1e-9 { low + 1.0 } else { high + (high - low) * 0.05 };
        let (right, bottom) = (f64::from(self.width) - 18.0, f64::from(self.height) - 44.0);
        Plot { from, to, low, high, left: 62.0, right, top: 30.0, bottom }
    }
}

/// A stretch of time and one of values, and the rectangle that they are drawn in.
#[derive(Clone, Copy, Debug)]
struct Plot {
    from: f64,
    to: f64,
    low: f64,
    high: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Plot {
    fn x(&self, at: f64) -> f64 {
        self.left + (self.right - self.left) * (at - self.from) / (self.to - self.from).max(1.0)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (value - self.low) / (self.high - self.low)
    }

    fn line(&self, points: &[(f64, f64)], fill: &str) -> String {
        let place = |(at, value): &(f64, f64)| format!("{:.0},{:.1}", self.x(*at), self.y(*value));
        let places: Vec<String> = points.iter().map(place).collect();
        format!("<polyline points='{}' stroke='{fill}'/>\n", places.join(" "))
    }

    /// One series on the other: `below` is how high it is already.
    fn bars(&self, points: &[(f64, f64)], fill: &str, below: &mut Heap) -> String {
        let wide = (self.right - self.left) / (points.len() as f64 * 1.4).max(24.0);
        let mut bar = |(at, value): &(f64, f64)| {
            let base = below.entry(at.to_bits()).or_default();
            let (begin, end) = (self.x(*at).min(self.right - wide), self.y(*base + value));
            let high = (self.y(*base) - end).max(0.0);
            *base += value;
            format!(
                "<rect x='{begin:.0}' y='{end:.0}' width='{wide:.1}' height='{high:.0}' fill='{fill}' \
                 fill-opacity='.6'/>\n"
            )
        };
        points.iter().map(&mut bar).collect()
    }
}

/// What bars reach at each instant, whose bits are the key.
type Heap = HashMap<u64, f64>;

/// What all bars together reach.
fn heights(series: &[Series]) -> Heap {
    let mut heap = Heap::new();
    for (at, value) in series.iter().flat_map(|(_, points)| points) {
        *heap.entry(at.to_bits()).or_default() += value;
    }
    heap
}

/// A name, and its points: seconds and value.
type Series = (String, Vec<(f64, f64)>);

/// As Grafana names series: a label's value, or what is measured and that.
fn series_of(answer: &Answer) -> Vec<Series> {
    let is_number = |n: usize| {
        answer.rows.iter().filter_map(|row| row[n].as_ref()).all(|it| it.parse::<f64>().is_ok())
    };
    let time = answer.columns.iter().position(|(name, _)| name == "time").unwrap();
    let columns: Vec<usize> = (0..answer.columns.len()).filter(|n| *n != time).collect();
    let (values, labels): (Vec<usize>, Vec<usize>) =
        columns.into_iter().partition(|n| is_number(*n));
    let mut series: Vec<Series> = Vec::new();
    for row in &answer.rows {
        let label: Vec<&str> = labels.iter().filter_map(|n| row[*n].as_deref()).collect();
        for &n in &values {
            let measured = answer.columns[n].0.as_str();
            let name = match (label.is_empty(), values.len()) {
                (true, _) => measured.to_owned(),
                (false, 1) => label.join(" "),
                (false, _) => format!("{measured} {}", label.join(" ")),
            };
            let point = number(row[time].as_ref()).zip(number(row[n].as_ref()));
            let Some(point) = point else { continue };
            match series.iter_mut().find(|(it, _)| *it == name) {
                Some((_, points)) => points.push(point),
                None => series.push((name, vec![point])),
            }
        }
    }
    series
}

/// The least and the greatest of each stretch, so that a line keeps its shape.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
    let ends = |piece: &[(f64, f64)]| {
        let least = *piece.iter().min_by(by_value).unwrap();
        let most = *piece.iter().max_by(by_value).unwrap();
        if least.0 <= most.0 { [least, most] } else { [most, least] }
    };
    points.chunks(points.len().div_ceil(POINTS / 2)).flat_map(ends).collect()
}
