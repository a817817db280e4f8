//! The `hf-hub` crate as a program: `snapshot_download` of one repository, for `benches/peers.py`.
//!
//! Endpoint and cache come from `HF_ENDPOINT` and `HF_HUB_CACHE`, as its users set them.

use std::io::{self, Write as _};

use anyhow::Context as _;
use hf_hub::HFClient;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let id = std::env::args()
        .nth(1)
        .context("usage: peer_hf_hub OWNER/NAME")?;
    let (owner, name) = id.split_once('/').context("OWNER/NAME is expected")?;
    let client = HFClient::new()?;
    let folder = client.model(owner, name).snapshot_download().send().await?;
    writeln!(io::stdout(), "{}", folder.display())?;
    Ok(())
}
