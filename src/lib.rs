//! Usher: an authentication gateway for cloud development environments.
//!
//! The modules stand in layers that only point down; ARCHITECTURE.md has the table and a test holds it.

pub mod admin;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod edge;
pub mod identity;
pub mod lines;
pub mod metrics;
pub mod model;
pub mod outbound;
pub mod portal;
pub mod proxy;
pub mod reload;
pub mod routing;
pub mod runtime;
pub mod session;
pub mod websocket;
pub mod workspace;
