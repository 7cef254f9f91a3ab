//! Composition root: a configuration in, a running gateway out.
