//! The OpenAPI document, made from the route table and from what stands at each handler.
//!
//! The table says which addresses there are and who may use them; a handler says what it takes and gives. A route
//! whose handler says nothing does not compile, unless the table calls it apart: pages, and what is no API.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, schema::Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::UtoipaMethodRouter;

use super::App;
use super::guard::Policy;
use super::problem::Members;
use super::table::{ROUTES, Route};
use crate::domain::{JobEvent, Resumed, RunningJob, Snapshot};
use crate::manager::TemplateSummary;

/// What a handler says of itself.
pub(super) type Described = UtoipaMethodRouter<App>;
type Schemas = Vec<(String, RefOr<Schema>)>;

/// One part of a model id.
const ID_PART: &str = "^[A-Za-z0-9._@+-]{1,160}$";

/// The document as bytes, pretty enough for people and for differences.
pub(super) fn bytes() -> Bytes {
    static ONCE: LazyLock<Bytes> = LazyLock::new(|| {
        let mut text = serde_json::to_vec_pretty(&document()).unwrap_or_default();
        text.push(b'\n');
        text.into()
    });
    ONCE.clone()
}

/// The document.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas = Schemas::new();
    for route in ROUTES {
        let Some(describe) = route.describe else {
            continue;
        };
        let (parts, described, _) = describe();
        schemas.extend(parts);
        let operations = paths
            .entry(route.path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let (Value::Object(operations), Some(said)) = (operations, said(route, &described)) {
            operations.insert(route.method.to_ascii_lowercase(), operation(route, said));
        }
    }
    with_schema::<Members>(&mut schemas);
    // A stream is text for the document; these are what stands behind `data:`.
    with_schema::<Snapshot>(&mut schemas);
    with_schema::<Resumed>(&mut schemas);
    with_schema::<JobEvent>(&mut schemas);
    with_schema::<RunningJob>(&mut schemas);
    with_schema::<TemplateSummary>(&mut schemas);
    let schemas: Map<String, Value> = schemas
        .into_iter()
        .map(|(name, schema)| {
            let schema = mended(&name, json!(schema));
            (name, schema)
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "modelhaul",
            "description": "Makes models be in the Hugging Face cache, whole and verified. docs/API.md says more.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    })
}

/// What the derived schema cannot say: a page refers to what its items are, and a registration knows all its fields.
fn mended(name: &str, mut schema: Value) -> Value {
    if name == "Registration" {
        schema["additionalProperties"] = json!(false);
    }
    if let Some(item) = name.strip_prefix("Page_")
        && let Some(items) = schema.pointer_mut("/properties/items/items")
    {
        *items = json!({"$ref": format!("#/components/schemas/{item}")});
    }
    schema
}

fn with_schema<T: ToSchema + PartialSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

/// What the handler says for the method of the route.
fn said(route: &Route, described: &utoipa::openapi::path::Paths) -> Option<Map<String, Value>> {
    let described = json!(described);
    // A handler may stand at several addresses, so it says none itself.
    let operation = described.get("")?.get(route.method.to_ascii_lowercase())?;
    operation.as_object().cloned()
}

/// The operation of a route: what the handler says, and what follows from the table.
fn operation(route: &Route, mut said: Map<String, Value>) -> Value {
    said.insert("operationId".to_owned(), json!(operation_id(route)));
    said.insert("tags".to_owned(), json!([tag(route.path)]));
    let in_path = route.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(path_parameter(name))
    });
    let mut parameters: Vec<Value> = in_path.collect();
    if let Some(Value::Array(given)) = said.remove("parameters") {
        parameters.extend(given);
    }
    if !parameters.is_empty() {
        said.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(schema) = said
        .get_mut("requestBody")
        .and_then(|body| body.pointer_mut("/content/application~1json/schema"))
    {
        not_null(schema);
    }
    if let Some(Value::Object(responses)) = said.get_mut("responses") {
        let problem = json!({"$ref": format!("#/components/schemas/{}", Members::name())});
        responses.insert(
            "default".to_owned(),
            json!({
                "description": "A refusal; `code` says which",
                "content": {"application/problem+json": {"schema": problem}},
            }),
        );
    }
    said.insert("x-policy".to_owned(), json!(policy(route.policy)));
    let security = match route.policy {
        Policy::Open | Policy::SignIn | Policy::Named => json!([]),
        Policy::Admin => json!([{"bearer": []}]),
        // Without a token on a loopback address, with one elsewhere.
        _ => json!([{}, {"bearer": []}]),
    };
    said.insert("security".to_owned(), security);
    Value::Object(said)
}

/// A body that may be left out is still never `null`.
fn not_null(schema: &mut Value) {
    let first = schema
        .get("oneOf")
        .and_then(Value::as_array)
        .filter(|kinds| kinds.iter().any(|kind| kind["type"] == "null"))
        .and_then(|kinds| kinds.iter().find(|kind| kind["type"] != "null"));
    if let Some(kind) = first.cloned() {
        *schema = kind;
    }
}

/// The policy as one word in small letters.
fn policy(policy: Policy) -> String {
    format!("{policy:?}").to_ascii_lowercase()
}

/// A name that no other operation has, made of the handler's place: generated clients call their functions so.
fn operation_id(route: &Route) -> String {
    let handler: String = route.handler.split_whitespace().collect();
    let mut words: Vec<&str> = handler
        .split("::")
        .filter(|word| *word != "handle")
        .collect();
    if !route.path.starts_with("/api/v1/") && route.path.starts_with("/api/") {
        words.insert(0, "app");
    }
    if route.path.contains("{org}") {
        words.push("in_org");
    }
    words.join("_")
}

fn tag(path: &str) -> &str {
    match path.strip_prefix("/api/v1/") {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None if path.starts_with("/api/") => "app",
        None => "probes",
    }
}

fn path_parameter(name: &str) -> Value {
    let schema = match name {
        "model_id" => json!({"$ref": "#/components/schemas/ModelId"}),
        "org" | "name" => json!({"type": "string", "pattern": ID_PART}),
        "job_id" => json!({"type": "string", "format": "uuid"}),
        _ => json!({"type": "string", "minLength": 1}),
    };
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// With this variable set, the committed document is written instead of compared.
    const BLESS: &str = "MODELHAUL_BLESS";

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the variable speaks to the tests, not to the product"
    )]
    fn the_committed_document_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(&path, bytes()).unwrap();
        }
        let committed = std::fs::read(&path).unwrap_or_default();
        assert!(
            committed == bytes(),
            "docs/openapi.json is out of date: run the tests of the library with {BLESS}=1"
        );
    }

    #[test]
    fn every_route_of_the_api_is_in_the_document_and_nothing_else() {
        let document = document();
        let mut described = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                described.insert(format!("{} {path}", method.to_ascii_uppercase()));
                let id = operation["operationId"].as_str().unwrap().to_owned();
                assert!(ids.insert(id.clone()), "{id} stands twice");
                for member in ["summary", "x-policy", "tags", "security"] {
                    assert!(operation.get(member).is_some(), "{path} lacks {member}");
                }
                assert!(operation["responses"]["default"].is_object(), "{path}");
            }
        }
        let of_api = |route: &&Route| route.path.starts_with("/api/") || route.path.ends_with('z');
        let routes: BTreeSet<String> = ROUTES
            .iter()
            .filter(of_api)
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn walk<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
            match value {
                Value::Object(members) => {
                    for (name, value) in members {
                        match value {
                            Value::String(text) if name == "$ref" => drop(found.insert(text)),
                            _ => walk(value, found),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        walk(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
