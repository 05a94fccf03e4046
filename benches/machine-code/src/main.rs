//! What AMD's compiler in Mesa makes of the kernels, as a table: see README.md.

mod cases;
mod driver;
mod listing;
mod spirv;
mod table;

use std::path::Path;

use driver::Driver;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "usage: ./run [--write | CASE], CASE being a part of a case's name, whose listing is printed";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let code = match run(&words) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error}");
            1
        }
    };
    // A driver without hardware does not bear to be ended in order.
    std::process::exit(code);
}

fn run(words: &[String]) -> Result<()> {
    let family = std::env::var("RADV_FORCE_FAMILY").map_err(|_| "no GPU is named: start it by ./run")?;
    let driver = Driver::load()?;
    let cases = cases::cases()?;
    match words {
        [] => print!("{}", table::table(&family, &driver, &cases)?),
        [word] if word == "--write" => {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md");
            let text = std::fs::read_to_string(&path)?;
            std::fs::write(&path, table::put(&text, &family, &table::table(&family, &driver, &cases)?)?)?;
        }
        [part] if !part.starts_with('-') => {
            let case = cases.iter().find(|case| case.name.contains(part.as_str()));
            let case = case.ok_or(format!("no case is called {part}"))?;
            let compiled = driver.compile(&case.dispatch, &spirv::module(&case.dispatch)?)?;
            println!("{}\n{}", case.name, compiled.listing);
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}
