//! The gateway: one request from admission to the last byte of its answer.

pub mod access_log;
pub mod admit;
pub mod answers;
pub mod assertion;
pub mod body;
pub mod decision;
pub mod errors;
#[cfg(test)]
mod fixture;
pub mod gateway;
pub mod headers;
pub mod redirect;
pub mod theia;
pub mod tunnel;
pub mod upstream;
