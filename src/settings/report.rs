//! The problems of a config file, shown with their lines.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Problem;

/// Everything that is wrong with one file; `Display` shows each with file, line, column and a suggestion.
#[derive(Debug)]
pub struct Problems {
    name: String,
    source: String,
    problems: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(name: &str, source: &str, problems: Vec<Problem>) -> Self {
        Problems { name: name.to_owned(), source: source.to_owned(), problems }
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Where `problem` is, as `file:line:column`, both counted from 1 and the column in characters.
    pub fn place(&self, problem: &Problem) -> String {
        let before = self.source.get(..problem.place.start).unwrap_or(&self.source);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.name)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = Renderer::plain();
        for problem in &self.problems {
            let end = self.source.len();
            let place = problem.place.start.min(end)..problem.place.end.min(end);
            let snippet = Snippet::source(self.source.as_str())
                .path(self.name.as_str())
                .annotation(AnnotationKind::Primary.span(place));
            let mut group = Level::ERROR.primary_title(problem.what.as_str()).element(snippet);
            if let Some(help) = &problem.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            writeln!(f, "{}\n", renderer.render(&[group]))?;
        }
        let count = self.problems.len();
        write!(f, "{}: {count} problem{}", self.name, if count == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Problems {}
