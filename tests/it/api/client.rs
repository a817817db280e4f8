//! The document is good for programs: a client made from it works, and the service does what it says.

use std::fs;

use super::admin;
use crate::support::{Ran, Venv};
use crate::world::{WDV3, hub, sandbox};

/// Uses the generated client as an app would: no path, no JSON, only what the document promises.
const APP: &str = r#"
import sys
from uuid import UUID

sys.path.insert(0, sys.argv[1])
from modelhaul_client import Client
from modelhaul_client.api.jobs import job_events_show, job_files_list, job_show
from modelhaul_client.api.models import model_show, models_create, models_list, start, wait
from modelhaul_client.api.queue import queue_show
from modelhaul_client.api.app import app_status
from modelhaul_client.models import Kind, ModelStatus, Problem, Registration

client = Client(base_url=sys.argv[2], raise_on_unexpected_status=True)
body = Registration(model_id="org/tagger", kind=Kind.CAPTION, repo_id=sys.argv[3], template="wdv3")
made = models_create.sync(client=client, body=body)
assert made.model_id == "org/tagger" and made.repo_id == sys.argv[3], made
refused = models_create.sync(client=client, body=Registration(model_id="org/tagger", kind=Kind.GENERIC, repo_id="org/other"))
assert isinstance(refused, Problem) and refused.code == "model_conflict", refused
started = start.sync("org/tagger", client=client)
assert started.created and started.job_id is not None, started
status = wait.sync("org/tagger", client=client, timeout=60)
assert isinstance(status, ModelStatus) and status.state == "completed", status
assert status.progress.percent == 100.0 and status.cache.complete, status
assert app_status.sync("org/tagger", client=client).cache.path == status.cache.path
job = job_show.sync(started.job_id, client=client)
assert job.model_id == "org/tagger" and job.error is None and job.files_total == 2, job
files = job_files_list.sync(job.id, client=client)
assert {file.path for file in files.items} == {"model.onnx", "selected_tags.csv"}, files
assert queue_show.sync(client=client).queue_size == 0
assert [model.model_id for model in models_list.sync(client=client).items] == ["org/tagger"]
assert model_show.sync("nothing", client=client).code == "unknown_model"
assert job_show.sync(UUID(int=0), client=client).code == "unknown_job"
print("used")
"#;

#[test]
fn a_generated_client_does_the_work_of_an_app() {
    let Some(venv) = Venv::openapi() else { return };
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let document = sandbox.path("openapi.json");
    fs::write(&document, service.http().get("/api/v1/openapi.json").body).unwrap();
    let folder = sandbox.path("modelhaul_client").display().to_string();
    let document = document.display().to_string();
    let arguments = [
        "generate",
        "--path",
        &document,
        "--output-path",
        &folder,
        "--meta",
        "none",
        "--fail-on-warning",
    ];
    let made: Ran = venv
        .program(&sandbox, "openapi-python-client", &arguments)
        .output()
        .unwrap()
        .into();
    made.ok();
    let root = sandbox.path("").display().to_string();
    let ran = venv.python(&sandbox, APP, &[&root, &service.http().url(), WDV3]);
    assert_eq!(ran.ok(), "used\n");
}

/// Tries the document's operations with what it allows and what it does not. Streams never end, so they are left out.
#[test]
fn the_service_does_what_its_document_says() {
    let Some(venv) = Venv::openapi() else { return };
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let address = format!("{}/api/v1/openapi.json", service.http().url());
    let token = format!("Authorization: {}", admin(&sandbox));
    let arguments = [
        "run",
        &address,
        "--header",
        &token,
        "--exclude-path-regex",
        "/events$|/wait$",
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "5",
        "--seed",
        "1",
        "--request-timeout",
        "20",
    ];
    let ran: Ran = venv
        .program(&sandbox, "schemathesis", &arguments)
        .output()
        .unwrap()
        .into();
    assert_eq!(
        ran.code,
        Some(0),
        "{}\n{}\n{}",
        ran.stdout,
        ran.stderr,
        service.logs()
    );
    assert_eq!(service.http().get("/healthz").status, 200);
}
