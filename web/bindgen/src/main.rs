//! `foveate-bindgen MODULE.wasm FOLDER`: the JavaScript and the types beside a compiled module. What
//! `wasm-bindgen-cli` does, at the version that Cargo.lock names.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = arguments.as_slice() else {
        eprintln!("usage: foveate-bindgen MODULE.wasm FOLDER");
        return ExitCode::from(2);
    };
    match bind(module, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn bind(module: &str, folder: &str) -> Result<(), impl std::fmt::Debug> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("foveate").typescript(true).remove_producers_section(true);
    bindgen.web(true)?.generate(folder)
}
