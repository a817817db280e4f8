//! What the tests through the doors share: a sandbox, the service in it, and ways to look at both.

mod db;
mod files;
mod http;
mod sandbox;
mod service;
mod venv;
mod wait;

pub(crate) use self::{
    db::Db,
    files::{FileServer, Length, Served},
    http::{Client, Reply, Stream},
    sandbox::{Ran, Sandbox},
    service::Service,
    venv::Venv,
    wait::{LONG, SHORT, holds, slowness, wait_for},
};
