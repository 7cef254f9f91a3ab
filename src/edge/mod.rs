//! The front: listeners, TLS, connections, their deadlines and their end. The only module that knows pingora-core.
