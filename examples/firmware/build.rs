//! Links anew when the memory map has changed, which cargo does not see otherwise.

fn main() {
    for file in ["memory.x", "device.x"] {
        println!("cargo::rerun-if-changed={file}");
    }
}
