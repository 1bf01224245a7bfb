//! `ringstall bench`: measures, fills a mirror, or serves one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::resolve;
use crate::bench::contender::Manager;
use crate::bench::matrix::Matrix;
use crate::bench::mirror::{MirrorRequest, Packuments, mirror};
use crate::bench::phase::Phase;
use crate::bench::registry::{BYTES_OF_MEGABIT, Line};
use crate::bench::serve::{ServeOptions, Server, to_json};
use crate::bench::{
    self, BenchRequest, Report, Rivals, export, floor, ground, measure, plot, table,
};
use crate::cli::{
    BenchAction, BenchArguments, FillArguments, LineArguments, PackumentsArgument, ServeArguments,
};
use crate::config::{self, Environment, Overrides, Settings};
use crate::error::{Code, Error, Result};
use crate::plan::count;
use crate::report::Reporter;

pub fn run(
    arguments: &BenchArguments,
    environment: &Environment,
    reporter: Reporter,
) -> Result<()> {
    match &arguments.action {
        None => compare(arguments, environment, reporter),
        Some(BenchAction::Mirror(arguments)) => fill(arguments, environment, reporter),
        Some(BenchAction::Serve(arguments)) => serve(arguments, reporter),
        Some(BenchAction::Measure { report, command }) => measure::measure(report, command),
        Some(BenchAction::Floor { source, target, cache }) => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            reporter.line(&to_json(&floor::make_tree(source, target, cache.as_deref(), threads)?)?)
        }
    }
}

fn compare(
    arguments: &BenchArguments,
    environment: &Environment,
    reporter: Reporter,
) -> Result<()> {
    let request = request(arguments, environment)?;
    if !request.matrix.filesystems.is_empty() && !arguments.place.is_private {
        let words = std::env::args_os().skip(1).chain(["--is-private".into()]);
        return Err(ground::become_private(&request.ringstall, words));
    }
    bench::run(&request, reporter, |report| tell(arguments, report, reporter))
}

fn tell(arguments: &BenchArguments, report: &Report, reporter: Reporter) -> Result<()> {
    let text = match &arguments.form {
        form if form.json => export::json(report),
        form if form.csv => export::csv(report),
        _ => table::markdown(report),
    };
    reporter.report(&text)?;
    if let Some(path) = &arguments.form.plot {
        std::fs::write(path, plot::picture(report))
            .map_err(|error| Error::io("write", path, error))?;
    }
    let faulty = report.runs.iter().filter(|run| run.fault.is_some()).count();
    if arguments.form.strict && faulty > 0 {
        let message = format!("{} of {} do not count", faulty, count(report.runs.len(), "run"));
        return Err(Error::new(Code::Bench, message));
    }
    Ok(())
}

fn request(arguments: &BenchArguments, environment: &Environment) -> Result<BenchRequest> {
    let BenchArguments { contest, source, place, .. } = arguments;
    let project = resolve::project_directory(&arguments.project)?;
    let settings = settings(&project, source.registry.as_deref(), environment)?;
    let path = environment.get("PATH").unwrap_or_default().to_owned();
    let mut phases: Vec<_> =
        contest.phases.iter().filter_map(|phase| Phase::parse(phase)).collect();
    phases.sort();
    phases.dedup();
    Ok(BenchRequest {
        project,
        settings,
        phases,
        rounds: usize::from(contest.rounds),
        rivals: rivals(&contest.against)?,
        others: contest.ours.iter().map(|word| other(word)).collect::<Result<_>>()?,
        matrix: Matrix::parse(&contest.matrix)?,
        has_floor: contest.floor,
        has_trace: arguments.form.plot.is_some(),
        mirror: source.registry_mirror.clone(),
        line: line(&arguments.line),
        work: place.work.clone().unwrap_or_else(std::env::temp_dir),
        keeps_work: place.keep,
        image_bytes: place.image_size << 30,
        images: place.images.clone().unwrap_or_else(|| PathBuf::from("/dev/shm")),
        ringstall: this_program()?,
        path,
    })
}

fn fill(arguments: &FillArguments, environment: &Environment, reporter: Reporter) -> Result<()> {
    let project = resolve::project_directory(&arguments.project)?;
    let packuments = match arguments.packuments {
        PackumentsArgument::Published => Packuments::Published { before: arguments.before.clone() },
        PackumentsArgument::Locked if arguments.before.is_none() && arguments.names.is_empty() => {
            Packuments::Locked
        }
        PackumentsArgument::Locked => {
            let message = "`--before` and `--names` are for `--packuments published`";
            return Err(Error::new(Code::Usage, message));
        }
    };
    let request = MirrorRequest {
        settings: settings(&project, arguments.registry.as_deref(), environment)?,
        project,
        into: arguments.into.clone(),
        packuments,
        names: arguments.names.clone(),
        has_all_platforms: arguments.all_platforms,
    };
    let mirrored = mirror(&request, reporter)?;
    for why in &mirrored.left_out {
        reporter.warn(&format!("left out an optional package: {why}"));
    }
    reporter.line(&format!("{} has {mirrored}", arguments.into.display()))
}

fn serve(arguments: &ServeArguments, reporter: Reporter) -> Result<()> {
    let Line { is_secure, latency, bytes_per_second } = line(&arguments.line);
    let known = arguments.known.iter().filter_map(|word| {
        let (name, version) = word.rsplit_once('@')?;
        Some((name.to_owned(), version.to_owned()))
    });
    let server = Server::start(&ServeOptions {
        directory: arguments.directory.clone(),
        port: arguments.port,
        is_secure,
        latency,
        bytes_per_second,
        known: known.collect(),
    })?;
    reporter.line(&to_json(&server.started)?)?;
    if arguments.controlled {
        return server.obey(io::stdin().lock(), |line| reporter.line(line));
    }
    server.wait();
    Ok(())
}

fn settings(project: &Path, registry: Option<&str>, environment: &Environment) -> Result<Settings> {
    let mut overrides = Overrides::default();
    if let Some(registry) = registry {
        overrides.set("registry", registry);
    }
    config::load(project, &overrides, environment)
}

fn line(arguments: &LineArguments) -> Line {
    Line {
        is_secure: arguments.https,
        latency: Duration::from_millis(arguments.latency),
        bytes_per_second: arguments.bandwidth.map(|megabits| megabits * BYTES_OF_MEGABIT),
    }
}

/// `bun`, or `bun=PATH`.
fn rivals(words: &[String]) -> Result<Rivals> {
    match words {
        [] => return Ok(Rivals::Found),
        [word] if word == "none" => return Ok(Rivals::Named(Vec::new())),
        _ => {}
    }
    let named = words.iter().map(|word| {
        let (name, path) = match word.split_once('=') {
            Some((name, path)) => (name, Some(PathBuf::from(path))),
            None => (word.as_str(), None),
        };
        let manager = Manager::rival(name).ok_or_else(|| {
            let message = format!("`{name}` is no rival that is known: bun, utoo, npm or pnpm");
            Error::new(Code::Usage, message)
        })?;
        Ok((manager, path))
    });
    Ok(Rivals::Named(named.collect::<Result<_>>()?))
}

/// Another build of ours.
fn other(word: &str) -> Result<(String, PathBuf)> {
    let (name, path) = word
        .split_once('=')
        .filter(|(name, path)| !name.is_empty() && !path.is_empty())
        .ok_or_else(|| Error::new(Code::Usage, format!("`{word}` is not `NAME=PATH`")))?;
    let path = PathBuf::from(path);
    let program = path.canonicalize().map_err(|error| Error::io("find", &path, error))?;
    Ok((name.to_owned(), program))
}

fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| Error::io("find", "this program", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Rivals> {
        rivals(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn rivals_are_named_or_found() {
        assert_eq!(parse(&[]).unwrap(), Rivals::Found);
        assert_eq!(parse(&["none"]).unwrap(), Rivals::Named(Vec::new()));
        let expected = [(Manager::Bun, Some(PathBuf::from("/x/bun"))), (Manager::Npm, None)];
        let found = parse(&["bun=/x/bun", "npm"]).unwrap();
        assert_eq!(found, Rivals::Named(expected.to_vec()));
        assert_eq!(parse(&["yarn"]).unwrap_err().code(), Code::Usage);
    }

    #[test]
    fn another_build_has_a_name_and_a_path() {
        assert_eq!(other("old=/").unwrap(), ("old".to_owned(), PathBuf::from("/")));
        for word in ["old", "=/", "old=", "old=/no/such/program"] {
            assert!(other(word).is_err(), "{word}");
        }
    }
}
