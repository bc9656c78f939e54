//! PALM over ZeroMQ.
