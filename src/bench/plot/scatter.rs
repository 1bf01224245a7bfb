//! Wall time against context switches: a panel for each phase, a point with its spread for each
//! contender.

use super::scale::Scale;
use super::svg::{Anchor, FAINT, GRID, INK, PLAIN, SMALL, Style, Svg};
use crate::bench::Report;
use crate::bench::contender::Manager;
use crate::bench::figure::{Figure, Figures, Run, Spread};
use crate::bench::phase::Phase;

/// The picture's width, and that of margins and panels in it.
pub const WIDTH: f64 = 960.0;
const LEFT: f64 = 56.0;
const GAP: f64 = 64.0;
const RIGHT: f64 = 24.0;
const PANEL_HEIGHT: f64 = 300.0;
const ABOVE: f64 = 34.0;
const BELOW: f64 = 56.0;
/// Panels beside one another.
const COLUMNS: usize = 2;
/// Of a name's line, and of a character as it is drawn bold, roughly.
const NAME_HEIGHT: f64 = 13.5;
const NAME_WIDTH: f64 = 7.6;

/// One contender in one panel.
struct Point<'p> {
    label: &'p str,
    color: &'static str,
    is_ours: bool,
    wall: Spread,
    switches: Spread,
}

/// Draws all panels below `top`, and tells where they end.
pub fn draw(svg: &mut Svg, report: &Report, top: f64) -> f64 {
    let filesystems: Vec<_> = match report.filesystems.as_slice() {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    let places = filesystems
        .iter()
        .flat_map(|filesystem| report.phases.iter().map(move |phase| (*phase, *filesystem)));
    let panels: Vec<_> = places
        .map(|(phase, filesystem)| (phase, filesystem, points(report, phase, filesystem)))
        .filter(|(.., points)| !points.is_empty())
        .collect();
    let columns = panels.len().clamp(1, COLUMNS);
    #[expect(clippy::cast_precision_loss, reason = "there are two columns at most")]
    let count = columns as f64;
    let width = (WIDTH - LEFT - RIGHT - GAP * (count - 1.0)) / count;
    let mut y = top;
    for row in panels.chunks(columns) {
        let mut x = LEFT;
        for (phase, filesystem, points) in row {
            let place = filesystem.map(|kind| format!(", {kind}")).unwrap_or_default();
            let frame = Frame { x, y: y + ABOVE, width, height: PANEL_HEIGHT };
            frame.draw(svg, &format!("{phase}: {}{place}", title(*phase)), points);
            x += width + GAP;
        }
        y += ABOVE + PANEL_HEIGHT + BELOW;
    }
    y
}

fn title(phase: Phase) -> &'static str {
    match phase {
        Phase::FullCold => "resolve and install, no cache",
        Phase::Resolve => "resolve alone, no cache",
        Phase::Cold => "install, no cache",
        Phase::Warm => "install, warm cache",
        Phase::Unchanged => "install, nothing changed",
    }
}

fn points<'r>(
    report: &'r Report,
    phase: Phase,
    filesystem: Option<&'static str>,
) -> Vec<Point<'r>> {
    let mut rest = OTHERS.iter().copied().cycle();
    let contenders = report.contenders.iter();
    let colors: Vec<_> = contenders
        .map(|contender| match contender.manager {
            Manager::Ringstall if contender.label == crate::bench::OURS => OURS_COLOR,
            _ => rest.next().unwrap_or(INK),
        })
        .collect();
    let contenders = report.contenders.iter().zip(colors);
    contenders
        .filter_map(|(contender, color)| {
            let is_its = |run: &&Run| {
                run.contender == contender.label
                    && run.phase == phase
                    && run.filesystem == filesystem
                    && run.fault.is_none()
            };
            let spread = |value: fn(&Figures) -> Option<f64>| {
                let runs = report.runs.iter().filter(is_its);
                Spread::of(runs.filter_map(|run| value(&run.figures)))
            };
            Some(Point {
                label: &contender.label,
                color,
                is_ours: contender.manager == Manager::Ringstall,
                wall: spread(|run| run.get(Figure::Wall))?,
                switches: spread(Figures::switches)?,
            })
        })
        .collect()
}

struct Frame {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn draw(&self, svg: &mut Svg, title: &str, points: &[Point<'_>]) {
        let ends = |spread: Spread| [spread.least, spread.most];
        let switches = points.iter().flat_map(|point| ends(point.switches));
        let walls = points.iter().flat_map(|point| ends(point.wall));
        let across = Scale::of(switches, self.x, self.x + self.width);
        let up = Scale::of(walls, self.y + self.height, self.y);
        self.draw_axes(svg, title, across, up);
        for point in points {
            Self::draw_point(svg, point, across, up);
        }
        self.draw_names(svg, points, across, up);
    }

    fn draw_axes(&self, svg: &mut Svg, title: &str, across: Scale, up: Scale) {
        let (right, bottom) = (self.x + self.width, self.y + self.height);
        svg.text((self.x, self.y - 12.0), title, Style { is_bold: true, size: 13.0, ..PLAIN });
        let middle = Style { anchor: Anchor::Middle, ..SMALL };
        for tick in across.ticks() {
            let x = across.place(tick);
            svg.line((x, self.y), (x, bottom), GRID, 1.0);
            svg.text((x, bottom + 15.0), &short(tick), middle);
        }
        for tick in up.ticks() {
            let y = up.place(tick);
            svg.line((self.x, y), (right, y), GRID, 1.0);
            let style = Style { anchor: Anchor::End, ..SMALL };
            svg.text((self.x - 6.0, y + 3.5), &format!("{} s", short(tick)), style);
        }
        svg.line((self.x, self.y), (self.x, bottom), FAINT, 1.0);
        svg.line((self.x, bottom), (right, bottom), FAINT, 1.0);
        let center = self.x + self.width / 2.0;
        svg.text((center, bottom + 31.0), "context switches, kernel workers included", middle);
    }

    fn draw_point(svg: &mut Svg, point: &Point<'_>, across: Scale, up: Scale) {
        let Point { color, wall, switches, .. } = point;
        let (x, y) = (across.place(switches.median), up.place(wall.median));
        let ends = [switches.least, switches.most].map(|value| across.place(value));
        svg.line((ends[0], y), (ends[1], y), color, 1.5);
        let ends = [wall.least, wall.most].map(|value| up.place(value));
        svg.line((x, ends[0]), (x, ends[1]), color, 1.5);
        svg.circle((x, y), if point.is_ours { 5.5 } else { 4.5 }, color);
    }

    /// Names beside their points, moved apart where they would cover one another.
    fn draw_names(&self, svg: &mut Svg, points: &[Point<'_>], across: Scale, up: Scale) {
        let mut order: Vec<_> = points.iter().collect();
        order.sort_by(|first, second| second.wall.median.total_cmp(&first.wall.median));
        let mut taken = Vec::new();
        for point in order {
            let Point { color, switches, wall, label, is_ours } = *point;
            let place = (across.place(switches.median), up.place(wall.median));
            let width = NAME_WIDTH * f64::from(u16::try_from(label.chars().count()).unwrap_or(0));
            let right = across.place(switches.most).max(place.0 + 6.0) + 5.0;
            let left = across.place(switches.least).min(place.0 - 6.0) - 5.0;
            let is_right = right + width < self.x + self.width;
            let (x, anchor) = if is_right { (right, Anchor::Start) } else { (left, Anchor::End) };
            let start = if is_right { x } else { x - width };
            let span = (start, start + width);
            let y = free_height(&taken, span, place.1, (self.y + 6.0, self.y + self.height - 4.0));
            taken.push((span, y));
            if (y - place.1).abs() > NAME_HEIGHT / 2.0 {
                let end = if is_right { x - 2.0 } else { x + 2.0 };
                svg.line(place, (end, y), color, 0.6);
            }
            let style = Style { color, anchor, is_bold: is_ours, ..PLAIN };
            svg.text((x, y + 4.0), label, style);
        }
    }
}

type Span = (f64, f64);

/// The height nearest to the one that is wanted, below it or else above, at which nothing that is
/// there is covered; the one that is wanted where there is none.
fn free_height(taken: &[(Span, f64)], span: Span, wanted: f64, (top, bottom): Span) -> f64 {
    let covers = |height: f64| {
        let meets = |other: &Span| other.0 < span.1 && span.0 < other.1;
        taken.iter().any(|(other, at)| meets(other) && (at - height).abs() < NAME_HEIGHT)
    };
    let steps = (0..=taken.len() * 2).map(|step| f64::from(u16::try_from(step).unwrap_or(0)) / 2.0);
    let candidates = steps.flat_map(|step| [step, -step]);
    let mut heights = candidates.map(|step| wanted + step * NAME_HEIGHT);
    heights.find(|height| (top..=bottom).contains(height) && !covers(*height)).unwrap_or(wanted)
}

/// `0.05`, `20`, `3k`, `1.5M`.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let rounded = (value * 1e4).round() / 1e4;
    format!("{rounded}{unit}")
}

const OURS_COLOR: &str = "#d55e00";
/// Colours that nearly all eyes can tell apart, after Okabe and Ito, dark enough for names.
const OTHERS: [&str; 7] =
    ["#b07d00", "#0072b2", "#009e73", "#cc79a7", "#2b8cbe", "#000000", "#7a5195"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_covers_no_other_and_stays_inside() {
        let within = (0.0, 100.0);
        let taken = [((0.0, 50.0), 40.0), ((0.0, 50.0), 100.0)];
        for (taken, span, wanted, expected) in [
            (&taken[..], (60.0, 90.0), 40.0, 40.0),
            (&taken, (40.0, 90.0), 40.0, 40.0 + NAME_HEIGHT),
            (&taken, (40.0, 90.0), 100.0, 100.0 - NAME_HEIGHT),
            (&[], (0.0, 1.0), 7.0, 7.0),
        ] {
            let found = free_height(taken, span, wanted, within);
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn ticks_are_short() {
        let found = [0.05, 20.0, 3000.0, 1_500_000.0].map(short);
        assert_eq!(found, ["0.05", "20", "3k", "1.5M"]);
    }
}
