//! Rebuilds when a migration or a script changes: both are compiled in.

fn main() {
    println!("cargo:rerun-if-changed=assets/migrations");
    println!("cargo:rerun-if-changed=assets/lua");
}
