//! What is wrong with a configuration, said so that it can be put right: file, line, key and the fix.

use std::{error::Error, fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::mask::mask;

/// How many findings are shown at once; more would only scroll the first ones away.
const SHOWN_AT_ONCE: usize = 20;
/// How many findings are kept.
const KEPT: usize = 100;

/// A file's name and its text with the secrets hidden.
#[derive(Debug)]
pub(super) struct SourceText {
    name: String,
    masked: String,
}

impl SourceText {
    pub(super) fn new(name: &str, text: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), masked: mask(text) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Line and column of a byte offset, from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = self.masked.get(..at).unwrap_or(&self.masked);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count());
        (before.matches('\n').count() + 1, column + 1)
    }

    /// The range moved onto character boundaries, so that no excerpt can be cut within a character, and without
    /// blanks at its end, so that a hidden secret's length does not show.
    fn clamp(&self, range: &Range<usize>) -> Range<usize> {
        let floor =
            |i: usize| (0..=i.min(self.masked.len())).rev().find(|i| self.masked.is_char_boundary(*i));
        let start = floor(range.start).unwrap_or(0);
        let end = floor(range.end).unwrap_or(start).max(start);
        let shown = self.masked.get(start..end).map_or(0, |text| text.trim_end().len());
        start..start + shown
    }
}

/// Where something was found.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a text that may be shown.
    Excerpt { source: Arc<SourceText>, at: Range<usize> },
    /// In a file whose text may not be shown, or that has none.
    File { name: String, line: Option<usize> },
}

/// One thing that is wrong, or odd.
#[derive(Clone, Debug)]
pub struct Finding {
    severity: Severity,
    place: Place,
    what: String,
    label: String,
    help: String,
}

/// Whether a finding stops the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It is allowed, but probably not meant.
    Warning,
}

impl Finding {
    pub(super) fn error(place: Place, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place,
            what: what.into(),
            label: String::new(),
            help: String::new(),
        }
    }

    pub(super) fn warning(place: Place, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, what) }
    }

    /// What stands under the marked text of the excerpt.
    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// What to do about it; empty: nothing to say.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// Whether it stops the configuration from being used.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// The sentence alone, without place or advice.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// With an excerpt of the file, the marked place and the advice: several lines, without colours.
    pub fn render(&self) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&*self.what));
        match &self.place {
            Place::Excerpt { source, at } => {
                let label = (!self.label.is_empty()).then_some(&*self.label);
                let mark = AnnotationKind::Primary.span(source.clamp(at)).label(label);
                group = group.element(Snippet::source(&*source.masked).path(&*source.name).annotation(mark));
            }
            Place::File { name, line } => {
                let origin = Origin::path(&**name);
                group = group.element(line.map_or(origin.clone(), |line| origin.line(line)));
            }
        }
        if !self.help.is_empty() {
            group = group.element(Level::HELP.message(&*self.help));
        }
        let rendered = Renderer::plain().render(&[group]);
        rendered.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    fn order(&self) -> (bool, usize) {
        match &self.place {
            Place::Excerpt { at, .. } => (false, at.start),
            Place::File { line, .. } => (true, line.unwrap_or(0)),
        }
    }
}

impl fmt::Display for Finding {
    /// On one line, for a log: `pgsteer.toml:12:1: unknown key … (did you mean …)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Excerpt { source, at } => {
                let (line, column) = source.position(at.start);
                write!(f, "{}:{line}:{column}: {}", source.name, self.what)?;
            }
            Place::File { name, line: Some(line) } => write!(f, "{name}:{line}: {}", self.what)?,
            Place::File { name, line: None } => write!(f, "{name}: {}", self.what)?,
        }
        if !self.label.is_empty() {
            write!(f, " ({})", self.label)?;
        }
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

/// Why a configuration cannot be used: everything that was found, in the order of the file.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// At most [`KEPT`].
    findings: Vec<Finding>,
    total: usize,
}

impl Invalid {
    /// The errors among the findings, if there are any.
    pub(super) fn among(findings: &[Finding]) -> Option<Self> {
        let mut findings: Vec<_> =
            findings.iter().filter(|f| f.severity == Severity::Error).cloned().collect();
        findings.sort_by_key(Finding::order);
        let total = findings.len();
        findings.truncate(KEPT);
        (total > 0).then_some(Self { findings, total })
    }

    /// What was found; the first hundred.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl From<Finding> for Invalid {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding], total: 1 }
    }
}

impl fmt::Display for Invalid {
    /// Every finding with its excerpt, then their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.findings.iter().take(SHOWN_AT_ONCE) {
            writeln!(f, "{}\n", finding.render())?;
        }
        match self.total {
            1 => f.write_str("1 error in the configuration"),
            n if n > SHOWN_AT_ONCE => write!(f, "{n} errors in the configuration, {SHOWN_AT_ONCE} shown"),
            n => write!(f, "{n} errors in the configuration"),
        }
    }
}

impl Error for Invalid {}
