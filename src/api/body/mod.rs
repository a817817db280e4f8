//! The shapes of requests and answers on the wire; they change only by addition.
//!
//! Status and queue objects are the domain's own, because polling and the command line show the same ones.

pub(crate) mod job;
pub(crate) mod model;
pub(crate) mod registration;
pub(crate) mod url_file;
