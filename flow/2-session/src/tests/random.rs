//! Conversations nobody wrote. Promise: the failing case is printed and shrunk.
