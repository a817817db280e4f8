//! `extends`: a template that adds to another one.
//!
//! Invariant: lists of patterns only grow, a group or variant of the same name takes the place of the old one, a
//! warning flag once set stays set, and what belongs to a repository comes along only with the repositories.

use super::template::Template;
use super::validate::Broken;

/// A draft that cannot be used: its place among the drafts, and why.
pub(super) type Refused = (usize, Broken);

/// Resolves drafts, in their order; what they do not define themselves is looked up in `base`.
pub(super) fn resolve(drafts: &[Template], base: &[Template]) -> (Vec<Template>, Vec<Refused>) {
    let mut done: Vec<Option<Template>> = vec![None; drafts.len()];
    let mut refused: Vec<Refused> = Vec::new();
    let mut pending: Vec<usize> = (0..drafts.len()).collect();
    while !pending.is_empty() {
        let before = pending.len();
        let ids: Vec<&str> = pending.iter().map(|at| drafts[*at].id.as_str()).collect();
        let mut later = Vec::new();
        for at in pending.clone() {
            let draft = &drafts[at];
            let waits_for = draft
                .extends
                .as_deref()
                .filter(|parent| *parent != draft.id);
            if waits_for.is_some_and(|parent| ids.contains(&parent)) {
                later.push(at);
                continue;
            }
            let known = done.iter().flatten().chain(base);
            match finish(draft, known, base) {
                Ok(template) => done[at] = Some(template),
                Err(fault) => refused.push((at, fault)),
            }
        }
        if later.len() == before {
            refused.extend(later.drain(..).map(|at| {
                let message = "it extends itself through other templates".to_owned();
                (
                    at,
                    Broken {
                        key: "extends",
                        message,
                    },
                )
            }));
        }
        pending = later;
    }
    refused.sort_by_key(|(at, _)| *at);
    (done.into_iter().flatten().collect(), refused)
}

fn finish<'t>(
    draft: &Template,
    mut known: impl Iterator<Item = &'t Template>,
    base: &[Template],
) -> Result<Template, Broken> {
    let template = match draft.extends.as_deref() {
        None => draft.clone(),
        Some(id) => {
            let parent = if id == draft.id {
                base.iter().find(|t| t.id == id)
            } else {
                known.find(|t| t.id == id)
            };
            let parent = parent.ok_or_else(|| Broken {
                key: "extends",
                message: format!("there is no usable template `{}`", id.escape_debug()),
            })?;
            draft.clone().over(parent)
        }
    };
    template.validate()?;
    Ok(template)
}

impl Template {
    /// This template with what it leaves open filled in from `parent`.
    fn over(mut self, parent: &Self) -> Self {
        if self.description.trim().is_empty() {
            self.description.clone_from(&parent.description);
        }
        if self.repos.is_empty() {
            self.repos.clone_from(&parent.repos);
            self.revision = self.revision.or_else(|| parent.revision.clone());
            self.size = self.size.or(parent.size);
            join(&parent.notes, &mut self.notes);
            join(&parent.sources, &mut self.sources);
        }
        if self.id == parent.id && self.default_for.is_empty() {
            self.default_for.clone_from(&parent.default_for);
        }
        self.kind = self.kind.or(parent.kind);
        self.license = self.license.or_else(|| parent.license.clone());
        self.custom_code |= parent.custom_code;
        self.pickle |= parent.pickle;
        self.all_files |= parent.all_files;
        join(&parent.required, &mut self.required);
        join(&parent.optional, &mut self.optional);
        join(&parent.exclude, &mut self.exclude);
        let mut groups = parent.any_of.clone();
        for group in self.any_of {
            match groups.iter_mut().find(|known| known.name == group.name) {
                Some(known) => *known = group,
                None => groups.push(group),
            }
        }
        self.any_of = groups;
        for (name, variant) in &parent.variants {
            self.variants
                .entry(name.clone())
                .or_insert_with(|| variant.clone());
        }
        self.default_variant = self
            .default_variant
            .or_else(|| parent.default_variant.clone());
        self.free_variant = self.free_variant.or_else(|| parent.free_variant.clone());
        self
    }
}

/// Puts what a parent says before what is said already, each once.
fn join<T: Clone + PartialEq>(parent: &[T], own: &mut Vec<T>) {
    let mut joined = parent.to_vec();
    joined.extend(own.drain(..).filter(|item| !parent.contains(item)));
    *own = joined;
}
