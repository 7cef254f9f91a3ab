//! The portal's router, request by request: what people and scripts get from it, and what others do not.

mod api;
mod home;
mod pages;
mod protection;
mod prove;
mod sign_in;
mod start;
mod support;
