//! Everything a person may ask the running server to do: the words of the control socket.
