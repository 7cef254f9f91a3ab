//! The routing table: immutable, pure, built from the configuration.
