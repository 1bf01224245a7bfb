//! The report of a bench as Markdown: what it ran on, tables of medians with their spread, ratios
//! of pairs, the noise, and every run that does not count.

use std::fmt::Write as _;

use super::Report;
use super::contender::{Contender, Manager};
use super::figure::{Figure, Figures, Run, Spread, paired_ratios};
use super::phase::Phase;

type Value = fn(&Figures) -> Option<f64>;

/// One row: a contender in one phase on one filesystem.
struct Row<'r> {
    contender: &'r Contender,
    phase: Phase,
    filesystem: Option<&'static str>,
    /// Those that count.
    runs: Vec<&'r Run>,
}

/// A column: its head, and its text for a row.
type Column = (&'static str, fn(&Row<'_>) -> Option<String>);

const USED: [Column; 7] = [
    ("runs", |row| Some(row.runs.len().to_string())),
    ("wall s", |row| Some(with_spread(row.spread(|run| run.get(Figure::Wall))?, 2))),
    ("user s", |row| Some(fixed(row.median(Figure::User)?, 2))),
    ("sys s", |row| Some(fixed(row.median(Figure::System)?, 2))),
    ("peak RSS MiB", |row| Some(mebibytes(row.median(Figure::PeakResidentBytes)?))),
    ("minor faults", |row| Some(whole(row.median(Figure::MinorFaults)?))),
    ("switches vol / invol", |row| {
        let voluntary = whole(row.median(Figure::VoluntarySwitches)?);
        Some(format!("{voluntary} / {}", whole(row.median(Figure::InvoluntarySwitches)?)))
    }),
];

const MOVED: [Column; 8] = [
    ("requests", |row| Some(whole(row.median(Figure::Requests)?))),
    ("received MiB", |row| Some(mebibytes(row.median(Figure::BytesReceived)?))),
    ("sent KiB", |row| Some(kibibytes(row.median(Figure::BytesSent)?))),
    ("cache MiB", |row| Some(mebibytes(row.median(Figure::CacheBytes)?))),
    ("node_modules MiB", |row| Some(mebibytes(row.median(Figure::TreeBytes)?))),
    ("lock KiB", |row| Some(kibibytes(row.median(Figure::LockBytes)?))),
    ("files", |row| Some(whole(row.median(Figure::Files)?))),
    ("registry's processor s", |row| Some(fixed(row.median(Figure::RegistrySeconds)?, 2))),
];

const RINGS: [Column; 5] = [
    ("submissions", |row| Some(whole(row.median(Figure::Submissions)?))),
    ("enters", |row| Some(whole(row.median(Figure::Enters)?))),
    ("mean batch", |row| Some(fixed(row.median(Figure::MeanBatch)?, 1))),
    ("largest batch", |row| Some(whole(row.median(Figure::LargestBatch)?))),
    ("kernel workers", |row| Some(whole(row.median(Figure::KernelWorkers)?))),
];

pub fn markdown(report: &Report) -> String {
    let rows = rows(report);
    let mut text = header(report);
    table(&mut text, report, &rows, &USED);
    text.push_str("\nTraffic, as the registry counts it, and sizes on the disk:\n\n");
    table(&mut text, report, &rows, &MOVED);
    let with_rings: Vec<_> = rows
        .iter()
        .filter(|row| row.median(Figure::Submissions).is_some_and(|number| number > 0.0))
        .collect();
    if !with_rings.is_empty() {
        text.push_str("\nio_uring:\n\n");
        table(&mut text, report, with_rings, &RINGS);
    }
    ratios(&mut text, report, &rows);
    noise(&mut text, report, &rows);
    for run in report.runs.iter().filter(|run| run.fault.is_some()) {
        let Run { contender, phase, round, .. } = run;
        let place = run.filesystem.map(|kind| format!(" on {kind}")).unwrap_or_default();
        let fault = run.fault.as_deref().unwrap_or_default();
        let _ =
            writeln!(text, "\nNot counted: {phase}, round {round}, {contender}{place}: {fault}");
    }
    text
}

fn header(report: &Report) -> String {
    let Report { surroundings, rounds, .. } = report;
    let mut text = format!("{surroundings}, {rounds} round{}\n\n", plural(*rounds));
    for contender in &report.contenders {
        let Contender { label, version, .. } = contender;
        let call = report.call(contender);
        let _ = match contender.manager {
            Manager::Floor => {
                writeln!(text, "- {label}: the folders, links and (p3) bytes alone, by plain calls")
            }
            _ => writeln!(text, "- {label}, version {version}: `{call}`"),
        };
    }
    text.push('\n');
    text
}

fn rows(report: &Report) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let filesystems = match report.filesystems.as_slice() {
        [] => vec![None],
        some => some.iter().map(|kind| Some(*kind)).collect(),
    };
    for filesystem in filesystems {
        for phase in report.phases.iter().copied() {
            for contender in &report.contenders {
                let is_row = |run: &&Run| {
                    run.contender == contender.label
                        && run.phase == phase
                        && run.filesystem == filesystem
                };
                if report.runs.iter().any(|run| is_row(&run)) {
                    let counts = |run: &&Run| is_row(run) && run.fault.is_none();
                    let runs = report.runs.iter().filter(counts).collect();
                    rows.push(Row { contender, phase, filesystem, runs });
                }
            }
        }
    }
    rows
}

fn table<'r>(
    text: &mut String,
    report: &Report,
    rows: impl IntoIterator<Item = &'r Row<'r>>,
    columns: &[Column],
) {
    let heads: Vec<_> = columns.iter().map(|(head, _)| *head).collect();
    head(text, report, heads.into_iter());
    for row in rows {
        let cells = columns.iter().map(|(_, cell)| cell(row).unwrap_or_else(|| "-".to_owned()));
        line(text, row.names(report).into_iter().chain(cells));
    }
}

fn head<'h>(text: &mut String, report: &Report, heads: impl Iterator<Item = &'h str>) {
    let mut names = vec!["contender", "phase"];
    if !report.filesystems.is_empty() {
        names.push("filesystem");
    }
    names.extend(heads);
    line(text, names.iter().map(|name| (*name).to_owned()));
    line(text, names.iter().map(|_| "---".to_owned()));
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<_> = cells.collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// How each compares with all others, and with plain calls.
fn ratios(text: &mut String, report: &Report, rows: &[Row<'_>]) {
    let has_row = |label: &&String| rows.iter().any(|row| row.contender.label == **label);
    let references: Vec<_> = report.references().filter(has_row).collect();
    let is_ours = |row: &Row<'_>| row.contender.manager == Manager::Ringstall;
    if references.is_empty() || !rows.iter().any(is_ours) {
        return;
    }
    text.push_str("\nRatios of runs in the same round:\n\n");
    let heads: Vec<_> = references
        .iter()
        .flat_map(|label| [format!("wall / {label}"), format!("switches / {label}")])
        .collect();
    head(text, report, heads.iter().map(String::as_str));
    let has_other = |row: &&Row<'_>| references.iter().any(|label| row.contender.label != **label);
    for row in rows.iter().filter(has_other) {
        let cells = references.iter().flat_map(|label| {
            let is_other =
                |other: &&Row<'_>| other.contender.label == **label && row.is_beside(other);
            let other = rows.iter().find(is_other).filter(|_| row.contender.label != **label);
            let ratio = |value: Value, digits| {
                let ratios = paired_ratios(&row.runs, &other?.runs, value);
                Some(with_spread(Spread::of(ratios)?, digits))
            };
            let wall = ratio(|run| run.get(Figure::Wall), 2);
            [wall, ratio(Figures::switches, 3)].map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
        });
        line(text, row.names(report).into_iter().chain(cells));
    }
}

/// How much of all this is noise: the same program twice.
fn noise(text: &mut String, report: &Report, rows: &[Row<'_>]) {
    let Some((first, second)) = report.twins() else { return };
    let _ = writeln!(text, "\nNoise, the same program twice (`{second}` / `{first}`):\n");
    for row in rows.iter().filter(|row| row.contender.label == second) {
        let is_twin = |other: &&Row<'_>| other.contender.label == first && row.is_beside(other);
        let Some(twin) = rows.iter().find(is_twin) else { continue };
        let ratio = |value: Value| {
            let ratios = paired_ratios(&row.runs, &twin.runs, value);
            Spread::of(ratios).map_or("-".to_owned(), |spread| with_spread(spread, 2))
        };
        let place = row.filesystem.map(|kind| format!(" on {kind}")).unwrap_or_default();
        let (wall, switches) = (ratio(|run| run.get(Figure::Wall)), ratio(Figures::switches));
        let _ = writeln!(text, "- {}{place}: wall {wall}, switches {switches}", row.phase);
    }
}

impl Row<'_> {
    fn spread(&self, value: impl Fn(&Figures) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(|run| value(&run.figures)))
    }

    fn median(&self, figure: Figure) -> Option<f64> {
        self.spread(|figures| figures.get(figure)).map(|spread| spread.median)
    }

    fn is_beside(&self, other: &Self) -> bool {
        self.phase == other.phase && self.filesystem == other.filesystem
    }

    fn names(&self, report: &Report) -> Vec<String> {
        let mut names = vec![self.contender.label.clone(), self.phase.to_string()];
        if !report.filesystems.is_empty() {
            names.push(self.filesystem.unwrap_or("-").to_owned());
        }
        names
    }
}

fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}

fn fixed(value: f64, digits: usize) -> String {
    format!("{value:.digits$}")
}

fn with_spread(spread: Spread, digits: usize) -> String {
    let Spread { median, least, most } = spread;
    if least.total_cmp(&most).is_eq() {
        return fixed(median, digits);
    }
    format!("{median:.digits$} ({least:.digits$}-{most:.digits$})")
}

fn mebibytes(bytes: f64) -> String {
    let mebibytes = bytes / f64::from(1 << 20);
    if mebibytes < 10.0 { fixed(mebibytes, 2) } else { whole(mebibytes) }
}

fn kibibytes(bytes: f64) -> String {
    whole(bytes / 1024.0)
}

/// `12,345`.
fn whole(value: f64) -> String {
    let digits = fixed(value, 0);
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn contender(label: &str, manager: Manager) -> Contender {
        let version = "1.2.3".to_owned();
        let (label, program) = (label.to_owned(), PathBuf::from("/x/ours"));
        Contender { label, manager, program, options: Vec::new(), version }
    }

    fn run(contender: &str, round: usize, wall: f64, fault: Option<&str>) -> Run {
        let mut figures = Figures::default();
        figures.set(Figure::Wall, wall);
        figures.set_count(Figure::PeakResidentBytes, 40 << 20);
        figures.set_count(Figure::VoluntarySwitches, 1000);
        figures.set_count(Figure::InvoluntarySwitches, 234);
        figures.set_count(Figure::Files, 1_234_567);
        let (contender, fault) = (contender.to_owned(), fault.map(str::to_owned));
        Run { contender, phase: Phase::Warm, filesystem: None, round, figures, fault }
    }

    fn report() -> Report {
        Report {
            surroundings: "kernel x".to_owned(),
            contenders: vec![
                contender("ringstall", Manager::Ringstall),
                contender("ringstall again", Manager::Ringstall),
                contender("bun", Manager::Bun),
            ],
            phases: vec![Phase::Warm],
            filesystems: Vec::new(),
            rounds: 2,
            runs: vec![
                run("ringstall", 0, 1.0, None),
                run("ringstall again", 0, 1.1, None),
                run("bun", 0, 2.0, None),
                run("bun", 1, 5.0, Some("answered 404: x")),
                run("ringstall again", 1, 3.0, None),
                run("ringstall", 1, 3.0, None),
            ],
            trace: None,
        }
    }

    #[test]
    fn the_tables_say_medians_ratios_noise_and_what_does_not_count() {
        insta::assert_snapshot!(markdown(&report()));
    }

    #[test]
    fn a_filesystem_has_a_column_where_there_are_several() {
        let mut report = report();
        report.filesystems = vec!["ext4", "xfs"];
        report.runs = vec![run("bun", 0, 2.0, None), run("bun", 0, 3.0, None)];
        report.runs[0].filesystem = Some("xfs");
        report.runs[1].filesystem = Some("ext4");
        let text = markdown(&report);
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| bun")).collect();
        assert!(rows[0].starts_with("| bun | p4 | ext4 | 1 | 3.00"), "{text}");
        assert!(rows[1].starts_with("| bun | p4 | xfs | 1 | 2.00"), "{text}");
    }

    #[test]
    fn a_ring_has_a_table_of_its_own() {
        let mut report = report();
        assert!(!markdown(&report).contains("io_uring"));
        report.runs[0].figures.set_count(Figure::Submissions, 12_000);
        let text = markdown(&report);
        assert!(text.contains("| ringstall | p4 | 12,000 | - | - | - | - |"), "{text}");
    }

    #[test]
    fn large_numbers_have_commas() {
        let found = [0.0, 999.0, 1000.0, 1_234_567.0].map(whole);
        assert_eq!(found, ["0", "999", "1,000", "1,234,567"]);
    }
}
