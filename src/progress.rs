//! The progress bar, on terminals only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::fetch::Progress;
use crate::report::Reporter;

/// Fast enough to look alive, and ten context switches a second.
const TICK: Duration = Duration::from_millis(100);

/// Runs `work`, and shows how far the downloads are meanwhile.
pub fn show_progress<T>(
    reporter: Reporter,
    downloads: usize,
    progress: &Progress,
    work: impl FnOnce() -> T,
) -> T {
    if downloads == 0 || !reporter.has_progress() {
        return work();
    }
    let bar = ProgressBar::with_draw_target(Some(downloads as u64), ProgressDrawTarget::stderr());
    let template = "{bar:30} {pos}/{len} packages, {prefix} {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let ticker = scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                bar.set_position(progress.done_count() as u64);
                bar.set_prefix(indicatif::HumanBytes(progress.bytes_received()).to_string());
                bar.set_message(
                    progress
                        .oldest()
                        .map_or_else(String::new, |name| format!("waiting for {name}")),
                );
                thread::park_timeout(TICK);
            }
            bar.finish_and_clear();
        });
        let result = work();
        is_done.store(true, Ordering::Release);
        ticker.thread().unpark();
        result
    })
}
