//! The rules of a template with one variant applied to it.
//!
//! Leaves to others which files there are; answers for a name what the rules say of it.

use super::fnmatch::Pattern;
use super::template::{AnyOf, Template};
use crate::domain::{Failure, FailureCode};

/// What a template and a variant say together.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// The template's id.
    pub(super) template: &'a str,
    /// Whether every file is taken.
    pub(super) all_files: bool,
    /// Patterns that must match.
    pub(super) required: Vec<&'a Pattern>,
    /// Patterns that may match.
    pub(super) optional: Vec<&'a Pattern>,
    /// Groups of choices.
    pub(super) groups: Vec<&'a AnyOf>,
    exclude: Vec<&'a Pattern>,
}

impl<'a> Rules<'a> {
    /// The rules of a template, with the named or the default variant.
    pub(super) fn of(template: &'a Template, variant: Option<&str>) -> Result<Self, Failure> {
        let mut rules = Self {
            template: &template.id,
            all_files: template.all_files,
            required: template.required.iter().collect(),
            optional: template.optional.iter().collect(),
            groups: template.any_of.iter().collect(),
            exclude: template.exclude.iter().collect(),
        };
        let Some(name) = variant.or(template.default_variant.as_deref()) else {
            return Ok(rules);
        };
        let Some(variant) = template.variants.get(name) else {
            let known: Vec<&str> = template.variants.keys().map(String::as_str).collect();
            let failure = Failure::new(
                FailureCode::TemplateUnknown,
                format!(
                    "template `{}` has no variant `{}`",
                    template.id,
                    name.escape_debug()
                ),
            );
            return Err(failure.with_remedy(if known.is_empty() {
                "name no variant: the template has none".to_owned()
            } else {
                format!("use one of: {}", known.join(", "))
            }));
        };
        // A variant that names files picks some of the repository, whatever its template takes.
        rules.all_files &= variant.required.is_empty() && variant.any_of.is_empty();
        rules.required.extend(&variant.required);
        rules.optional.extend(&variant.optional);
        rules.exclude.extend(&variant.exclude);
        for group in &variant.any_of {
            match rules
                .groups
                .iter_mut()
                .find(|known| known.name == group.name)
            {
                Some(known) => *known = group,
                None => rules.groups.push(group),
            }
        }
        Ok(rules)
    }

    /// The pattern that keeps a file out, if one does.
    pub(super) fn excluded_by(&self, path: &str) -> Option<&'a Pattern> {
        self.exclude
            .iter()
            .find(|pattern| pattern.matches(path))
            .copied()
    }

    /// Whether it takes whatever there is.
    pub(super) fn is_whole(&self) -> bool {
        self.all_files && self.exclude.is_empty()
    }
}
