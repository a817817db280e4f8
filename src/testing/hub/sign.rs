//! Signed links: good for one object and a time, as the storage behind the hub hands them out.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::content::hex;
use super::hold;
use super::request::Request;

/// The start of every signature: whoever finds it in a log, a row or an answer has found a leak.
pub const SIGNATURE_MARK: &str = "5ec2e75ec2e75ec2e7";

/// Makes and checks signed links.
#[derive(Debug, Default)]
pub(super) struct Signer {
    epoch: AtomicU64,
    uses: Mutex<HashMap<String, u64>>,
}

impl Signer {
    /// The query that makes a link to `path` good until `deadline` on the monotonic clock.
    pub(super) fn query(
        &self,
        path: &str,
        now: DateTime<Utc>,
        monotonic: Duration,
        ttl_ms: u64,
    ) -> String {
        // A limit of zero means without limit, which a century serves as well.
        let ttl = if ttl_ms == 0 {
            Duration::from_hours(876_000)
        } else {
            Duration::from_millis(ttl_ms)
        };
        let deadline = (monotonic + ttl).as_millis();
        format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=cas%2F20260101%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date={}&X-Amz-Expires={}&X-Amz-SignedHeaders=host&x-id=GetObject&deadline={deadline}\
             &X-Amz-Signature={}",
            now.format("%Y%m%dT%H%M%SZ"),
            ttl.as_secs().max(1),
            self.signature(path, deadline)
        )
    }

    /// Whether a request carries a signature that is still good; counts the use.
    pub(super) fn admits(&self, request: &Request, monotonic: Duration, max_uses: u64) -> bool {
        let Some(deadline) = request
            .param("deadline")
            .and_then(|text| text.parse::<u128>().ok())
        else {
            return false;
        };
        let given = request.param("X-Amz-Signature").unwrap_or_default();
        if given != self.signature(&request.path, deadline) || monotonic.as_millis() >= deadline {
            return false;
        }
        if max_uses == 0 {
            return true;
        }
        let mut uses = hold(&self.uses);
        let used = uses.entry(given).or_default();
        *used += 1;
        *used <= max_uses
    }

    /// Makes every link that was handed out so far worthless.
    pub(super) fn expire_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    fn signature(&self, path: &str, deadline: u128) -> String {
        let epoch = self.epoch.load(Ordering::SeqCst);
        let hash = hex(&Sha256::digest(format!(
            "practice\0{epoch}\0{deadline}\0{path}"
        )));
        format!("{SIGNATURE_MARK}{}", &hash[SIGNATURE_MARK.len()..])
    }
}
