//! The rules of a template with one variant applied to it.
//!
//! Leaves to others which files there are; answers for a name what the rules say of it.

use super::fnmatch::Pattern;
use super::template::{AnyOf, SizeRange, Template};
use super::variant::{FreeVariant, Variant};
use super::warning::is_code;
use crate::domain::{Failure, FailureCode};

/// What a template and a variant say together.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// The template.
    pub(super) template: &'a Template,
    /// The variant that was asked for, or the default one.
    pub(super) variant: Option<String>,
    /// Whether every file is taken.
    pub(super) all_files: bool,
    /// Patterns that must match.
    pub(super) required: Vec<Pattern>,
    /// Patterns that may match.
    pub(super) optional: Vec<Pattern>,
    /// Groups of choices.
    pub(super) groups: Vec<AnyOf>,
    /// Patterns of what is never taken.
    pub(super) exclude: Vec<Pattern>,
    /// Whether code is declared.
    pub(super) custom_code: bool,
    /// Whether pickles are declared.
    pub(super) pickle: bool,
    /// The usual size.
    pub(super) size: Option<SizeRange>,
    /// Sentences for people.
    pub(super) notes: Vec<String>,
}

impl<'a> Rules<'a> {
    /// The rules of a template, with the named or the default variant.
    pub(super) fn of(template: &'a Template, variant: Option<&str>) -> Result<Self, Failure> {
        let name = variant.or(template.default_variant.as_deref());
        let mut rules = Self {
            template,
            variant: name.map(ToOwned::to_owned),
            all_files: template.all_files,
            required: template.required.clone(),
            optional: template.optional.clone(),
            groups: template.any_of.clone(),
            exclude: template.exclude.clone(),
            custom_code: template.custom_code,
            pickle: template.pickle,
            size: template.size,
            notes: template.notes.clone(),
        };
        match (&template.free_variant, name) {
            (Some(free), Some(word)) => rules.fill(free, word)?,
            (Some(free), None) => return Err(unnamed(template, &free.what, &free.examples)),
            (None, Some(name)) => {
                let variant = template
                    .variants
                    .get(name)
                    .ok_or_else(|| unknown(template, name))?;
                rules.add(variant);
            }
            (None, None) if !rules.fetches() => {
                let known: Vec<String> = template.variants.keys().cloned().collect();
                return Err(unnamed(template, "one of its variants", &known));
            }
            (None, None) => {}
        }
        Ok(rules)
    }

    fn fetches(&self) -> bool {
        self.all_files || !self.required.is_empty() || self.groups.iter().any(|g| !g.optional)
    }

    fn add(&mut self, variant: &Variant) {
        // A variant that names files picks some of the repository, whatever its template takes.
        self.all_files &= !variant.fetches();
        self.required.extend_from_slice(&variant.required);
        self.optional.extend_from_slice(&variant.optional);
        self.exclude.extend_from_slice(&variant.exclude);
        for group in &variant.any_of {
            match self
                .groups
                .iter_mut()
                .find(|known| known.name == group.name)
            {
                Some(known) => *known = group.clone(),
                None => self.groups.push(group.clone()),
            }
        }
        self.custom_code |= variant.custom_code;
        self.pickle |= variant.pickle;
        self.size = variant.size.or(self.size);
        self.notes.extend_from_slice(&variant.notes);
    }

    fn fill(&mut self, free: &FreeVariant, word: &str) -> Result<(), Failure> {
        let Some(word) = FreeVariant::parse(word) else {
            let failure = Failure::new(
                FailureCode::TemplateUnknown,
                format!(
                    "template `{}` takes {} as its variant, and `{}` is none",
                    self.template.id,
                    free.what,
                    word.chars()
                        .take(100)
                        .flat_map(char::escape_debug)
                        .collect::<String>(),
                ),
            );
            return Err(failure.with_remedy("name a part of a path in the repository"));
        };
        for list in [&mut self.required, &mut self.optional, &mut self.exclude] {
            for pattern in list {
                *pattern = free.fill(pattern, &word);
            }
        }
        for group in &mut self.groups {
            *group = free.fill_group(group, &word);
        }
        self.variant = Some(word);
        Ok(())
    }

    /// The pattern that keeps a file out, if one does.
    pub(super) fn excluded_by(&self, path: &str) -> Option<&Pattern> {
        self.exclude.iter().find(|pattern| pattern.matches(path))
    }

    /// Whether the rules alone, without a listing, cannot say which files there must be.
    pub(super) fn are_open_ended(&self) -> bool {
        let open = |pattern: &Pattern| {
            let text = pattern.as_str();
            // Files of program code need each other; some of them prove nothing.
            pattern.literal().is_none() && (text.ends_with(['*', '/']) || is_code(text))
        };
        self.required.iter().any(open) || self.groups.iter().any(|group| group.per_folder)
    }
}

fn unknown(template: &Template, name: &str) -> Failure {
    let known: Vec<&str> = template.variants.keys().map(String::as_str).collect();
    let failure = Failure::new(
        FailureCode::TemplateUnknown,
        format!(
            "template `{}` has no variant `{}`",
            template.id,
            name.chars()
                .take(100)
                .flat_map(char::escape_debug)
                .collect::<String>(),
        ),
    );
    failure.with_remedy(if known.is_empty() {
        "name no variant: the template has none".to_owned()
    } else {
        format!("use one of: {}", known.join(", "))
    })
}

fn unnamed(template: &Template, what: &str, known: &[String]) -> Failure {
    Failure::new(
        FailureCode::TemplateUnknown,
        format!("template `{}` needs a variant: {what}", template.id),
    )
    .with_remedy(format!("name one, for example: {}", known.join(", ")))
}
