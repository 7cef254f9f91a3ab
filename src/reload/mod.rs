//! Applies a changed configuration file while running.
