//! The few elements of SVG that pictures here are made of.

use std::fmt::Write as _;

/// A picture that grows from top to bottom.
#[derive(Debug)]
pub struct Svg {
    width: f64,
    body: String,
}

/// Where a text stands from its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub struct Style<'s> {
    pub size: f64,
    pub color: &'s str,
    pub anchor: Anchor,
    pub is_bold: bool,
}

pub const INK: &str = "#222222";
pub const FAINT: &str = "#777777";
pub const GRID: &str = "#e4e4e4";

pub const PLAIN: Style<'_> =
    Style { size: 12.0, color: INK, anchor: Anchor::Start, is_bold: false };
pub const SMALL: Style<'_> = Style { size: 10.5, color: FAINT, ..PLAIN };

impl Svg {
    pub fn new(width: f64) -> Self {
        Self { width, body: String::new() }
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), color: &str, width: f64) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{color}\" stroke-width=\"{width}\"/>"
        );
    }

    pub fn circle(&mut self, (x, y): (f64, f64), radius: f64, color: &str) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{color}\" \
             stroke=\"white\" stroke-width=\"1\"/>"
        );
    }

    pub fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.2}\" y=\"{y:.1}\" width=\"{width:.2}\" height=\"{height:.1}\" \
             fill=\"{color}\"/>"
        );
    }

    pub fn text(&mut self, (x, y): (f64, f64), text: &str, style: Style<'_>) {
        let Style { size, color, anchor, is_bold } = style;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if is_bold { " font-weight=\"600\"" } else { "" };
        let text = escape(text);
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{color}\" \
             text-anchor=\"{anchor}\"{weight}>{text}</text>"
        );
    }

    /// The whole file, on white, so that it can be read on any page.
    pub fn finish(self, height: f64) -> String {
        let Self { width, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"system-ui, 'DejaVu Sans', \
             sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
        )
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::new(10.0);
        svg.text((1.0, 2.0), "a<b & \u{1b}c", PLAIN);
        let text = svg.finish(20.0);
        assert!(text.contains(">a&lt;b &amp; c</text>"), "{text}");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"), "{text}");
    }
}
