//! Sockets, TLS, ceilings and deadlines; pumps bytes between a socket and a machine.
