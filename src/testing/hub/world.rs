//! Everything the hub knows: repositories, their old names, valid tokens, and the objects behind signed links.
//!
//! Who may read what is decided here, in the hub's own words and codes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::answer::Answer;
use super::content::Content;
use super::repo::{Commit, FileSpec, Gate, Repo, RepoSpec};

/// The hub's knowledge.
#[derive(Debug, Default)]
pub(super) struct World {
    repos: BTreeMap<String, Repo>,
    renames: BTreeMap<String, String>,
    pub(super) tokens: BTreeSet<String>,
    /// By path at the CDN: `repository/file` and the bytes.
    pub(super) objects: HashMap<String, (String, Content)>,
}

impl World {
    /// Adds a repository with its first commit, or the next commit of one, on a branch.
    pub(super) fn commit(&mut self, spec: &RepoSpec, branch: &str) -> String {
        self.repos
            .entry(spec.id.clone())
            .or_insert_with(|| Repo::new(spec))
            .commit(branch, spec.files.clone())
    }

    /// Puts a commit on `main` in which one file has other bytes; does nothing when there is no such repository.
    pub(super) fn touch(&mut self, id: &str, path: &str, seed: u64) {
        let Some(repo) = self.repos.get_mut(id) else {
            return;
        };
        let Some(commit) = repo.find("main") else {
            return;
        };
        let mut files = commit.files.clone();
        let place = files.iter().position(|file| file.path == path);
        let old = place.map(|at| files.swap_remove(at));
        files.push(FileSpec {
            path: path.to_owned(),
            content: Content::generated(
                seed,
                old.as_ref().map_or(1000, |file| file.content.size()),
            ),
            lfs: old.is_none_or(|file| file.lfs),
        });
        repo.commit("main", files);
    }

    pub(super) fn remove(&mut self, id: &str) -> bool {
        self.repos.remove(id).is_some()
    }

    /// Gives a repository another name; the old one redirects.
    pub(super) fn rename(&mut self, old: &str, new: &str) -> bool {
        let Some(mut repo) = self.repos.remove(old) else {
            return false;
        };
        new.clone_into(&mut repo.id);
        self.repos.insert(new.to_owned(), repo);
        self.renames.insert(old.to_owned(), new.to_owned());
        true
    }

    /// The name that a request for this repository is sent to, if it has moved.
    pub(super) fn moved(&self, id: &str) -> Option<&str> {
        self.renames.get(id).map(String::as_str)
    }

    pub(super) fn repo(&self, id: &str) -> Option<&Repo> {
        self.repos.get(id)
    }

    pub(super) fn repo_mut(&mut self, id: &str) -> Option<&mut Repo> {
        self.repos.get_mut(id)
    }

    /// The repository, if this token may see it, and its files if they are asked for.
    pub(super) fn admit(
        &self,
        id: &str,
        token: Option<&str>,
        files: bool,
    ) -> Result<&Repo, Answer> {
        if token.is_some_and(|token| !self.tokens.contains(token)) {
            return Err(Answer::error(
                401,
                None,
                "Invalid credentials in Authorization header",
            ));
        }
        let missing = || match token {
            None => Answer::error(401, Some("RepoNotFound"), "Invalid username or password."),
            Some(_) => Answer::error(404, Some("RepoNotFound"), "Repository not found"),
        };
        let repo = self.repos.get(id).ok_or_else(missing)?;
        let entitled = token.is_some_and(|token| {
            repo.allowed.is_empty() || repo.allowed.iter().any(|allowed| allowed == token)
        });
        if repo.private && !entitled {
            return Err(missing());
        }
        if repo.disabled {
            return Err(Answer::error(
                403,
                None,
                "Access to this resource is disabled.",
            ));
        }
        if files && repo.gate != Gate::None && !entitled {
            let (status, rest) = match token {
                None => (
                    401,
                    "You must have access to it and be authenticated to access it. Please log in.",
                ),
                Some(_) => (
                    403,
                    "You are not in the authorized list. Visit the model's page to ask for access.",
                ),
            };
            let message = format!("Access to model {id} is restricted. {rest}");
            return Err(Answer::error(status, Some("GatedRepo"), &message));
        }
        Ok(repo)
    }

    /// The repository's commit for a revision, with the same checks.
    pub(super) fn find(
        &self,
        id: &str,
        revision: &str,
        token: Option<&str>,
        files: bool,
    ) -> Result<(&Repo, Arc<Commit>), Answer> {
        let repo = self.admit(id, token, files)?;
        let commit = repo.find(revision).ok_or_else(|| {
            Answer::error(
                404,
                Some("RevisionNotFound"),
                &format!("Invalid rev id: {revision}"),
            )
        })?;
        Ok((repo, commit))
    }
}
