//! The grid of our own knobs: `io=ring,threads jobs=1,2 fs=ext4,xfs` and what it expands to.

use std::fmt::Write as _;

use crate::backend::BATCH_MAX;
use crate::error::{Code, Error, Result};

/// Values to combine, each in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    axes: Vec<Axis>,
    pub filesystems: Vec<FilesystemKind>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Axis {
    key: &'static str,
    option: &'static str,
    values: Vec<String>,
}

/// A point of the grid: its name, and the options that make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    pub label: String,
    pub options: Vec<String>,
}

/// Filesystems that are made for a bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesystemKind {
    Ext4,
    Xfs,
    Btrfs,
    Tmpfs,
}

/// A grid of more is a mistake: each point is installed several times.
const VARIANTS_MAX: usize = 256;

/// What can be varied, under which option, and what it may be.
const KNOBS: [(&str, &str, Values); 5] = [
    ("io", "--io", Values::Words(&["auto", "ring", "threads"])),
    ("net", "--net", Values::Words(&["auto", "ring", "tokio-uring", "epoll"])),
    ("jobs", "--jobs", Values::UpTo(256)),
    ("batch", "--batch", Values::UpTo(BATCH_MAX)),
    ("link", "--link-mode", Values::Words(&["auto", "hardlink", "clone", "copy"])),
];

#[derive(Clone, Copy)]
enum Values {
    Words(&'static [&'static str]),
    /// Numbers from 1.
    UpTo(u32),
}

impl Values {
    fn contain(self, value: &str) -> bool {
        match self {
            Self::Words(words) => words.contains(&value),
            Self::UpTo(most) => value.parse().is_ok_and(|number: u32| (1..=most).contains(&number)),
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Words(words) => words.join(", "),
            Self::UpTo(most) => format!("a number from 1 to {most}"),
        }
    }
}

impl FilesystemKind {
    pub const ALL: [Self; 4] = [Self::Ext4, Self::Xfs, Self::Btrfs, Self::Tmpfs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Tmpfs => "tmpfs",
        }
    }
}

impl Matrix {
    /// Reads `KEY=VALUE,VALUE` words.
    pub fn parse(words: &[String]) -> Result<Self> {
        let mut matrix = Self::default();
        for word in words {
            matrix.add(word)?;
        }
        let variants: usize = matrix.axes.iter().map(|axis| axis.values.len()).product();
        if variants > VARIANTS_MAX {
            let message = format!("the matrix has {variants} points, more than {VARIANTS_MAX}");
            return Err(Error::new(Code::Usage, message));
        }
        Ok(matrix)
    }

    fn add(&mut self, word: &str) -> Result<()> {
        let refused = |problem: String| Err(Error::new(Code::Usage, problem));
        let (key, list) = word.split_once('=').unwrap_or((word, ""));
        let values: Vec<&str> = list.split(',').filter(|value| !value.is_empty()).collect();
        if values.is_empty() {
            return refused(format!("`{word}` is not `KEY=VALUE,VALUE`"));
        }
        if let Some(twice) = values.iter().enumerate().find(|(at, one)| values[..*at].contains(one))
        {
            return refused(format!("`{word}` has `{}` twice", twice.1));
        }
        let is_known = self.axes.iter().any(|axis| axis.key == key);
        if is_known || key == "fs" && !self.filesystems.is_empty() {
            return refused(format!("`{key}` is in the matrix twice"));
        }
        if key == "fs" {
            for value in values {
                let kind = FilesystemKind::ALL.into_iter().find(|kind| kind.name() == value);
                let Some(kind) = kind else {
                    return refused(format!("no filesystem `{value}` can be made: {FILESYSTEMS}"));
                };
                self.filesystems.push(kind);
            }
            return Ok(());
        }
        let Some((key, option, allowed)) = KNOBS.iter().find(|(knob, ..)| *knob == key) else {
            return refused(format!("`{key}` is no knob: io, net, jobs, batch, link or fs"));
        };
        if let Some(bad) = values.iter().find(|value| !allowed.contain(value)) {
            return refused(format!("`{key}` cannot be `{bad}`: {}", allowed.describe()));
        }
        let values = values.into_iter().map(str::to_owned).collect();
        self.axes.push(Axis { key, option, values });
        Ok(())
    }

    /// All points, the last axis running fastest; none where nothing but filesystems varies.
    pub fn variants(&self) -> Vec<Variant> {
        if self.axes.is_empty() {
            return Vec::new();
        }
        let mut variants = vec![Variant { label: String::new(), options: Vec::new() }];
        for Axis { key, option, values } in &self.axes {
            let grown = variants.iter().flat_map(|variant| {
                values.iter().map(|value| {
                    let mut grown = variant.clone();
                    let space = if grown.label.is_empty() { "" } else { " " };
                    let _ = write!(grown.label, "{space}{key}={value}");
                    grown.options.extend([(*option).to_owned(), value.clone()]);
                    grown
                })
            });
            variants = grown.collect();
        }
        variants
    }
}

const FILESYSTEMS: &str = "ext4, xfs, btrfs or tmpfs";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Matrix> {
        Matrix::parse(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn all_values_are_combined_with_all_others() {
        let matrix = parse("io=ring,threads fs=xfs,tmpfs jobs=1,4").unwrap();
        let labels: Vec<_> = matrix.variants().into_iter().map(|one| one.label).collect();
        let expected =
            ["io=ring jobs=1", "io=ring jobs=4", "io=threads jobs=1", "io=threads jobs=4"];
        assert_eq!(labels, expected);
        let options = ["--io", "threads", "--jobs", "1"].map(str::to_owned);
        assert_eq!(matrix.variants()[2].options, options);
        assert_eq!(matrix.filesystems, [FilesystemKind::Xfs, FilesystemKind::Tmpfs]);
    }

    #[test]
    fn filesystems_alone_vary_nothing_of_ours() {
        assert_eq!(parse("fs=ext4").unwrap().variants(), []);
        assert_eq!(Matrix::parse(&[]).unwrap(), Matrix::default());
    }

    #[test]
    fn what_is_no_knob_is_refused_by_name() {
        for (words, expected) in [
            ("io", "`io` is not `KEY=VALUE,VALUE`"),
            ("io=", "`io=` is not `KEY=VALUE,VALUE`"),
            ("io=uring", "`io` cannot be `uring`: auto, ring, threads"),
            ("batch=40000", "`batch` cannot be `40000`: a number from 1 to 32768"),
            ("jobs=0", "`jobs` cannot be `0`: a number from 1 to 256"),
            ("fs=zfs", "no filesystem `zfs` can be made: ext4, xfs, btrfs or tmpfs"),
            ("color=red", "`color` is no knob: io, net, jobs, batch, link or fs"),
            ("io=ring io=threads", "`io` is in the matrix twice"),
            ("fs=xfs fs=ext4", "`fs` is in the matrix twice"),
            ("jobs=2,2", "`jobs=2,2` has `2` twice"),
        ] {
            let error = parse(words).unwrap_err();
            assert_eq!((error.code(), error.to_string().as_str()), (Code::Usage, expected));
        }
    }

    #[test]
    fn a_grid_that_is_too_large_is_refused() {
        let jobs: Vec<_> = (1..=100).map(|number: u32| number.to_string()).collect();
        let error = parse(&format!("jobs={} io=auto,ring,threads", jobs.join(","))).unwrap_err();
        assert_eq!(error.to_string(), "the matrix has 300 points, more than 256");
    }
}
