//! Operators' listener: metrics, health, status.
