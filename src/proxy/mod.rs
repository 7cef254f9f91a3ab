//! The gateway: one request from admission to the last byte of its answer.
