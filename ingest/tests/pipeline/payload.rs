//! Publishes to send, and what each of them means: said by who wrote it, not by our decoder.

use std::fmt::Write;

use crate::dice::Dice;

pub(crate) const DEVICES: [&str; 4] = ["oven", "freezer", "pump", "door"];
const METRICS: [&str; 3] = ["t", "load", "mode"];

/// What makes telemetry of `plant/{device}/data`.
pub(crate) const MAPPINGS: &str = "[[mapping]]
topic = 'plant/{device}/data'
format = 'json'
time_key = 'ts'
seq_key = 'seq'
";

/// One object of a payload.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Seconds since 1970.
    pub(crate) ts: Option<i64>,
    pub(crate) seq: Option<u64>,
    pub(crate) values: Vec<(&'static str, Said)>,
    /// It also has a part that cannot be read.
    pub(crate) bad_part: bool,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Number(f64),
    Text(String),
}

impl Said {
    /// Whether the database refuses it.
    pub(crate) fn is_poison(&self) -> bool {
        *self == Self::Number(13.0)
    }
}

/// What a publish means.
#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    /// These objects, of this device.
    Objects(&'static str, Vec<Told>),
    /// These objects, of this device, where [`MAPPINGS`] are in force; nothing, of nobody, elsewhere.
    Mapped(&'static str, Vec<Told>),
    /// Nothing, from this device.
    Rubbish(&'static str),
    /// That this device is there or not; an empty one says neither.
    Status(&'static str, Option<bool>),
    /// Its topic names no device.
    NoDevice,
}

/// Topic, payload, meaning.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) meaning: Meaning,
}

/// A device's own counter: grows, leaves gaps, begins anew.
#[derive(Debug, Default)]
pub(crate) struct Counter(u64);

impl Counter {
    fn next(&mut self, dice: &mut Dice) -> u64 {
        self.0 = match dice.below(20) {
            0 => dice.below(2),
            1 => self.0 + 1 + dice.below(5),
            2 => return self.0.saturating_sub(dice.below(8)),
            _ => self.0 + 1,
        };
        self.0
    }
}

/// A message that nobody has sent before, more or less.
pub(crate) fn invent(dice: &mut Dice, counters: &mut [Counter; 4], now_secs: i64) -> Message {
    let index = dice.index(DEVICES.len());
    let (device, counter) = (DEVICES[index], &mut counters[index]);
    match dice.below(20) {
        0 => rubbish(dice, device),
        1 => Message {
            topic: format!("devices/{device}/telemetry/too/deep"),
            payload: vec![b'0' + dice.below(4) as u8],
            meaning: Meaning::NoDevice,
        },
        2 | 3 => scalar(dice, device),
        6 => status(dice, device),
        4 | 5 => {
            let told = [tell(dice, counter, now_secs), tell(dice, counter, now_secs)];
            let texts: Vec<_> = told.iter().map(json).collect();
            object(dice, device, format!("[{}]", texts.join(",")), told.to_vec())
        }
        _ => {
            let told = tell(dice, counter, now_secs);
            object(dice, device, json(&told), vec![told])
        }
    }
}

fn object(dice: &mut Dice, device: &'static str, text: String, told: Vec<Told>) -> Message {
    let (topic, meaning) = if dice.percent(20) {
        (format!("plant/{device}/data"), Meaning::Mapped(device, told))
    } else {
        (format!("devices/{device}/telemetry"), Meaning::Objects(device, told))
    };
    Message { topic, payload: text.into_bytes(), meaning }
}

fn rubbish(dice: &mut Dice, device: &'static str) -> Message {
    let payload = dice.pick(&["{\"t\":1", "", "[1]", "{\"t\":1}x", "[]"]);
    Message {
        topic: format!("devices/{device}/telemetry"),
        payload: payload.into(),
        meaning: Meaning::Rubbish(device),
    }
}

fn scalar(dice: &mut Dice, device: &'static str) -> Message {
    let number = dice.below(100);
    let value = ("t", Said::Number(number as f64));
    let told = Told { ts: None, seq: None, values: vec![value], bad_part: false };
    Message {
        topic: format!("devices/{device}/telemetry/t"),
        payload: number.to_string().into_bytes(),
        meaning: Meaning::Objects(device, vec![told]),
    }
}

fn status(dice: &mut Dice, device: &'static str) -> Message {
    let (payload, said) = dice.pick(&[
        ("online", Some(true)),
        ("{\"connected\":false}", Some(false)),
        ("0", Some(false)),
        ("", None),
    ]);
    Message {
        topic: format!("devices/{device}/status"),
        payload: payload.into(),
        meaning: Meaning::Status(device, said),
    }
}

fn tell(dice: &mut Dice, counter: &mut Counter, now_secs: i64) -> Told {
    let ts = match dice.below(20) {
        0 => Some(now_secs + 400),
        1 => Some(now_secs - 100_000),
        n if n < 12 => Some(now_secs - dice.below(60) as i64),
        _ => None,
    };
    let n_values = if dice.percent(5) { 0 } else { 1 + dice.index(METRICS.len()) };
    let values = METRICS.iter().take(n_values).map(|&metric| {
        let value = match metric {
            "mode" => Said::Text(dice.pick(&["on", "off", "ü"]).to_owned()),
            _ => Said::Number(dice.below(100) as f64),
        };
        (metric, value)
    });
    let values = values.collect();
    let seq = dice.percent(60).then(|| counter.next(dice));
    Told { ts, seq, values, bad_part: dice.percent(5) }
}

fn json(told: &Told) -> String {
    let mut members = Vec::new();
    members.extend(told.ts.map(|ts| format!("\"ts\":{ts}")));
    members.extend(told.bad_part.then(|| "\"x\":[1]".to_owned()));
    for (metric, value) in &told.values {
        let mut text = format!("\"{metric}\":");
        match value {
            Said::Number(number) => write!(text, "{number}").expect("a string takes all"),
            Said::Text(said) => write!(text, "\"{said}\"").expect("a string takes all"),
        }
        members.push(text);
    }
    members.extend(told.seq.map(|seq| format!("\"seq\":{seq}")));
    format!("{{{}}}", members.join(","))
}
