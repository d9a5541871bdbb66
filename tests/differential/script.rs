//! How a script is written.
//!
//! Steps are paragraphs, and each is sent as it is. Lines that begin with `--:` say how:
//!
//! - `--: as NAME`: another session, from here on;
//! - `--: masked`: the values of this step's rows may differ;
//! - `--: data`: this paragraph is what the COPY of the step before is given; `--: fails` is that and a failure;
//! - `--: hears NUMBER`: this session waits until it has heard as many notifications more;
//! - `--: of a block`: this step is about a transaction block before it;
//! - `--: simple`: only as a simple query (several statements at once, for instance);
//! - `--: leaves`: this session ends.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use pgsteer_testkit::Result;

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Its name without `.sql`.
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// What is particular about a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Plain,
    /// The values of its rows may differ.
    Masked,
    /// It is nothing without the transaction block before it.
    OfBlock,
}

/// One paragraph.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Where it begins.
    pub(crate) line: usize,
    /// Whose it is.
    pub(crate) session: String,
    pub(crate) what: What,
    pub(crate) manner: Manner,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Statement {
        text: String,
        copied: Option<Copied>,
    },
    /// A statement for simple queries alone.
    SimpleStatement {
        text: String,
        copied: Option<Copied>,
    },
    Hears(usize),
    Leaves,
}

/// What a COPY is given.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) data: String,
    pub(crate) fails: bool,
}

impl What {
    /// Whether it is a statement that begins with one of these; several at once are none.
    fn is_one_of(&self, beginnings: &[&str]) -> bool {
        let Self::Statement { text, .. } = self else { return false };
        beginnings.iter().any(|beginning| text.starts_with(beginning))
    }
}

impl Script {
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)?;
        let name = file.file_stem().and_then(|name| name.to_str()).context("its name")?.to_owned();
        let mut script = Self { name, steps: Vec::new() };
        let mut session = "first".to_owned();
        let mut paragraph = Vec::new();
        for (number, line) in (1..).zip(text.lines().chain([""])) {
            if !line.trim().is_empty() {
                paragraph.push(line);
            } else if !paragraph.is_empty() {
                script.add(number - paragraph.len(), &paragraph, &mut session)?;
                paragraph.clear();
            }
        }
        ensure!(!script.steps.is_empty(), "no step");
        Ok(script)
    }

    /// The same without transaction blocks, and without what is about them.
    pub(crate) fn without_blocks(&self) -> Self {
        let mut within = BTreeSet::new();
        let stays = |step: &&Step| {
            if !within.contains(&step.session) {
                let begins = step.what.is_one_of(&["BEGIN", "START TRANSACTION"]);
                if begins {
                    within.insert(step.session.clone());
                }
                return !begins && step.manner != Manner::OfBlock;
            }
            let goes_on = step.what.is_one_of(&["ROLLBACK TO", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"]);
            if !goes_on && step.what.is_one_of(&["COMMIT", "END", "ROLLBACK", "PREPARE TRANSACTION"]) {
                within.remove(&step.session);
            }
            false
        };
        Self { name: self.name.clone(), steps: self.steps.iter().filter(stays).cloned().collect() }
    }

    fn add(&mut self, line: usize, paragraph: &[&str], session: &mut String) -> Result {
        let (directives, text): (Vec<&str>, Vec<&str>) =
            paragraph.iter().partition(|line| line.starts_with("--:"));
        let text = text.join("\n");
        let (mut manner, mut simple, mut what) = (Manner::Plain, false, None);
        for directive in directives {
            let words: Vec<&str> = directive.split_whitespace().skip(1).collect();
            match words[..] {
                ["as", name] => name.clone_into(session),
                ["masked"] => manner = Manner::Masked,
                ["simple"] => simple = true,
                ["of", "a", "block"] => manner = Manner::OfBlock,
                ["data"] => return self.copied(Copied { data: text + "\n", fails: false }),
                ["fails"] => return self.copied(Copied { data: text + "\n", fails: true }),
                ["hears", number] => what = Some(What::Hears(number.parse()?)),
                ["leaves"] => what = Some(What::Leaves),
                _ => bail!("line {line}: {directive}"),
            }
        }
        // A paragraph of comments, or a mere change of sessions.
        let is_comment = text.lines().all(|line| line.starts_with("--"));
        let what = match what {
            Some(what) => what,
            None if is_comment => return Ok(()),
            None if simple => What::SimpleStatement { text, copied: None },
            None => What::Statement { text, copied: None },
        };
        self.steps.push(Step { line, session: session.clone(), what, manner });
        Ok(())
    }

    fn copied(&mut self, given: Copied) -> Result {
        match self.steps.last_mut().map(|step| &mut step.what) {
            Some(What::Statement { copied, .. } | What::SimpleStatement { copied, .. }) => {
                *copied = Some(given)
            }
            _ => bail!("data without a COPY"),
        }
        Ok(())
    }
}
