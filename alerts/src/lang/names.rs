//! What the expressions of one rule refer to: parameters, metrics, windows of readings, and how
//! long a metric may stay silent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::MetricName;

use super::functions::Stat;
use super::group::GroupSpec;

/// A rule's parameters, by name.
pub(crate) type Params = BTreeMap<String, Param>;

/// What a parameter stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Param {
    Number(f64),
    Truth(bool),
    Text(Arc<str>),
}

/// Readings of one metric that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowSpec {
    /// Which of the rule's inputs.
    pub(crate) input: u16,
    /// How far it reaches back; zero for the newest reading alone.
    pub(crate) width: Duration,
    /// How long ago it ends.
    pub(crate) offset: Duration,
    /// The values themselves are needed, in their order of size.
    pub(crate) sorts: bool,
    /// What it was before the newest reading is needed.
    pub(crate) looks_back: bool,
}

/// What `when`, `clear` and `summary` of one rule refer to; shared by all of them.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    pub(crate) params: &'a Params,
    /// The parameters that were used.
    pub(crate) used_params: Vec<String>,
    /// The metrics, each once, in order of appearance.
    pub(crate) inputs: Vec<MetricName>,
    /// The windows, each once.
    pub(crate) windows: Vec<WindowSpec>,
    /// The windows that are judged anew as readings leave them.
    pub(crate) ebbing: Vec<u16>,
    /// Inputs, and the silence of each after which the rule is judged anew.
    pub(crate) deadlines: Vec<(u16, Duration)>,
    /// What is asked of the members, if the rule is about groups: then inputs are its parts.
    pub(crate) group: Option<GroupSpec>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(params: &'a Params) -> Self {
        Self {
            params,
            used_params: Vec::new(),
            inputs: Vec::new(),
            windows: Vec::new(),
            ebbing: Vec::new(),
            deadlines: Vec::new(),
            group: None,
        }
    }

    /// The number of a metric, known or new.
    pub(crate) fn input(&mut self, name: MetricName) -> u16 {
        number_of(&mut self.inputs, name)
    }

    /// The number of a window, known or new.
    pub(crate) fn window(
        &mut self,
        input: u16,
        width: Duration,
        offset: Duration,
        stat: Stat,
    ) -> u16 {
        let spec = WindowSpec {
            input,
            width,
            offset,
            sorts: matches!(stat, Stat::Quantile(_)),
            looks_back: stat == Stat::Zscore,
        };
        let window = number_of(&mut self.windows, spec);
        if stat.ebbs() {
            number_of(&mut self.ebbing, window);
        }
        window
    }

    /// Has the rule judged anew when `input` has been silent for `silence`.
    pub(crate) fn deadline(&mut self, input: u16, silence: Duration) {
        number_of(&mut self.deadlines, (input, silence));
    }
}

/// The place of `item` in `list`, known or new.
fn number_of<T: PartialEq>(list: &mut Vec<T>, item: T) -> u16 {
    let known = list.iter().position(|known| *known == item);
    let index = known.unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    });
    // `NODES_MAX` and the template's own limit keep it far below 65,536.
    u16::try_from(index).expect("fewer than nodes")
}
