//! The progress bar, on terminals only.

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::journal::{Awaited, Board};

/// Shown while there are downloads to wait for.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    is_shown: bool,
}

impl Bar {
    pub fn hidden() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let template = "{bar:30} {pos}/{len} packages, {prefix} {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, is_shown: false }
    }

    /// Shows how far the downloads are.
    pub fn draw(&mut self, board: &Board) {
        let (done, wanted) = board.downloads();
        if done >= wanted {
            self.clear();
            return;
        }
        if !self.is_shown {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.is_shown = true;
        }
        self.bar.set_length(wanted as u64);
        self.bar.set_position(done as u64);
        self.bar.set_prefix(HumanBytes(board.traffic().bytes_received()).to_string());
        let waiting = match board.oldest() {
            Some((Awaited::Download(download), _)) => {
                format!("waiting for {}", download.name_version)
            }
            Some(_) | None => String::new(),
        };
        self.bar.set_message(waiting);
    }

    /// Takes it off the screen, so that something else can be written.
    pub fn clear(&mut self) {
        if self.is_shown {
            self.bar.finish_and_clear();
            self.bar.set_draw_target(ProgressDrawTarget::hidden());
            self.bar.reset();
            self.is_shown = false;
        }
    }
}
