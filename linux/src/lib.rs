//! What ringstall asks of Linux beyond the standard library. It knows nothing of npm.
