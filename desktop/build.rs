//! On Windows the program carries its icon and its version, as the Explorer shows them.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ICON}");
    resource()
}

const ICON: &str = "../packaging/icons/foveate.ico";

#[cfg(windows)]
fn resource() -> std::io::Result<()> {
    let mut resource = winresource::WindowsResource::new(); // versions are the package's
    resource.set_icon(ICON);
    resource.set("ProductName", "Foveate").set("FileDescription", "Foveate");
    resource.set("LegalCopyright", "Licensed under MIT or Apache-2.0");
    resource.compile_for("foveate-app")
}

#[cfg(not(windows))]
fn resource() -> std::io::Result<()> {
    Ok(())
}
