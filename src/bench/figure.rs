//! The figures of a run, by name, and what tables say of several runs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::phase::Phase;

/// What is known of a run. Sizes are in bytes and times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    Wall,
    User,
    System,
    PeakResidentBytes,
    MinorFaults,
    VoluntarySwitches,
    InvoluntarySwitches,
    Files,
    TreeBytes,
    CacheBytes,
    LockBytes,
    Requests,
    BytesReceived,
    BytesSent,
    /// What the registry used of the processor meanwhile.
    RegistrySeconds,
    Submissions,
    Enters,
    MeanBatch,
    LargestBatch,
    KernelWorkers,
}

impl Figure {
    pub const ALL: [Self; 20] = [
        Self::Wall,
        Self::User,
        Self::System,
        Self::PeakResidentBytes,
        Self::MinorFaults,
        Self::VoluntarySwitches,
        Self::InvoluntarySwitches,
        Self::Files,
        Self::TreeBytes,
        Self::CacheBytes,
        Self::LockBytes,
        Self::Requests,
        Self::BytesReceived,
        Self::BytesSent,
        Self::RegistrySeconds,
        Self::Submissions,
        Self::Enters,
        Self::MeanBatch,
        Self::LargestBatch,
        Self::KernelWorkers,
    ];

    /// Its key in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wall => "wallSeconds",
            Self::User => "userSeconds",
            Self::System => "systemSeconds",
            Self::PeakResidentBytes => "peakResidentBytes",
            Self::MinorFaults => "minorFaults",
            Self::VoluntarySwitches => "voluntarySwitches",
            Self::InvoluntarySwitches => "involuntarySwitches",
            Self::Files => "files",
            Self::TreeBytes => "treeBytes",
            Self::CacheBytes => "cacheBytes",
            Self::LockBytes => "lockBytes",
            Self::Requests => "requests",
            Self::BytesReceived => "bytesReceived",
            Self::BytesSent => "bytesSent",
            Self::RegistrySeconds => "registrySeconds",
            Self::Submissions => "submissions",
            Self::Enters => "enters",
            Self::MeanBatch => "meanBatch",
            Self::LargestBatch => "largestBatch",
            Self::KernelWorkers => "kernelWorkers",
        }
    }
}

/// The figures that a run has; who has no rings has none of rings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(BTreeMap<Figure, f64>);

impl Figures {
    pub fn set(&mut self, figure: Figure, value: f64) {
        self.0.insert(figure, value);
    }

    /// Counts and sizes are far below 2^53, where every one of them is a number of its own.
    #[expect(clippy::cast_precision_loss, reason = "nothing here comes near 2^53")]
    pub fn set_count(&mut self, figure: Figure, value: u64) {
        self.set(figure, value as f64);
    }

    pub fn get(&self, figure: Figure) -> Option<f64> {
        self.0.get(&figure).copied()
    }

    /// Both kinds of context switches.
    pub fn switches(&self) -> Option<f64> {
        Some(self.get(Figure::VoluntarySwitches)? + self.get(Figure::InvoluntarySwitches)?)
    }
}

/// One run of one contender.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub contender: String,
    pub phase: Phase,
    /// The filesystem that was made for it, where one was.
    pub filesystem: Option<&'static str>,
    pub round: usize,
    pub figures: Figures,
    /// Why it does not count.
    pub fault: Option<String>,
}

impl Serialize for Run {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Map::new();
        object.insert("contender".to_owned(), self.contender.as_str().into());
        object.insert("phase".to_owned(), self.phase.name().into());
        object.insert("filesystem".to_owned(), self.filesystem.into());
        object.insert("round".to_owned(), self.round.into());
        object.insert("fault".to_owned(), self.fault.as_deref().into());
        for figure in Figure::ALL {
            let value = self.figures.get(figure).map_or(Value::Null, number);
            object.insert(figure.name().to_owned(), value);
        }
        object.serialize(serializer)
    }
}

/// A whole number is written as one.
#[expect(clippy::cast_possible_truncation, reason = "it is whole, and far below 2^53")]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 { Value::from(value as i64) } else { Value::from(value) }
}

/// The middle of several values, with their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` where there is no value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Self { median, least, most })
    }
}

/// The ratios of each pair of runs that were made in the same round, on the same filesystem.
pub fn paired_ratios<'r>(
    runs: &[&'r Run],
    others: &[&'r Run],
    value: impl Fn(&Figures) -> Option<f64>,
) -> Vec<f64> {
    let place = |run: &Run| (run.filesystem, run.round);
    let ratio = |run: &&Run| {
        let other = others.iter().find(|other| place(other) == place(run))?;
        let below = value(&other.figures).filter(|below| *below > 0.0)?;
        Some(value(&run.figures)? / below)
    };
    runs.iter().filter_map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn run(contender: &str, round: usize, wall: f64) -> Run {
        let mut figures = Figures::default();
        figures.set(Figure::Wall, wall);
        let contender = contender.to_owned();
        Run { contender, phase: Phase::Warm, filesystem: None, round, figures, fault: None }
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        let expected = Spread { median: 2.5, least: 1.0, most: 9.0 };
        assert_eq!(spread(&[9.0, 2.0, 1.0, 3.0]), Some(expected));
        let expected = Spread { median: 2.0, least: 1.0, most: 9.0 };
        assert_eq!(spread(&[9.0, 2.0, 1.0]), Some(expected));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratios_are_of_runs_in_the_same_round() {
        let runs = [run("a", 0, 1.0), run("a", 1, 4.0), run("a", 2, 9.0)];
        let mut others = vec![run("b", 1, 2.0), run("b", 0, 2.0), run("b", 3, 1.0)];
        let ratios = |others: &[Run]| {
            let (runs, others): (Vec<_>, Vec<_>) = (runs.iter().collect(), others.iter().collect());
            paired_ratios(&runs, &others, |figures| figures.get(Figure::Wall))
        };
        assert_eq!(ratios(&others), [0.5, 2.0]);
        others[1].filesystem = Some("xfs");
        assert_eq!(ratios(&others), [2.0]);
    }

    #[test]
    fn counts_are_written_as_whole_numbers() {
        let mut run = run("a", 0, 1.5);
        run.figures.set_count(Figure::Files, 3);
        run.fault = Some("why".to_owned());
        let value = serde_json::to_value(&run).unwrap();
        assert_eq!((&value["files"], &value["wallSeconds"]), (&3.into(), &1.5.into()));
        assert_eq!((&value["fault"], &value["enters"]), (&"why".into(), &Value::Null));
        assert_eq!(value.as_object().unwrap().len(), Figure::ALL.len() + 5);
    }
}
