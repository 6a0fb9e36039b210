//! SASL mechanisms as tiny machines.
