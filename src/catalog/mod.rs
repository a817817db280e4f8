//! Templates: which files of a repository a family of models needs.
//!
//! Invariant: an answer depends on its arguments and the loaded templates alone; nothing here asks the hub or
//! reads the cache (listings and index files come from the caller). Loading reads the user's template folder once.

mod complete;
mod extend;
mod fingerprint;
mod fnmatch;
mod lint;
mod load;
mod reason;
mod rules;
mod select;
mod sort;
mod split;
mod template;
#[cfg(test)]
mod tests;
mod validate;
mod variant;
mod warning;

use crate::domain::{Failure, FailureCode, Kind, RepoId, Selection};

pub(crate) use complete::Evidence;
#[cfg(feature = "testing")]
pub(crate) use fnmatch::Pattern;
pub(crate) use lint::{Finding, Severity};
pub(crate) use load::TemplateProblem;
pub(crate) use select::Selected;
pub(crate) use template::Template;
pub(crate) use warning::Warning;

/// The id of the template that takes every file.
pub(crate) const EVERYTHING: &str = "everything";

/// The templates that are known, the user's own first.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    templates: Vec<Template>,
}

impl Catalog {
    /// All templates: the user's in the order of their files, then the built-in ones.
    pub(crate) fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The template with this id.
    pub(crate) fn get(&self, id: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.id == id)
    }

    /// The template of a registration: the named one, else the one made for the repository, else the default of
    /// the kind, else `everything`.
    ///
    /// Allow patterns without a template speak about the whole repository, so they mean `everything`.
    pub(crate) fn template_for(
        &self,
        selection: &Selection,
        kind: Kind,
        repo: &RepoId,
    ) -> Result<&Template, Failure> {
        if let Some(id) = &selection.template {
            return self.get(id).ok_or_else(|| self.unknown(id));
        }
        let everything = || self.get(EVERYTHING).ok_or_else(|| self.unknown(EVERYTHING));
        if !selection.allow_patterns.is_empty() {
            return everything();
        }
        let made_for = self
            .templates
            .iter()
            .filter(|template| template.is_for(repo))
            .max_by_key(|template| {
                // `max_by_key` takes the last of equals; the first shall win.
                let first = std::cmp::Reverse(self.position(template));
                (template.names(repo), template.kind == Some(kind), first)
            });
        let of_kind = || {
            self.templates
                .iter()
                .find(|t| t.default_for.contains(&kind))
        };
        made_for.or_else(of_kind).map_or_else(everything, Ok)
    }

    fn position(&self, template: &Template) -> Option<usize> {
        self.templates.iter().position(|t| t.id == template.id)
    }

    fn unknown(&self, id: &str) -> Failure {
        let known: Vec<&str> = self.templates.iter().map(|t| t.id.as_str()).collect();
        Failure::new(
            FailureCode::TemplateUnknown,
            format!("there is no template `{}`", id.escape_debug()),
        )
        .with_remedy(format!("use one of: {}", known.join(", ")))
    }
}
