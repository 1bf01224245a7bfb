//! What ours says of itself (`ringstall ci --json`): rings, batches, and what it has placed.

use serde_json::Value;

use super::figure::{Figure, Figures};

/// Adds the figures of rings, and tells how many files and links the tree should have. `None` where
/// the summary cannot be understood.
pub fn add(summary: &[u8], figures: &mut Figures) -> Option<u64> {
    let summary: Value = serde_json::from_slice(summary).ok()?;
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap_or_default();
    let mut submissions = 0;
    let mut enters = 0;
    let mut batches = 0.0;
    let mut largest = 0;
    for engine in summary["engines"].as_array()? {
        let submitted = number(engine, "submissions");
        let mean = engine["meanBatch"].as_f64().filter(|mean| *mean > 0.0);
        submissions += submitted;
        enters += number(engine, "enters");
        #[expect(clippy::cast_precision_loss, reason = "it is printed with one decimal")]
        let own = mean.map_or(0.0, |mean| submitted as f64 / mean);
        batches += own;
        largest = largest.max(number(engine, "largestBatch"));
    }
    figures.set_count(Figure::Submissions, submissions);
    figures.set_count(Figure::Enters, enters);
    figures.set_count(Figure::LargestBatch, largest);
    figures.set_count(Figure::KernelWorkers, number(&summary, "kernelWorkers"));
    #[expect(clippy::cast_precision_loss, reason = "it is printed with one decimal")]
    figures.set(Figure::MeanBatch, if batches > 0.0 { submissions as f64 / batches } else { 0.0 });
    let files = summary["files"].as_u64()?;
    let placed = files + number(&summary, "links") + number(&summary, "bins");
    // The hidden lockfile is the last one, where there is a tree at all.
    Some(placed + u64::from(placed > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn batches_of_all_rings_make_one_mean() {
        let summary = json!({
            "files": 10, "links": 1, "bins": 2, "kernelWorkers": 3,
            "engines": [
                {"submissions": 100, "enters": 9, "meanBatch": 50.0, "largestBatch": 60},
                {"submissions": 20, "enters": 2, "meanBatch": 5.0, "largestBatch": 8},
                {"submissions": 0, "enters": 0, "meanBatch": 0.0, "largestBatch": 0},
            ],
        });
        let mut figures = Figures::default();
        assert_eq!(add(summary.to_string().as_bytes(), &mut figures), Some(14));
        let found = [
            Figure::Submissions,
            Figure::Enters,
            Figure::MeanBatch,
            Figure::LargestBatch,
            Figure::KernelWorkers,
        ];
        let found = found.map(|figure| figures.get(figure));
        assert_eq!(found, [120.0, 11.0, 20.0, 60.0, 3.0].map(Some));
        assert_eq!(add(b"error", &mut figures), None);
    }
}
