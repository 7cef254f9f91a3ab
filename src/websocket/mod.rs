//! WebSocket frame headers and handshake, without I/O.
