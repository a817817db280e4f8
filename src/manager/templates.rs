//! Templates: which there are, and how one fits a repository.

use serde::Serialize;

use super::{ManagerError, Result, UnifiedModelDownloadManager};
use crate::catalog::{Catalog, Finding, Template, TemplateProblem};
use crate::domain::{CommitHash, Failure, FailureCode, Kind, RepoId, Revision};

/// A template in short.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TemplateSummary {
    /// The name under which registrations ask for it.
    pub id: String,
    /// The family, when it fits only one.
    pub kind: Option<Kind>,
    /// A sentence for people.
    pub description: String,
    /// The repositories that it was made for: ids or patterns.
    pub repos: Vec<String>,
    /// The names of its variants.
    pub variants: Vec<String>,
    /// The variant of registrations that name none.
    pub default_variant: Option<String>,
    /// The licence of the models.
    pub license: Option<String>,
    /// Whether program code is part of it.
    pub custom_code: bool,
    /// Whether its weights may be pickled.
    pub pickle: bool,
    /// Whether it came with modelhaul.
    pub builtin: bool,
}

/// How a template fits a repository.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TemplateCheck {
    pub(crate) template: String,
    pub(crate) repo_id: RepoId,
    pub(crate) revision: Revision,
    pub(crate) commit: CommitHash,
    /// Files of the commit.
    pub(crate) files: u64,
    pub(crate) findings: Vec<Finding>,
}

impl UnifiedModelDownloadManager {
    /// All templates, the user's own first.
    pub fn templates(&self) -> Vec<TemplateSummary> {
        let catalog = &self.context.catalog;
        catalog.templates().iter().map(summary).collect()
    }

    /// One template with all that it says.
    pub(crate) fn template(&self, id: &str) -> Result<&Template> {
        self.context.catalog.get(id).ok_or_else(|| {
            Failure::new(
                FailureCode::TemplateUnknown,
                format!("there is no template `{}`", id.escape_debug()),
            )
            .with_remedy("`modelhaul templates ls` or GET /api/v1/templates lists them")
            .into()
        })
    }

    /// What is wrong with files of the user's template folder.
    pub(crate) fn template_problems(&self) -> &[TemplateProblem] {
        &self.template_problems
    }

    /// Compares a template with the listing of a repository: one question about the revision, one listing.
    pub(crate) async fn check_template(
        &self,
        id: &str,
        source: Option<(RepoId, Revision)>,
    ) -> Result<TemplateCheck> {
        let template = self.template(id)?;
        let (repo_id, revision) = match source {
            Some(source) => source,
            None => known_source(template).map_err(|reason| ManagerError::Invalid {
                field: "repo_id",
                reason,
            })?,
        };
        let hub = &self.context.hub;
        let info = hub
            .resolve_revision(&repo_id, &revision)
            .await
            .map_err(|error| error.failure())?;
        let tree = hub
            .tree(&repo_id, &info.commit)
            .await
            .map_err(|error| error.failure())?;
        let (template, files) = (template.clone(), tree.len() as u64);
        let (template, findings) = crate::queue::blocking(move || {
            let findings = Catalog::lint(&template, &tree);
            (template, findings)
        })
        .await?;
        Ok(TemplateCheck {
            template: template.id,
            repo_id,
            revision,
            commit: info.commit,
            files,
            findings,
        })
    }
}

/// The one repository that a template's id stands for, or a sentence that says why there is none.
pub(crate) fn known_source(template: &Template) -> std::result::Result<(RepoId, Revision), String> {
    let known: Vec<RepoId> = template
        .repos
        .iter()
        .filter_map(|repo| repo.parse().ok())
        .collect();
    match known.as_slice() {
        [repo] => {
            let revision = template.revision.clone().unwrap_or_else(Revision::main);
            Ok((repo.clone(), revision))
        }
        [] => Err(format!(
            "template `{}` is for no repository in particular: name one",
            template.id
        )),
        several => {
            let names: Vec<&str> = several.iter().map(RepoId::as_str).collect();
            Err(format!(
                "template `{}` is for several repositories: name one of {}",
                template.id,
                names.join(", ")
            ))
        }
    }
}

fn summary(template: &Template) -> TemplateSummary {
    TemplateSummary {
        id: template.id.clone(),
        kind: template.kind,
        description: template.description.clone(),
        repos: template.repos.clone(),
        variants: template.variants.keys().cloned().collect(),
        default_variant: template.default_variant.clone(),
        license: template.license.clone(),
        custom_code: template.custom_code,
        pickle: template.pickle,
        builtin: template.builtin,
    }
}
