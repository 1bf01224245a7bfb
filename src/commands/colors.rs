//! Whether colours are used: by what was typed, npm's setting, and the environment, in this order.

use anstream::ColorChoice;

use crate::cli::{ColorArgument, OutputArguments};
use crate::config::{Color, Environment};

/// Sets it for the whole process.
pub fn set(arguments: &OutputArguments, setting: Option<Color>, environment: &Environment) {
    choice(arguments, setting, environment).write_global();
}

/// `Auto` leaves it to terminals and to NO_COLOR, CLICOLOR and CLICOLOR_FORCE. npm knows NO_COLOR
/// alone, and takes `0` for none; FORCE_COLOR is what the rest of node's world looks at, and node
/// lets it win over NO_COLOR.
fn choice(
    arguments: &OutputArguments,
    setting: Option<Color>,
    environment: &Environment,
) -> ColorChoice {
    match arguments.color {
        ColorArgument::Always => return ColorChoice::Always,
        ColorArgument::Never => return ColorChoice::Never,
        ColorArgument::Auto if arguments.no_color => return ColorChoice::Never,
        ColorArgument::Auto => {}
    }
    match (setting, environment.get("FORCE_COLOR")) {
        (Some(Color::Always), _) => ColorChoice::Always,
        (Some(Color::Never), _) | (_, Some("0" | "false")) => ColorChoice::Never,
        (_, Some(_)) => ColorChoice::Always,
        (Some(Color::Terminal) | None, None) => ColorChoice::Auto,
    }
}
