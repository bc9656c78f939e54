//! The program `palm`.
fn main() {}
