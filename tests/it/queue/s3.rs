//! Objects of a store that speaks S3: a real one (moto), with a kill in the middle.

use std::process::{Child, Command, Stdio};

use modelhaul::testing::Content;
use serde_json::json;

use super::urls::sandbox;
use crate::support::{Client, LONG, Sandbox, Venv, holds, wait_for};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 24 * MIB;

/// Makes a bucket and puts a file into it.
const PUT: &str = "
import sys, boto3
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1',
                  aws_access_key_id='AKID', aws_secret_access_key='canary-of-the-store')
s3.create_bucket(Bucket='models')
s3.upload_file(sys.argv[2], 'models', 'big files/x.safetensors')
";

/// A store that ends with the test.
struct Store(Child);

impl Drop for Store {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn store(venv: &Venv, sandbox: &Sandbox) -> (Store, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let mut command: Command =
        venv.program(sandbox, "moto_server", &["-H", "127.0.0.1", "-p", &port]);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = format!("127.0.0.1:{port}");
    let store = Store(child);
    wait_for(LONG, "the store answers", || {
        let answer = Client::new(&address).try_request("GET", "/", &[], None);
        holds(answer.is_ok())
    });
    (store, format!("http://{address}"))
}

#[test]
fn an_object_comes_whole_and_goes_on_after_a_kill() {
    let Some(venv) = Venv::s3() else {
        return;
    };
    let place = Sandbox::new();
    let (_store, endpoint) = store(&venv, &place);
    let content = Content::generated(11, SIZE);
    let file = place.path("x.safetensors");
    std::fs::write(&file, content.read(0..SIZE).unwrap()).unwrap();
    venv.python(&place, PUT, &[&endpoint, &file.display().to_string()])
        .ok();

    let credential = format!(
        "bandwidth_limit = '8MiB'\n[[credential]]\nname = 'store'\nhost = '{endpoint}'\ns3_key_id = 'AKID'\ntoken_env = 'STORE_KEY'\n"
    );
    let sandbox = sandbox(&credential).env("STORE_KEY", "canary-of-the-store");
    let service = sandbox.serve();
    let object = json!({"url": "s3://models/big%20files/x.safetensors", "path": "x.safetensors", "credential": "store"});
    let alone = json!({"url": "s3://models/x", "path": "x"});
    let refused = service.register(&json!({"model_id": "without", "files": [alone]}));
    assert_eq!(refused.status, 422, "{}", refused.text());
    let registered = service.register(&json!({"model_id": "art", "files": [object]}));
    assert_eq!(registered.status, 201, "{}", registered.text());
    service.start("art").ok();
    service.wait_bytes("art", SIZE / 3);
    let logs = service.logs();
    service.kill9();
    let service = sandbox.serve();
    let status = service.wait_completed("art");
    let start = sandbox
        .db()
        .value("SELECT bytes_start FROM attempts ORDER BY attempt DESC LIMIT 1");
    assert!(
        start.as_u64() >= Some(SIZE / 4),
        "began at {start}: {status:#}"
    );
    let folder = std::path::PathBuf::from(status["cache"]["path"].as_str().unwrap());
    assert!(std::fs::read(folder.join("x.safetensors")).unwrap() == content.read(0..SIZE).unwrap());
    for text in [logs, service.logs(), status.to_string()] {
        assert!(
            !text.contains("canary") && !text.contains("X-Amz-Signature="),
            "{text}"
        );
    }
    service.stop();
}
