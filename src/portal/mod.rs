//! Pages and JSON API of our own.
