//! Replicas that are killed in the middle of inserts: what was acknowledged is there, once.
