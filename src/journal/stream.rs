//! The stream of events: a JSON object a line, to a file or to stdout.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::Event;
use crate::error::{Error, Result};

/// Where events go. Each call writes whole lines, so that who reads along sees them at once.
pub struct EventStream {
    start: Instant,
    /// For messages.
    name: String,
    output: Mutex<Output>,
}

struct Output {
    writer: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    /// What could not be written, until it is told.
    failure: Option<io::Error>,
    /// After the first failure nothing more is written.
    is_broken: bool,
}

/// What stands in every line beside the event's own fields.
#[derive(Serialize)]
struct Line<'e> {
    /// Seconds since the start.
    time: f64,
    #[serde(flatten)]
    event: Event<'e>,
}

impl EventStream {
    /// To stdout for `-`, else to a file that is emptied first; a pipe or /dev/fd/3 is one too.
    pub fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::new("stdout", Box::new(io::stdout())));
        }
        let file = File::create(path).map_err(|error| Error::io("create", path, error))?;
        Ok(Self::new(&path.to_string_lossy(), Box::new(file)))
    }

    fn new(name: &str, writer: Box<dyn Write + Send>) -> Self {
        let output = Output { writer, buffer: Vec::new(), failure: None, is_broken: false };
        Self { start: Instant::now(), name: name.to_owned(), output: Mutex::new(output) }
    }

    pub(super) fn write<'e>(&self, events: impl Iterator<Item = Event<'e>>) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if output.is_broken {
            return;
        }
        output.failure = output.write(events, self.start).err();
        output.is_broken = output.failure.is_some();
    }

    /// Fails if a line could not be written; once, so that it is told once.
    pub(super) fn check(&self) -> Result<()> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        match output.failure.take() {
            None => Ok(()),
            Some(error) => Err(Error::io("write events to", &self.name, error)),
        }
    }
}

impl Output {
    fn write<'e>(
        &mut self,
        events: impl Iterator<Item = Event<'e>>,
        start: Instant,
    ) -> io::Result<()> {
        self.buffer.clear();
        for event in events {
            let line = Line { time: start.elapsed().as_secs_f64(), event };
            serde_json::to_writer(&mut self.buffer, &line)?;
            self.buffer.push(b'\n');
        }
        self.writer.write_all(&self.buffer)?;
        self.writer.flush()
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventStream").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut writes = self.0.lock().unwrap();
            if writes.len() == 2 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            writes.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn warning(message: &str) -> Event<'_> {
        Event::Warning { message }
    }

    #[test]
    fn each_call_writes_whole_lines_at_once() {
        let written = Written::default();
        let stream = EventStream::new("x", Box::new(written.clone()));
        stream.write(["a\nb", "c"].into_iter().map(warning));
        let writes = written.0.lock().unwrap();
        assert_eq!(writes.len(), 1);
        let lines: Vec<serde_json::Value> = String::from_utf8(writes[0].clone())
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, ["a\nb", "c"]);
        assert!(lines.iter().all(|line| line["event"] == "warning" && line["time"].is_f64()));
    }

    #[test]
    fn the_first_failure_is_told_in_the_end() {
        let stream = EventStream::new("x", Box::new(Written::default()));
        for message in ["a", "b", "c", "d"] {
            stream.write(std::iter::once(warning(message)));
        }
        let error = stream.check().unwrap_err();
        assert_eq!(format!("{error:?}"), "EIO: failed to write events to `x`: no storage space");
    }
}
