//! `config show`: each setting, its value and where it was set.

use serde_json::json;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;

pub(crate) fn show(context: &Context) -> Result<Exit, CliError> {
    let settings = &context.config.settings;
    if context.output.is_json() {
        let settings: serde_json::Map<_, _> = settings
            .iter()
            .map(|setting| {
                let shown = json!({"value": setting.value, "origin": setting.origin.to_string()});
                (setting.name.to_owned(), shown)
            })
            .collect();
        let file = context
            .config
            .file
            .as_ref()
            .map(|path| path.display().to_string());
        output::json(&json!({"file": file, "settings": settings}))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 3]> = settings
        .iter()
        .map(|setting| {
            [
                setting.name.to_owned(),
                setting.value.clone(),
                setting.origin.to_string(),
            ]
        })
        .collect();
    output::table(["SETTING", "VALUE", "ORIGIN"], &rows)?;
    Ok(Exit::Done)
}
