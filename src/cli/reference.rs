//! What REF means: a registered id, or a repository with revision and files, and the id that follows from them.

use sha2::{Digest as _, Sha256};

use super::args::{RefArgs, SelectionArgs};
use super::error::CliError;
use crate::domain::{ModelId, Origin, RepoId, Revision, Selection};

/// A REF that was read but not looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The text as an id, when it may be one and no files were chosen beside it.
    pub(crate) id: Option<ModelId>,
    /// The text as a repository.
    pub(crate) hub: Option<HubReference>,
}

/// A repository at a revision, and which of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubReference {
    pub(crate) repo_id: RepoId,
    pub(crate) revision: Revision,
    pub(crate) selection: Selection,
}

impl Reference {
    pub(crate) fn parse(args: &RefArgs) -> Result<Self, CliError> {
        let typed = args.selection.repo_type.in_front_of(&args.reference);
        let text = typed.as_str();
        let selection = selection(&args.selection);
        let id = text
            .parse()
            .ok()
            .filter(|_| selection == Selection::default());
        match HubReference::parse(text, selection) {
            Ok(hub) => Ok(Self { id, hub: Some(hub) }),
            Err(_) if id.is_some() => Ok(Self { id, hub: None }),
            Err(error) => Err(error),
        }
    }
}

impl HubReference {
    /// Reads `org/name[@revision]`. The first `@` divides: a repository's name holds none, a tag may.
    pub(crate) fn parse(text: &str, selection: Selection) -> Result<Self, CliError> {
        let (repo, revision) = match text.split_once('@') {
            Some((repo, revision)) => (repo, revision.parse()?),
            None => (text, Revision::main()),
        };
        Ok(Self {
            repo_id: repo.parse()?,
            revision,
            selection,
        })
    }

    /// The source of a registration of exactly these words: what no template names, kind and repository decide.
    pub(crate) fn as_written(&self) -> Origin {
        self.origin(self.selection.clone())
    }

    /// The source of a download: without a template, `everything` that the patterns leave.
    pub(crate) fn as_asked(&self) -> Origin {
        self.origin(explicit(self.selection.clone()))
    }

    fn origin(&self, selection: Selection) -> Origin {
        Origin::Hub {
            repo_id: self.repo_id.clone(),
            revision: self.revision.clone(),
            selection,
        }
    }

    /// The ids under which it may be registered, the readable one first.
    ///
    /// The second one tells it apart from another registration that took the first.
    pub(crate) fn ids(&self) -> Vec<ModelId> {
        // An id has two parts at most.
        let repo = match self.repo_id.as_str() {
            typed if typed.split('/').count() > 2 => typed.replacen('/', "+", 1),
            plain => plain.to_owned(),
        };
        let whole = self.selection == Selection::default();
        let readable = if !whole {
            None
        } else if self.revision == Revision::main() {
            Some(repo.clone())
        } else {
            // A revision with a slash would make a third part: such an id does not parse.
            Some(format!("{repo}@{}", self.revision))
        };
        [readable, Some(format!("{repo}@{}", self.fingerprint()))]
            .into_iter()
            .flatten()
            .filter_map(|id| id.parse().ok())
            .collect()
    }

    /// 8 hex digits of revision and files. Never change what goes in: ids in databases depend on it.
    fn fingerprint(&self) -> String {
        let canonical = serde_json::json!({
            "allow_patterns": self.selection.allow_patterns,
            "ignore_patterns": self.selection.ignore_patterns,
            "revision": self.revision,
            "template": self.selection.template,
            "variant": self.selection.variant,
        });
        let hash = Sha256::digest(canonical.to_string().as_bytes());
        format!(
            "{:08x}",
            u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
        )
    }
}

/// The template of whoever names none.
const EVERYTHING: &str = "everything";

/// The selection with its template named.
pub(crate) fn explicit(mut selection: Selection) -> Selection {
    selection
        .template
        .get_or_insert_with(|| EVERYTHING.to_owned());
    selection
}

/// The selection with its patterns in one order, for their order means nothing.
pub(crate) fn selection(args: &SelectionArgs) -> Selection {
    let canonical = |patterns: &[String]| {
        let mut patterns = patterns.to_vec();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    };
    Selection {
        template: args.template.clone(),
        variant: args.variant.clone(),
        allow_patterns: canonical(&args.include),
        ignore_patterns: canonical(&args.exclude),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        reference: &str,
        include: &[&str],
        template: Option<&str>,
    ) -> Result<Reference, CliError> {
        Reference::parse(&RefArgs {
            reference: reference.to_owned(),
            selection: SelectionArgs {
                include: include.iter().map(|&glob| glob.to_owned()).collect(),
                template: template.map(str::to_owned),
                ..SelectionArgs::default()
            },
        })
    }

    fn ids(reference: &Reference) -> Vec<String> {
        let hub = reference.hub.as_ref().unwrap();
        hub.ids().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_id_is_as_short_as_it_may_be() {
        for (text, first) in [
            ("org/name", "org/name"),
            ("gpt2", "gpt2"),
            ("org/name@main", "org/name"),
            ("org/name@v1.0", "org/name@v1.0"),
        ] {
            let reference = read(text, &[], None).unwrap();
            let ids = ids(&reference);
            assert_eq!((ids[0].as_str(), ids.len()), (first, 2), "{text}");
        }
        for (text, include, template) in [
            ("org/name@refs/pr/1", &[][..], None),
            ("org/name@é", &[], None),
            ("org/name", &["*.onnx"], None),
            ("org/name", &[], Some("wdv3")),
        ] {
            let ids = ids(&read(text, include, template).unwrap());
            assert_eq!(ids.len(), 1, "{text}");
            let (repo, hash) = ids[0].split_once('@').unwrap();
            assert_eq!((repo, hash.len()), ("org/name", 8), "{text}");
        }
    }

    #[test]
    fn the_order_of_patterns_means_nothing_and_all_else_does() {
        let id =
            |include: &[&str], template| ids(&read("o/n", include, template).unwrap())[0].clone();
        assert_eq!(id(&["a", "b"], None), id(&["b", "a", "b"], None));
        let mut different = vec![
            id(&["a"], None),
            id(&["a", "b"], None),
            id(&[], Some("a")),
            id(&["a"], Some("a")),
            ids(&read("o/n@v1", &["a"], None).unwrap())[0].clone(),
            ids(&read("o/n", &[], None).unwrap())[1].clone(),
        ];
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 6);
    }

    #[test]
    fn a_derived_id_stays_the_same_for_ever() {
        // sha256 of {"allow_patterns":["*.onnx"],"ignore_patterns":[],"revision":"main","template":"wdv3","variant":null}
        let reference = read("o/n", &["*.onnx"], Some("wdv3")).unwrap();
        assert_eq!(ids(&reference), ["o/n@4d2b44cb"]);
    }

    #[test]
    fn a_registered_id_need_be_no_repository_and_files_need_one() {
        let tagger = read("my.tagger+", &[], None).unwrap();
        assert!(tagger.id.is_some() && tagger.hub.is_none());
        assert!(read("org/name@v1", &[], None).unwrap().id.is_some());
        assert!(read("org/name@v1", &["x"], None).unwrap().id.is_none());
        for (text, include) in [
            ("my.tagger+", &["x"][..]),
            ("", &[]),
            ("a/b/c", &[]),
            ("../x", &[]),
            ("https://huggingface.co/a/b", &[]),
            ("a/b@", &["x"]),
            ("a/b@x..y", &["x"]),
        ] {
            let error = read(text, include, None).unwrap_err();
            assert!(matches!(error, CliError::Name(_)), "{text}");
        }
    }
}
