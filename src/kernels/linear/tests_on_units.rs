//! The product on matrix units, against the reference.
//!
//! What computes needs an adapter with matrix units, and says so where there is none. `./x test` brings one along (`.ci/newer-mesa`).

use super::*;
use crate::graph::Choices;
use crate::kernels::Tile;
use crate::testing::{Case, posing_with_units};

/// x is rounded to f16, and so are weights of more bits, by 0.4 · 2⁻¹¹ in the mean square; sums are f32. So √2 · 0.4 · 2⁻¹¹ =
/// 2.8e-4 is expected.
const TOLERANCE: f64 = 5e-4;

/// A product that takes matrix units without a measurement: one whose tiling is given.
fn on_units(graph: &mut Graph, x: ValueId, options: Linear) {
    let tiling = Tiling { tile: PRODUCT_TILES[5].in_halves(), slices: 1 };
    product_of(graph, x, options, Some(tiling)).unwrap();
}

fn plain(weight: ValueId) -> Linear {
    Linear { weight, bias: None, activation: Activation::None, rows: ReadRows::All }
}

/// Every tile that is offered, and some that give subgroups of any size less than a block each, one, and more.
fn tiles() -> Vec<Tile> {
    let whole = ProductShape { rows: 512, columns: 1152, k: 1152 };
    let caps = Caps { workgroup_memory: 32 << 10, ..Caps::minimum() };
    let offered = [32, 64].into_iter().flat_map(|lanes| tilings_in_units(whole, &caps, lanes));
    let mut tiles: Vec<Tile> = offered.map(|tiling| tiling.tile).collect();
    for (rows, columns, k_step, blocks) in [
        (128, 128, 16, [4, 4]), // 64 threads for 16 blocks
        (32, 32, 32, [1, 1]),   // 64 for one
    ] {
        tiles.push(Tile { rows, columns, k_step, blocks });
    }
    tiles.sort_by_key(|tile| (tile.rows, tile.columns, tile.threads()));
    tiles.dedup();
    tiles
}

/// A row more than a tile and a column less, with k whole and in rows of whole eights; or the reverse, with k in slices that
/// do not share it evenly and in rows of any length. k ends within a step. The tiles take turns: Mesa compiles each of
/// these kernels for some seconds.
#[test]
fn every_tile_agrees_where_it_is_not_full() {
    let Some(gpu) = posing_with_units() else { return };
    let mut case = Case::new();
    for (t, tile) in tiles().into_iter().enumerate() {
        let (slices, m, k, o) = match t % 2 {
            0 => (1, tile.rows + 1, 2 * tile.k_step + 8, tile.columns - 1),
            _ => (3, tile.rows - 1, 3 * tile.k_step - 3, tile.columns + 1),
        };
        let x = case.input(&format!("x{t}"), &[m, k]);
        let weight = case.weight(&format!("w{t}"), &[o, k], Format::F16);
        product_of(&mut case.graph, x, plain(weight), Some(Tiling { tile, slices })).unwrap();
    }
    case.agrees_on(gpu, TOLERANCE);
}

#[test]
fn agrees_in_every_format_with_all_that_follows_the_sum() {
    let Some(gpu) = posing_with_units() else { return };
    let mut case = Case::new();
    let whole = Format::ALL.map(|format| (format, 100, 1));
    for (format, k, slices) in whole.into_iter().chain([(Format::F16, 104, 3)]) {
        let name = format!("{format} {k} {slices}");
        let x = case.input(&format!("x {name}"), &[2, 11, k]);
        let weight = case.weight(&format!("w {name}"), &[70, k], format);
        let bias = case.input(&format!("b {name}"), &[70]);
        let index = case.indices(&format!("i {name}"), &[2, 10, 1], (0..20).map(|i| i * 7 % 11).collect());
        let row_weight = case.input(&format!("r {name}"), &[2, 10, 1]);
        let rows = ReadRows::Map { index, weight: Some(row_weight) };
        let options = Linear { weight, bias: Some(bias), activation: Activation::GeluTanh, rows };
        let tiling = Tiling { tile: PRODUCT_TILES[5].in_halves(), slices };
        product_of(&mut case.graph, x, options, Some(tiling)).unwrap();
    }
    case.agrees_on(gpu, TOLERANCE);
}

/// Sums beyond f16's largest number, and below its least, of numbers that it has.
#[test]
fn sums_are_f32() {
    let Some(gpu) = posing_with_units() else { return };
    let mut case = Case::new();
    for (name, scale) in [("large", 2e4), ("small", 1e-3)] {
        let x = case.random(40 * 1000).into_iter().map(|x| x * scale).collect();
        let x = case.input_of(name, &[40, 1000], x);
        let weight = case.weight(&format!("{name} w"), &[33, 1000], Format::F16);
        on_units(&mut case.graph, x, plain(weight));
    }
    case.agrees_on(gpu, TOLERANCE);
}

#[test]
fn a_weight_larger_than_a_binding_is_computed_in_parts() {
    let Some(gpu) = posing_with_units() else { return };
    let mut case = Case::new();
    let x = case.input("x", &[16, 64]);
    let weight = case.weight("w", &[150, 64], Format::F16);
    let bias = case.input("b", &[150]);
    on_units(&mut case.graph, x, Linear { bias: Some(bias), ..plain(weight) });
    let small = gpu.with_caps(Caps { max_binding: 96 * 64 * 2, ..gpu.caps().clone() });
    assert_eq!(case.graph.nodes()[0].op.record(&case.graph, small.caps()).unwrap().len(), 3);
    case.agrees_on(&small, TOLERANCE);
}

/// Rows of a map that come from a buffer may be anything.
#[test]
fn an_index_beyond_the_rows_stays_inside_x() {
    let Some(gpu) = posing_with_units() else { return };
    let mut case = Case::new();
    let x = case.input("x", &[2, 20, 36]);
    let weight = case.weight("w", &[20, 36], Format::F16);
    let index = (0..40).map(|i| if i % 2 == 0 { u32::MAX - i } else { 20 + i }).collect();
    let index = case.indices("index", &[2, 20, 1], index);
    on_units(&mut case.graph, x, Linear { rows: ReadRows::Map { index, weight: None }, ..plain(weight) });
    let watched = gpu.watched();
    case.run(&watched);
    assert_eq!(pollster::block_on(watched.index_beyond()).unwrap(), None);
}

#[test]
fn hardware_takes_its_units_where_they_were_measured_to_be_fastest() {
    let mut graph = Graph::new();
    let x = graph.stored("x", &[40, 64], Element::F32);
    for format in Format::ALL {
        let weight = graph.stored(format!("w {format}"), &[20, 64], Element::Packed(format));
        linear(&mut graph, x, plain(weight)).unwrap();
        graph.beyond_f16(|graph| linear(graph, x, plain(weight))).unwrap();
    }
    let shaders = |caps: &Caps| -> Vec<_> {
        graph.nodes().iter().map(|node| node.op.record(&graph, caps).unwrap()[0].shader.name).collect()
    };
    for (units, name) in [(MatrixUnits::Eight, "linear_matrix_8"), (MatrixUnits::Sixteen, "linear_matrix_16")] {
        let caps = Caps { f16: true, matrix_units: Some(units), ..Caps::minimum() };
        let (f32, f16) = ("linear", "linear_f16");
        assert_eq!(shaders(&caps), [f32, f32, f16, f32, f32, f32, f16, f32, f16, f32]);
        // To be measured: some of each kind.
        let candidates = |node: usize| graph.nodes()[node].op.candidates(&graph, &caps).unwrap().variants;
        let named = |name: &str, node| candidates(node).iter().filter(|variant| variant.starts_with(name)).count();
        assert!(candidates(2)[0].starts_with("halves "));
        assert!(named("units ", 2) > 1 && named("halves ", 2) > 1 && named("tiled ", 2) > 1);
        assert_eq!(named("units ", 0), 0);

        let mut choices = Choices::default();
        let first = candidates(2).into_iter().find(|variant| variant.starts_with("units ")).unwrap();
        for format in Format::ALL {
            for in_f16 in ["", " in f16"] {
                choices.insert(SHADER.name, &format!("40x20x64 {format}{in_f16}"), &first);
            }
        }
        let caps = Caps { choices: choices.into(), ..caps };
        assert_eq!(shaders(&caps), [f32, f32, name, f32, f32, f32, name, f32, name, f32]);
        assert_eq!(shaders(&Caps { arithmetic: crate::Arithmetic::Exact, ..caps.clone() }), [f32; 10]);
        assert_ne!(shaders(&Caps { matrix_units: None, ..caps })[2], name);
    }
}
