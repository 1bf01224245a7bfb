//! From values to places: logarithmic axes, since contenders differ by powers of ten.

/// An axis from `low` to `high`, drawn from `start` to `end`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

/// What cannot be shown on a logarithmic axis is shown here.
const LEAST: f64 = 1e-3;
/// Room on both sides of the values, in parts of a power of ten.
const MARGIN: f64 = 0.12;

impl Scale {
    /// An axis with room for all values; at least a third of a power of ten.
    pub fn of(values: impl IntoIterator<Item = f64>, start: f64, end: f64) -> Self {
        let logarithms = values.into_iter().map(logarithm);
        let (low, high) = logarithms
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), one| {
                (low.min(one), high.max(one))
            });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let missing = (0.33 - (high - low)).max(0.0) / 2.0;
        Self { low: low - missing - MARGIN, high: high + missing + MARGIN, start, end }
    }

    pub fn place(&self, value: f64) -> f64 {
        let share = (logarithm(value) - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }

    /// Round values on the axis: as many as are far enough from one another to be read.
    pub fn ticks(&self) -> Vec<f64> {
        const STEPS: [&[f64]; 4] =
            [&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let decades = self.high - self.low;
        let steps = match decades {
            ..0.8 => STEPS[0],
            ..1.5 => STEPS[1],
            ..3.5 => STEPS[2],
            _ => STEPS[3],
        };
        #[expect(clippy::cast_possible_truncation, reason = "powers of ten are few")]
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let powers = (first..=last).map(|power| 10_f64.powi(power));
        let values = powers.flat_map(|power| steps.iter().map(move |step| step * power));
        values.filter(|value| (self.low..=self.high).contains(&value.log10())).collect()
    }
}

fn logarithm(value: f64) -> f64 {
    value.max(LEAST).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_between_the_ends() {
        let scale = Scale::of([10.0, 1000.0], 0.0, 100.0);
        let places = [10.0, 100.0, 1000.0].map(|value| scale.place(value));
        assert!(0.0 < places[0] && places[0] < 10.0, "{places:?}");
        assert!((places[1] - 50.0).abs() < 1e-9, "{places:?}");
        assert!(90.0 < places[2] && places[2] < 100.0, "{places:?}");
        assert_eq!(scale.ticks(), [10.0, 30.0, 100.0, 300.0, 1000.0]);
    }

    #[test]
    fn one_value_and_none_have_an_axis_too() {
        let scale = Scale::of([5.0], 100.0, 0.0);
        assert!((scale.place(5.0) - 50.0).abs() < 1e-9);
        assert!(!scale.ticks().is_empty());
        assert!(!Scale::of([], 0.0, 1.0).ticks().is_empty());
        assert!(scale.place(0.0).is_finite());
    }
}
