//! One installation over time: phases, downloads and workers, a lane each.

use super::scatter::WIDTH;
use super::svg::{Anchor, FAINT, GRID, PLAIN, SMALL, Style, Svg};
use crate::bench::trace::{LaneKind, Span, Trace};

const LEFT: f64 = 104.0;
const RIGHT: f64 = 24.0;
const ABOVE: f64 = 52.0;
const BELOW: f64 = 48.0;
const GAP: f64 = 14.0;
/// Of a lane; those of downloads are many.
const THICK: f64 = 16.0;
const THIN: f64 = 4.0;
/// Spans nearer to one another than this are drawn as one.
const JOINED: f64 = 0.3;
/// Marks on the axis, about.
const TICKS: f64 = 9.0;
/// A name is written into a span that is as wide as this for each character.
const NAME_WIDTH: f64 = 6.4;

/// Draws the lanes below `top`, and tells where they end.
pub fn draw(svg: &mut Svg, trace: &Trace, title: &str, top: f64) -> f64 {
    svg.text((16.0, top + 16.0), title, Style { size: 13.0, is_bold: true, ..PLAIN });
    legend(svg, top + 32.0);
    let scale = (WIDTH - LEFT - RIGHT) / trace.end.max(1e-6);
    let place = |seconds: f64| LEFT + seconds * scale;
    let bottom = top + ABOVE + height(trace);
    let step = tick_step(trace.end);
    let mut tick = 0.0;
    while tick <= trace.end {
        let x = place(tick);
        svg.line((x, top + ABOVE), (x, bottom), GRID, 1.0);
        let label =
            if step < 1.0 { format!("{:.0} ms", tick * 1e3) } else { format!("{tick:.0} s") };
        svg.text((x, bottom + 15.0), &label, Style { anchor: Anchor::Middle, ..SMALL });
        tick += step;
    }
    let mut y = top + ABOVE;
    let mut before = None;
    for lane in &trace.lanes {
        if before.is_some_and(|before| before != lane.kind) {
            y += GAP;
        }
        let thickness = thickness(lane.kind);
        if before != Some(lane.kind) || lane.kind == LaneKind::Worker {
            let name = match lane.kind {
                LaneKind::Phases => "phases",
                LaneKind::Download => "downloads",
                LaneKind::Worker => &lane.name,
            };
            let style = Style { anchor: Anchor::End, color: FAINT, ..PLAIN };
            svg.text((LEFT - 8.0, y + thickness.max(10.0) - 2.0), name, style);
        }
        for bar in bars(&lane.spans, lane.kind, place) {
            let width = (bar.end - bar.start).max(0.4);
            svg.rectangle((bar.start, y), (width, thickness - 1.0), bar.color);
            let needed = NAME_WIDTH * f64::from(u16::try_from(bar.name.len()).unwrap_or(u16::MAX));
            if lane.kind == LaneKind::Phases && needed < width {
                let style = Style { color: "white", ..SMALL };
                svg.text((bar.start + 4.0, y + thickness - 5.0), bar.name, style);
            }
        }
        y += thickness;
        before = Some(lane.kind);
    }
    bottom + BELOW
}

/// What is drawn for one span, or for several that nobody could tell apart.
struct Bar<'b> {
    start: f64,
    end: f64,
    color: &'static str,
    name: &'b str,
}

fn bars<'s>(spans: &'s [Span], kind: LaneKind, place: impl Fn(f64) -> f64) -> Vec<Bar<'s>> {
    let mut bars: Vec<Bar<'s>> = Vec::new();
    for (number, span) in spans.iter().enumerate() {
        let (start, end) = (place(span.start), place(span.end));
        let color = match kind {
            LaneKind::Phases => PHASES[number % PHASES.len()],
            LaneKind::Download => DOWNLOAD,
            LaneKind::Worker => color_of(&span.name),
        };
        match bars.last_mut() {
            Some(last) if last.color == color && start - last.end < JOINED => {
                last.end = last.end.max(end);
            }
            _ => bars.push(Bar { start, end, color, name: &span.name }),
        }
    }
    bars
}

fn color_of(name: &str) -> &'static str {
    let word = name.split(' ').next().unwrap_or_default();
    WORK.iter().find(|(work, _)| *work == word).map_or(OTHER, |(_, color)| color)
}

fn legend(svg: &mut Svg, y: f64) {
    let mut x = LEFT;
    let entries = WORK.into_iter().chain([("download", DOWNLOAD), ("other", OTHER)]);
    for (name, color) in entries {
        svg.rectangle((x, y - 9.0), (10.0, 10.0), color);
        svg.text((x + 15.0, y), name, SMALL);
        x += 92.0;
    }
}

fn thickness(kind: LaneKind) -> f64 {
    if kind == LaneKind::Download { THIN } else { THICK }
}

fn height(trace: &Trace) -> f64 {
    let lanes: f64 = trace.lanes.iter().map(|lane| thickness(lane.kind)).sum();
    let changes = trace.lanes.windows(2).filter(|pair| pair[0].kind != pair[1].kind).count();
    lanes + GAP * f64::from(u16::try_from(changes).unwrap_or(0))
}

/// Of 1, 2 or 5 times a power of ten.
fn tick_step(end: f64) -> f64 {
    let rough = (end / TICKS).max(1e-3);
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= rough).unwrap_or(rough)
}

/// What workers do, by the first word of a span's name.
const WORK: [(&str, &str); 3] = [("unpack", "#d55e00"), ("write", "#0072b2"), ("place", "#009e73")];
const DOWNLOAD: &str = "#8c8c8c";
const OTHER: &str = "#cc79a7";
const PHASES: [&str; 2] = ["#444444", "#777777"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::trace::Lane;

    fn span(name: &str, start: f64, end: f64) -> Span {
        Span { name: name.to_owned(), start, end }
    }

    #[test]
    fn spans_that_nobody_could_tell_apart_are_one() {
        let spans = [
            span("unpack a", 0.0, 1.0),
            span("unpack b", 1.1, 2.0),
            span("place c", 2.1, 3.0),
            span("unpack d", 3.0, 4.0),
            span("unpack e", 5.0, 6.0),
        ];
        let bars = bars(&spans, LaneKind::Worker, |seconds| seconds);
        let places: Vec<_> = bars.iter().map(|bar| (bar.start, bar.end)).collect();
        assert_eq!(places, [(0.0, 2.0), (2.1, 3.0), (3.0, 4.0), (5.0, 6.0)]);
    }

    #[test]
    fn marks_are_at_round_numbers() {
        let found = [0.05, 0.9, 4.0, 61.0].map(tick_step);
        let expected = [0.01, 0.1, 0.5, 10.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn every_lane_is_drawn_below_the_one_before() {
        let lane = |name: &str, kind| {
            let spans = vec![span("unpack x", 0.0, 1.0)];
            Lane { name: name.to_owned(), kind, spans }
        };
        let lanes = vec![
            lane("main", LaneKind::Phases),
            lane("download 0", LaneKind::Download),
            lane("download 1", LaneKind::Download),
            lane("worker-0", LaneKind::Worker),
        ];
        let mut svg = Svg::new(WIDTH);
        let end = draw(&mut svg, &Trace { lanes, end: 1.0 }, "a cold install", 10.0);
        let text = svg.finish(end);
        for name in ["a cold install", "phases", "downloads", "worker-0", "1000 ms"] {
            assert!(text.contains(&format!(">{name}</text>")), "no `{name}` in {text}");
        }
        assert!(!text.contains(">download 1</text>"));
    }
}
