//! What runs workspaces: one trait and its implementations.
