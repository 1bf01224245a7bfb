//! npm's settings of what is told: `loglevel`, `progress` and `color`.

use super::layers::Layers;
use crate::error::Result;

/// What the settings say; `None` where they say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputSettings {
    pub log_level: Option<LogLevel>,
    pub progress: Option<bool>,
    pub color: Option<Color>,
}

/// npm's levels, as far as they are told apart here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Silent,
    Error,
    /// `warn`, `notice`, `http` and `info`.
    Normal,
    /// `verbose` and `silly`.
    Verbose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    Always,
    Never,
    Terminal,
}

impl LogLevel {
    /// `None` where npm has no such level.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "silent" => Some(Self::Silent),
            "error" => Some(Self::Error),
            "warn" | "notice" | "http" | "info" => Some(Self::Normal),
            "verbose" | "silly" => Some(Self::Verbose),
            _ => None,
        }
    }
}

impl OutputSettings {
    /// A level that npm does not know it ignores with a warning (npm 11.19, `@npmcli/config`).
    pub(super) fn from_layers(layers: &Layers, warnings: &mut Vec<String>) -> Result<Self> {
        let log_level = layers.text("loglevel").and_then(|found| {
            let level = LogLevel::parse(found.value);
            if level.is_none() {
                let (value, origin) = (found.value, found.origin);
                warnings.push(format!("`{value}` in {origin} is not a level of `loglevel`"));
            }
            level
        });
        let color = match layers.text("color") {
            Some(found) if found.value == "always" => Some(Color::Always),
            _ => layers
                .flag("color")?
                .map(|is_on| if is_on { Color::Terminal } else { Color::Never }),
        };
        Ok(Self { log_level, progress: layers.flag("progress")?, color })
    }
}
