//! From REF to a registration, and to a new one for `pull`; the id of a template stands for its one repository.

use super::args::{RefArgs, SelectionArgs};
use super::error::CliError;
use super::reference::{HubReference, Reference, explicit};
use crate::domain::{Kind, Model, ModelId, NewModel, Origin};
use crate::manager::{ManagerError, UnifiedModelDownloadManager, known_source};

/// What REF means.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// A registered model.
    Registered(ModelId),
    /// A repository that nobody registered, as it would be registered.
    New(Box<NewModel>),
}

/// What REF means; nothing is registered.
pub(crate) async fn resolve(
    manager: &UnifiedModelDownloadManager,
    args: &RefArgs,
) -> Result<Resolved, CliError> {
    let args = expand(manager, args).await?;
    let reference = Reference::parse(&args)?;
    if let Some(id) = look_up(manager, &reference).await? {
        return Ok(Resolved::Registered(id));
    }
    let Some(hub) = reference.hub else {
        return Err(ManagerError::UnknownModel(args.reference.parse()?).into());
    };
    // The first id that is free, as `find_or_register` would take it.
    for id in hub.ids() {
        if model(manager, &id).await?.is_none() {
            return Ok(Resolved::New(Box::new(new_model(&id, &hub))));
        }
    }
    Err(no_id(&args))
}

/// Puts the repository of a template in place of the template's id; a registered id goes first.
pub(crate) async fn expand(
    manager: &UnifiedModelDownloadManager,
    args: &RefArgs,
) -> Result<RefArgs, CliError> {
    let same = || Ok(args.clone());
    if args.selection.template.is_some() {
        return same();
    }
    let Ok(template) = manager.template(&args.reference) else {
        return same();
    };
    if let Ok(id) = args.reference.parse()
        && !args.selection.selects()
        && model(manager, &id).await?.is_some()
    {
        return same();
    }
    let (repo_id, revision) = known_source(template).map_err(CliError::Usage)?;
    Ok(RefArgs {
        reference: format!("{repo_id}@{revision}"),
        selection: SelectionArgs {
            template: Some(template.id.clone()),
            ..args.selection.clone()
        },
    })
}

/// The registered model that REF means.
pub(crate) async fn find(
    manager: &UnifiedModelDownloadManager,
    args: &RefArgs,
) -> Result<ModelId, CliError> {
    let args = &expand(manager, args).await?;
    let reference = Reference::parse(args)?;
    if let Some(id) = look_up(manager, &reference).await? {
        return Ok(id);
    }
    let asked = reference
        .id
        .or_else(|| reference.hub.and_then(|hub| hub.ids().into_iter().next()))
        .ok_or_else(|| CliError::Usage(format!("`{}` is no id", args.reference)))?;
    Err(ManagerError::UnknownModel(asked).into())
}

/// The registered model that REF means; a repository that nobody registered becomes registered.
pub(crate) async fn find_or_register(
    manager: &UnifiedModelDownloadManager,
    args: &RefArgs,
) -> Result<ModelId, CliError> {
    let args = &expand(manager, args).await?;
    let reference = Reference::parse(args)?;
    if let Some(id) = look_up(manager, &reference).await? {
        return Ok(id);
    }
    let Some(hub) = reference.hub else {
        let id = args.reference.parse()?;
        return Err(ManagerError::UnknownModel(id).into());
    };
    let mut refused = None;
    for id in hub.ids() {
        match manager.register(new_model(&id, &hub)).await {
            Ok(registered) => return Ok(registered.model.id().clone()),
            // Taken by something else, before or just now: the next id tells them apart.
            Err(error @ ManagerError::Conflict(_)) => refused = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(refused.map_or_else(|| no_id(args), CliError::from))
}

fn no_id(args: &RefArgs) -> CliError {
    CliError::Usage(format!(
        "no id follows from `{}`: register it with `modelhaul models add`",
        args.reference
    ))
}

async fn look_up(
    manager: &UnifiedModelDownloadManager,
    reference: &Reference,
) -> Result<Option<ModelId>, CliError> {
    if let Some(id) = &reference.id
        && model(manager, id).await?.is_some()
    {
        return Ok(Some(id.clone()));
    }
    let Some(hub) = &reference.hub else {
        return Ok(None);
    };
    for id in hub.ids() {
        if let Some(model) = model(manager, &id).await?
            && means_the_same(&model, hub)
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

async fn model(
    manager: &UnifiedModelDownloadManager,
    id: &ModelId,
) -> Result<Option<Model>, CliError> {
    match manager.model(id).await {
        Ok(model) => Ok(Some(model)),
        Err(ManagerError::UnknownModel(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a registration would bring the files that REF asks for.
fn means_the_same(model: &Model, hub: &HubReference) -> bool {
    let mut origin = model.spec.origin.clone();
    let Origin::Hub { selection, .. } = &mut origin else {
        return false;
    };
    // Without template and patterns kind and repository decide which files are wanted: that may be less than all.
    if selection.template.is_none() && selection.allow_patterns.is_empty() {
        return false;
    }
    for patterns in [
        &mut selection.allow_patterns,
        &mut selection.ignore_patterns,
    ] {
        patterns.sort_unstable();
        patterns.dedup();
    }
    *selection = explicit(std::mem::take(selection));
    origin == hub.as_asked()
}

fn new_model(id: &ModelId, hub: &HubReference) -> NewModel {
    NewModel {
        model_id: id.clone(),
        kind: Kind::Generic,
        origin: hub.as_asked(),
        description: None,
        total_size_estimate: None,
        file_count_estimate: None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::Selection;

    fn hub(include: &[&str], template: Option<&str>) -> HubReference {
        let selection = Selection {
            template: template.map(str::to_owned),
            allow_patterns: include.iter().map(|&glob| glob.to_owned()).collect(),
            ..Selection::default()
        };
        HubReference::parse("org/name", selection).unwrap()
    }

    fn registered(kind: Kind, hub: &HubReference) -> Model {
        Model {
            key: 1,
            spec: NewModel {
                kind,
                ..new_model(&"org/name".parse().unwrap(), hub)
            },
            readiness: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn only_a_registration_of_the_same_files_means_the_same() {
        let whole = hub(&[], None);
        assert!(means_the_same(&registered(Kind::Caption, &whole), &whole));
        let mut derived = registered(Kind::Generic, &whole);
        derived.spec.origin = whole.as_written();
        assert!(!means_the_same(&derived, &whole), "a template may be found");
        let mut derived = registered(Kind::Generic, &hub(&["a"], None));
        derived.spec.origin = hub(&["a"], None).as_written();
        assert!(means_the_same(&derived, &hub(&["a"], None)));
        let wdv3 = hub(&[], Some("wdv3"));
        assert!(means_the_same(&registered(Kind::Caption, &wdv3), &wdv3));
        assert!(!means_the_same(&registered(Kind::Generic, &wdv3), &whole));
        let (ab, ba) = (hub(&["a", "b"], None), hub(&["b", "a", "b"], None));
        assert!(means_the_same(&registered(Kind::Generic, &ba), &ab));
    }
}
