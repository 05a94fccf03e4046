//! The table, and its place in a document.

use std::fmt::Write;

use crate::Result;
use crate::cases::Case;
use crate::driver::Driver;
use crate::listing::{Count, Loops, loops};
use crate::spirv;

/// One row a kernel.
pub fn table(family: &str, driver: &Driver, cases: &[Case]) -> Result<String> {
    let mut table = format!(
        "**{family}**\n\n| kernel | registers | spilled | waves | workgroup memory | hot loop: instructions | \
         multiply-adds | bytes read a multiply-add | outside of it |\n|---|---|---|---|---|---|---|---|---|\n"
    );
    for case in cases {
        let compiled = driver.compile(&case.dispatch, &spirv::module(&case.dispatch)?)?;
        let loops = loops(&compiled.listing);
        let each = |cell: fn(&Count) -> String| loops.hot.iter().map(cell).collect::<Vec<_>>().join(", ");
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            case.name,
            compiled.registers,
            compiled.spilled,
            compiled.waves,
            compiled.workgroup_bytes,
            each(|count| count.instructions.to_string()),
            each(|count| format!("{} %", 100 * count.fused / count.instructions)),
            each(|count| format!("{:.2}", count.read as f64 / count.products as f64)),
            outside(case, &loops).map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share)),
        )?;
    }
    Ok(table)
}

/// The share of a thread's instructions that are outside of the hot loop, where it is known how often each loop runs.
fn outside(case: &Case, loops: &Loops) -> Option<f64> {
    let (work, [hot, ..]) = (case.work.as_ref()?, loops.hot.as_slice()) else { return None };
    let inside = work.products as f64 / hot.products as f64 * hot.instructions as f64;
    let outside = (loops.around.instructions * work.rounds + loops.once.instructions) as f64;
    Some(outside / (inside + outside))
}

/// The document with the GPU's table between its marks.
pub fn put(document: &str, family: &str, table: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- machine code: {family} -->\n"), format!("<!-- end of {family} -->"));
    let missing = || format!("the document has no place for {family}");
    let (before, rest) = document.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n{table}\n{end}{after}"))
}
