//! Every way through the product, in every format, against the reference.

use super::*;
use crate::kernels::PRODUCT_TILES;
use crate::testing::{Case, gpu, posing_as, posing_with_f16};

/// f32 sums of up to a few hundred products, in another order than the reference's.
const TOLERANCE: f64 = 3e-6;

/// In f16: x is rounded, by 2⁻¹¹ of itself at most and 0.4 of that in the mean square, and so are weights of 32 bits. A
/// sum of 16 products of either sign is rounded 16 times, by as much of what it has reached: √8 times one rounding in all.
/// So √(2 + 8) · 0.4 · 2⁻¹¹ = 6e-4 is expected.
const TOLERANCE_F16: f64 = 1e-3;

/// The ways that a device of either class takes, and a software adapter without subgroups.
fn every_way(case: &Case) {
    for class in [AdapterClass::Software, AdapterClass::Hardware] {
        case.agrees_on(posing_as(class), TOLERANCE);
    }
    let caps = Caps { class: AdapterClass::Software, subgroup_lanes: None, ..gpu().caps().clone() };
    case.agrees_on(gpu().with_caps(caps), TOLERANCE);
}

fn plain(weight: ValueId) -> Linear {
    Linear { weight, bias: None, activation: Activation::None, rows: ReadRows::All }
}

#[test]
fn agrees_over_odd_sizes() {
    let mut case = Case::new();
    for (i, (m, k, o)) in [
        (1, 1, 1),
        (1, 64, 200),
        (2, 37, 17),
        (4, 132, 16),
        (5, 3, 1),
        (17, 37, 65),
        (64, 16, 64),
        (65, 20, 63),
        (130, 72, 129),
        (33, 100, 8),
    ]
    .into_iter()
    .enumerate()
    {
        let x = case.input(&format!("x{i}"), &[m, k]);
        let weight = case.weight(&format!("w{i}"), &[o, k], Format::F32);
        linear(&mut case.graph, x, plain(weight)).unwrap();
    }
    every_way(&case);
}

#[test]
fn every_tile_agrees_where_it_is_not_full() {
    let mut case = Case::new();
    for (t, &tile) in PRODUCT_TILES.iter().enumerate() {
        // Whole, and with k in slices that do not share it evenly.
        for slices in [1, 3] {
            // A row more than a tile and a column less, or the reverse; k that ends within a step, with and without
            // whole vec4.
            for (m, k, o) in [
                (tile.rows + 1, 2 * tile.k_step * slices + 4, tile.columns - 1),
                (tile.rows - 1, tile.k_step * slices - 3, tile.columns + 1),
            ] {
                let x = case.input(&format!("x{t} {slices} {m}"), &[m, k]);
                let weight = case.weight(&format!("w{t} {slices} {m}"), &[o, k], Format::F32);
                product_of(&mut case.graph, x, plain(weight), Some(Tiling { tile, slices })).unwrap();
            }
        }
    }
    case.agrees_on(posing_as(AdapterClass::Hardware), TOLERANCE);
}

#[test]
fn tiles_agree_in_every_format_with_all_that_follows_the_sum() {
    let mut case = Case::new();
    for format in Format::ALL {
        let x = case.input(&format!("x {format}"), &[2, 11, 100]);
        let weight = case.weight(&format!("w {format}"), &[70, 100], format);
        let bias = case.input(&format!("b {format}"), &[70]);
        let index = case.indices(&format!("i {format}"), &[2, 10, 1], (0..20).map(|i| i * 7 % 11).collect());
        let row_weight = case.input(&format!("r {format}"), &[2, 10, 1]);
        let rows = ReadRows::Map { index, weight: Some(row_weight) };
        let options = Linear { weight, bias: Some(bias), activation: Activation::GeluTanh, rows };
        for (tile, slices) in [(PRODUCT_TILES[2], 1), (PRODUCT_TILES[6], 3)] {
            product_of(&mut case.graph, x, options, Some(Tiling { tile, slices })).unwrap();
        }
    }
    case.agrees_on(posing_as(AdapterClass::Hardware), TOLERANCE);
}

/// In f16: each tile with a row more and a column less than it holds, or the reverse; k that ends within a step, with
/// rows of whole blocks and rows of any length; whole, and with k in slices that do not share it evenly.
#[test]
fn every_tile_agrees_in_f16_where_it_is_not_full() {
    let mut case = Case::new();
    for (t, &tile) in PRODUCT_TILES.iter().enumerate() {
        let tile = tile.in_halves();
        for slices in [1, 3] {
            for (m, k, o) in [
                (tile.rows + 1, 2 * tile.k_step * slices + 8, tile.columns - 1),
                (tile.rows - 1, tile.k_step * slices - 3, tile.columns + 1),
            ] {
                let x = case.input(&format!("x{t} {slices} {m}"), &[m, k]);
                let weight = case.weight(&format!("w{t} {slices} {m}"), &[o, k], Format::F16);
                product_of(&mut case.graph, x, plain(weight), Some(Tiling { tile, slices })).unwrap();
            }
        }
    }
    case.agrees_on(posing_with_f16(), TOLERANCE_F16);
}

#[test]
fn agrees_in_f16_in_every_format_with_all_that_follows_the_sum() {
    let mut case = Case::new();
    for format in Format::ALL {
        for (k, tile, slices) in [(100, PRODUCT_TILES[6], 3), (104, PRODUCT_TILES[5], 1)] {
            let x = case.input(&format!("x {format} {k}"), &[2, 11, k]);
            let weight = case.weight(&format!("w {format} {k}"), &[70, k], format);
            let bias = case.input(&format!("b {format} {k}"), &[70]);
            let index = case.indices(&format!("i {format} {k}"), &[2, 10, 1], (0..20).map(|i| i * 7 % 11).collect());
            let row_weight = case.input(&format!("r {format} {k}"), &[2, 10, 1]);
            let rows = ReadRows::Map { index, weight: Some(row_weight) };
            let options = Linear { weight, bias: Some(bias), activation: Activation::GeluTanh, rows };
            let tiling = Tiling { tile: tile.in_halves(), slices };
            product_of(&mut case.graph, x, options, Some(tiling)).unwrap();
        }
    }
    case.agrees_on(posing_with_f16(), TOLERANCE_F16);
}

/// Products of numbers far apart, none of which f16 loses: sums near its largest number, and near its least.
#[test]
fn f16_holds_sums_of_any_size_that_it_can_express() {
    let mut case = Case::new();
    for (scale, name) in [(200.0, "large"), (2e-3, "small")] {
        let x = case.random(40 * 64).into_iter().map(|x| x * scale).collect();
        let x = case.input_of(name, &[40, 64], x);
        let weight = case.weight(&format!("{name} w"), &[33, 64], Format::F16);
        linear(&mut case.graph, x, plain(weight)).unwrap();
    }
    case.agrees_on(posing_with_f16(), TOLERANCE_F16);
}

#[test]
fn f16_is_left_where_numbers_may_be_beyond_it() {
    let mut graph = Graph::new();
    let x = graph.stored("x", &[40, 64], Element::F32);
    for format in Format::ALL {
        let weight = graph.stored(format!("w {format}"), &[20, 64], Element::Packed(format));
        linear(&mut graph, x, plain(weight)).unwrap();
        graph.beyond_f16(|graph| linear(graph, x, plain(weight))).unwrap();
    }
    let caps = Caps { f16: true, ..Caps::minimum() };
    let shaders = |caps: &Caps| -> Vec<_> {
        graph.nodes().iter().map(|node| node.op.record(&graph, caps).unwrap()[0].shader.name).collect()
    };
    let (f32, f16) = ("linear", "linear_f16");
    assert_eq!(shaders(&caps), [f32, f32, f16, f32, f32, f32, f16, f32, f16, f32]);
    assert_eq!(shaders(&Caps { f16: false, ..caps.clone() }), [f32; 10]);
    let candidates = |node: usize| graph.nodes()[node].op.candidates(&graph, &caps).unwrap().variants;
    let named = |name: &str, node| candidates(node).iter().filter(|variant| variant.starts_with(name)).count();
    assert!(named("halves ", 2) > 3 && named("tiled ", 2) > 3 && named("halves ", 0) == 0);
}

#[test]
fn agrees_in_every_format() {
    let mut case = Case::new();
    for format in Format::ALL {
        for (m, k, o) in [(1, 37, 5), (3, 100, 40), (18, 100, 70)] {
            let x = case.input(&format!("x {format} {m}"), &[m, k]);
            let weight = case.weight(&format!("w {format} {m}"), &[o, k], format);
            linear(&mut case.graph, x, plain(weight)).unwrap();
        }
    }
    every_way(&case);
}

#[test]
fn agrees_with_bias_and_activation() {
    use Activation::{GeluErf, GeluTanh, None, Relu, Silu};
    let mut case = Case::new();
    // All ways of computing end in the same lines, so one more than the smallest is enough.
    for (activation, m) in [(None, 2), (Silu, 2), (GeluTanh, 2), (GeluErf, 2), (Relu, 2), (GeluErf, 19)] {
        let x = case.input(&format!("x {activation:?} {m}"), &[m, 24]);
        let weight = case.weight(&format!("w {activation:?} {m}"), &[30, 4, 6], Format::F32);
        let bias = case.input(&format!("b {activation:?} {m}"), &[30]);
        linear(&mut case.graph, x, Linear { bias: Some(bias), activation, ..plain(weight) }).unwrap();
    }
    every_way(&case);
}

#[test]
fn activations_stay_finite_far_out() {
    let mut case = Case::new();
    let x = case.input_of("x", &[6, 1], vec![-1e4, -200.0, -20.0, 20.0, 200.0, 1e4]);
    let weight = case.weight("w", &[1, 1], Format::F32);
    case.stored.insert("w".into(), crate::Tensor::new(&[1, 1], vec![1.0]).unwrap());
    for activation in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf] {
        linear(&mut case.graph, x, Linear { activation, ..plain(weight) }).unwrap();
    }
    case.agrees(1e-6);
}

#[test]
fn agrees_through_row_maps() {
    let mut case = Case::new();
    for (name, k, index) in [
        ("permuted", 5, vec![4, 2, 0, 1, 3, 1, 0, 2, 3, 4]),
        ("repeated", 3, vec![4, 4, 0, 2, 2, 2]),
        ("one", 1, vec![3, 0]),
    ] {
        let x = case.input(&format!("{name} x"), &[2, 5, 36]);
        let index = case.indices(&format!("{name} index"), &[2, k, 1], index);
        let row_weight = case.input(&format!("{name} row weight"), &[2, k, 1]);
        let weight = case.weight(&format!("{name} w"), &[20, 36], Format::F16);
        let bias = case.input(&format!("{name} bias"), &[20]);
        for weight_of in [None, Some(row_weight)] {
            let rows = ReadRows::Map { index, weight: weight_of };
            let out = linear(&mut case.graph, x, Linear { rows, bias: Some(bias), ..plain(weight) }).unwrap();
            assert_eq!(case.graph.shape(out), [2, k, 20]);
        }
    }
    every_way(&case);
}

#[test]
fn a_weight_larger_than_a_binding_is_computed_in_parts() {
    let mut case = Case::new();
    for m in [1, 40] {
        let x = case.input(&format!("x{m}"), &[m, 64]);
        let weight = case.weight(&format!("w{m}"), &[150, 64], Format::F32);
        let bias = case.input(&format!("b{m}"), &[150]);
        linear(&mut case.graph, x, Linear { bias: Some(bias), ..plain(weight) }).unwrap();
    }
    for class in [AdapterClass::Software, AdapterClass::Hardware] {
        // 96 rows fit, of which 64 make whole tiles: parts of 64, 64 and 22 rows.
        let small = gpu().with_caps(Caps { class, max_binding: 96 * 64 * 4, ..gpu().caps().clone() });
        assert_eq!(case.graph.nodes()[0].op.record(&case.graph, small.caps()).unwrap().len(), 3);
        case.agrees_on(&small, TOLERANCE);
    }
}

#[test]
fn slices_of_a_weight_in_parts_are_summed_once() {
    let mut case = Case::new();
    let x = case.input("x", &[16, 64]);
    let weight = case.weight("w", &[150, 64], Format::F32);
    let bias = case.input("b", &[150]);
    let tiling = Tiling { tile: PRODUCT_TILES[6], slices: 2 };
    product_of(&mut case.graph, x, Linear { bias: Some(bias), ..plain(weight) }, Some(tiling)).unwrap();
    let class = AdapterClass::Hardware;
    let small = gpu().with_caps(Caps { class, max_binding: 96 * 64 * 4, ..gpu().caps().clone() });
    let recorded = case.graph.nodes()[0].op.record(&case.graph, small.caps()).unwrap();
    assert_eq!(recorded.iter().map(|dispatch| dispatch.pass).collect::<Vec<_>>(), [SLICES, SLICES, SLICES, SUM]);
    case.agrees_on(&small, TOLERANCE);
}

#[test]
fn refuses_what_does_not_fit() {
    let mut case = Case::new();
    let x = case.input("x", &[2, 5, 36]);
    let weight = case.weight("w", &[20, 36], Format::F32);
    let other = case.weight("other", &[20, 35], Format::F32);
    let bias = case.input("bias", &[21]);
    let index = case.indices("index", &[2, 3, 4], vec![0; 24]);
    let mut refused = |options: Linear, reason: &str| {
        let error = linear(&mut case.graph, x, options).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused(plain(other), "x [2, 5, 36] cannot be multiplied with other [20, 35]");
    refused(plain(bias), "bias is no packed weight");
    refused(Linear { bias: Some(bias), ..plain(weight) }, "bias has shape [21], expected [20]");
    let rows = ReadRows::Map { index, weight: None };
    refused(Linear { rows, ..plain(weight) }, "a map of 4 sources per row");
}

#[test]
fn software_adapters_with_subgroups_hand_rows_round() {
    let mut case = Case::new();
    let x = case.input("x", &[40, 64]);
    let weight = case.weight("w", &[20, 64], Format::F32);
    linear(&mut case.graph, x, plain(weight)).unwrap();
    let shader = |caps: &Caps| case.graph.nodes()[0].op.record(&case.graph, caps).unwrap()[0].shader.name;
    let own = gpu().caps();
    let without = Caps { class: AdapterClass::Software, subgroup_lanes: None, ..own.clone() };
    assert_eq!(shader(&without), "linear");
    assert_eq!(shader(&Caps { subgroups: true, subgroup_lanes: Some(8), ..without }), "linear_broadcast");
    // Mesa's has them, so the other tests here run both.
    if own.name.starts_with("llvmpipe") {
        assert_eq!(shader(own), "linear_broadcast");
    }
}

/// Rows of a map that come from a buffer may be anything: hosts write buffers.
#[test]
fn an_index_beyond_the_rows_stays_inside_x() {
    let mut case = Case::new();
    for rows in [3, 20] {
        let x = case.input(&format!("x{rows}"), &[2, rows, 36]);
        let weight = case.weight(&format!("w{rows}"), &[20, 36], Format::F16);
        let index = (0..2 * rows as u32).map(|i| if i % 2 == 0 { u32::MAX - i } else { rows as u32 + i }).collect();
        let index = case.indices(&format!("index{rows}"), &[2, rows, 1], index);
        let rows = ReadRows::Map { index, weight: None };
        linear(&mut case.graph, x, Linear { rows, ..plain(weight) }).unwrap();
    }
    let without = Caps { class: AdapterClass::Software, subgroup_lanes: None, ..gpu().caps().clone() };
    for gpu in [posing_as(AdapterClass::Software), posing_as(AdapterClass::Hardware), gpu().with_caps(without)] {
        let watched = gpu.watched();
        case.run(&watched);
        assert_eq!(pollster::block_on(watched.index_beyond()).unwrap(), None);
    }
}
