//! Peers against a master that is written down here.
