//! Pictures of a bench, as SVG.

use super::Report;

mod scale;
mod scatter;
mod svg;
mod timeline;

use svg::{PLAIN, SMALL, Style, Svg};

/// Wall time against context switches by phase and contender, and one installation over time where
/// there is a trace.
pub fn picture(report: &Report) -> String {
    let mut svg = Svg::new(scatter::WIDTH);
    let heading = Style { size: 16.0, is_bold: true, ..PLAIN };
    svg.text((16.0, 28.0), "Wall time and context switches", heading);
    let rounds = report.rounds;
    let plural = if rounds == 1 { "" } else { "s" };
    let note = format!(
        "medians of {rounds} round{plural}; bars from least to most; both axes by powers of ten"
    );
    svg.text((16.0, 46.0), &note, SMALL);
    svg.text((16.0, 60.0), &report.surroundings, SMALL);
    let mut end = scatter::draw(&mut svg, report, 72.0);
    if let Some(trace) = &report.trace {
        let title = "One cold install by ringstall: what is done when";
        end = timeline::draw(&mut svg, trace, title, end);
    }
    svg.finish(end)
}
