//! The doors inside an app's own HTTP server.

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use super::{ServerError, ServerOptions};
use crate::api::{self, AdminKey, AllowedHosts, Doors, Guard, SHORTEST_PUBLIC_TOKEN};
use crate::manager::UnifiedModelDownloadManager;
use crate::redact::Token;

/// All routes behind all of their checks, for an app that listens by itself.
///
/// What belongs to connections is then the app's: how many there may be, how long a header may take, and which
/// protocols are spoken.
#[derive(Debug)]
pub struct Mounted {
    pub(super) router: Doors,
    pub(super) admin_key: AdminKey,
    pub(super) draining: CancellationToken,
}

impl Mounted {
    /// Checks the options. `listen` is the address on which the app listens; it decides whether tokens are needed.
    ///
    /// # Errors
    /// Other machines could connect and no token keeps them out, or an allowed host cannot be read.
    pub fn new(
        options: ServerOptions,
        manager: UnifiedModelDownloadManager,
    ) -> Result<Self, ServerError> {
        let address = options.listen;
        let public = !address.ip().to_canonical().is_loopback();
        if public {
            refuse_open_door(address, options.admin_token.as_ref())?;
        }
        let hosts = AllowedHosts::new(address.ip(), &options.allowed_hosts)
            .map_err(|host| ServerError::BadHost { given: host.given })?;
        let draining = CancellationToken::new();
        let guard = Guard::new(
            hosts,
            options.admin_token.as_ref(),
            public,
            draining.clone(),
        )
        .behind_proxy(options.trust_proxy);
        Ok(Self {
            admin_key: guard.admin_key(),
            router: api::doors(manager, guard, options.settings),
            draining,
        })
    }

    /// The routes, to be merged into the app's router or to be its fallback. They answer at their own addresses
    /// (`/api/…`, `/metrics`, `/` and what the page needs), so they are not to be nested below a path.
    pub fn router(&self) -> Doors {
        self.router.clone()
    }

    /// The admin token, which may be exchanged while the app runs.
    pub fn admin_key(&self) -> AdminKey {
        self.admin_key.clone()
    }

    /// Ends the event streams with a goodbye and takes no more work; to be called when the app begins to stop.
    pub fn drain(&self) {
        self.draining.cancel();
    }
}

/// Refuses to let other machines in without a token that keeps strangers out.
fn refuse_open_door(listen: SocketAddr, token: Option<&Token>) -> Result<(), ServerError> {
    let problem = match token {
        None => "there is no admin token",
        Some(token) if token.expose().len() < SHORTEST_PUBLIC_TOKEN => {
            "the admin token is too short"
        }
        Some(_) => return Ok(()),
    };
    Err(ServerError::PublicWithoutToken { listen, problem })
}
