//! Every way through attention against the reference, and which one a device takes.

use super::*;
use crate::graph::AdapterClass;
use crate::testing::{Case, gpu, posing_as};

/// Weighted means of up to a few hundred values; exp in f32 is good to a few units of 1e-7.
const TOLERANCE: f64 = 1e-5;

/// The ways of a software adapter with subgroups and without, and of a GPU in small tiles.
fn every_way(case: &Case) {
    case.agrees_on(posing_as(AdapterClass::Software), TOLERANCE);
    let caps = Caps { class: AdapterClass::Software, subgroup_lanes: None, ..gpu().caps().clone() };
    case.agrees_on(gpu().with_caps(caps), TOLERANCE);
    case.agrees_on(gpu().with_caps(hardware(u32::MAX)), TOLERANCE);
}

/// A GPU that so many threads fill.
fn hardware(busy_threads: u32) -> Caps {
    Caps { class: AdapterClass::Hardware, busy_threads, ..gpu().caps().clone() }
}

pub fn plain(heads: usize, head_dim: usize) -> Attention {
    let scale = 1.0 / (head_dim as f32).sqrt();
    Attention { heads, head_dim, scale, key_bias: None, position_bias: None }
}

pub fn whole(case: &mut Case, name: &str, shape: [usize; 3]) -> Columns {
    Columns { value: case.input(name, &shape), offset: 0 }
}

#[test]
fn agrees_over_odd_sizes() {
    let mut case = Case::new();
    let sizes = [
        (1, 1, 1, 1, 1),
        (1, 1, 2, 1, 64),
        (2, 1, 1, 33, 4),
        (1, 2, 33, 1, 3),
        (2, 3, 31, 40, 16),
        (1, 2, 70, 65, 72),
        (2, 2, 16, 120, 37),
        (1, 1, 40, 35, 100),
        (1, 2, 9, 33, 130),
        (1, 1, 34, 34, 512),
        // Enough queries for lanes that share a head; the last ones are not there.
        (2, 1, 125, 37, 20),
        (1, 2, 250, 18, 8),
    ];
    for (i, (batch, heads, queries, keys, dim)) in sizes.into_iter().enumerate() {
        let q = whole(&mut case, &format!("q{i}"), [batch, queries, heads * dim]);
        let k = whole(&mut case, &format!("k{i}"), [batch, keys, heads * dim]);
        let v = whole(&mut case, &format!("v{i}"), [batch, keys, heads * dim]);
        let out = attention(&mut case.graph, q, k, v, plain(heads, dim)).unwrap();
        assert_eq!(case.graph.shape(out), [batch, queries, heads * dim]);
    }
    every_way(&case);
}

#[test]
fn large_tiles_are_for_gpus_that_they_fill() {
    let tile = |queries: usize, caps: &Caps| {
        let mut graph = Graph::new();
        let [q, k] = [("q", queries), ("k", 256)]
            .map(|(name, rows)| Columns { value: graph.transient(name, &[2, rows, 16 * 72]), offset: 0 });
        attention(&mut graph, q, k, k, plain(16, 72)).unwrap();
        let op = &graph.nodes()[0].op;
        let candidates = op.candidates(&graph, caps).map(|candidates| candidates.variants);
        let dispatch = op.record(&graph, caps).unwrap().remove(0);
        (dispatch.entry, dispatch.workgroups[0], candidates)
    };
    // 256 queries of 2 × 16 heads are 128 tiles of 64, with as many threads each.
    let both = |first: &str, second: &str| Some(vec![first.to_owned(), second.to_owned()]);
    assert_eq!(tile(256, &hardware(8192)), ("wide", 128, both("wide", "staged")));
    assert_eq!(tile(256, &hardware(8193)), ("staged", 256, both("staged", "wide")));
    assert_eq!(tile(32, &hardware(1)), ("staged", 32, both("staged", "wide")));
    assert_eq!(tile(256, &Caps { name: "Adreno (TM) 740".into(), ..hardware(1) }), ("staged", 256, None));

    // What was measured counts.
    let mut caps = hardware(8192);
    let mut choices = crate::graph::Choices::default();
    choices.insert("attention", "256 to 256, 2x16 heads of 72", "staged");
    caps.choices = choices.into();
    assert_eq!(tile(256, &caps).0, "staged");
}

/// Fewer sizes, since a software adapter takes long to compile so many registers.
#[test]
fn large_tiles_agree() {
    for (samples, heads, queries, keys, dim, biased) in
        [(2, 1, 70, 40, 16, true), (1, 2, 33, 65, 37, false), (1, 1, 130, 35, 100, false), (1, 1, 66, 33, 150, true)]
    {
        let mut case = Case::new();
        let q = whole(&mut case, "q", [samples, queries, heads * dim]);
        let [k, v] = ["k", "v"].map(|name| whole(&mut case, name, [1, keys, heads * dim]));
        let key_bias = biased.then(|| case.input("key_bias", &[samples, keys]));
        let position_bias = biased.then(|| case.input("position_bias", &[heads, queries, keys]));
        let options = Attention { key_bias, position_bias, ..plain(heads, dim) };
        attention(&mut case.graph, q, k, v, options).unwrap();
        let caps = hardware(1);
        assert_eq!(case.graph.nodes()[0].op.record(&case.graph, &caps).unwrap()[0].entry, "wide");
        case.agrees_on(gpu().with_caps(caps), TOLERANCE);
    }
}

/// Mesa's software adapter, were it asked for more rounds than it has, would be wrong without a word.
#[test]
fn agrees_to_the_last_key_that_an_adapter_allows() {
    let caps = Caps { class: AdapterClass::Software, max_rounds: 65_535, ..gpu().caps().clone() };
    for (keys, fits) in [(34_800, true), (34_960, false)] {
        let mut case = Case::new();
        let q = whole(&mut case, "q", [1, 1, 72]);
        let [k, v] = ["k", "v"].map(|name| whole(&mut case, name, [1, keys, 72]));
        attention(&mut case.graph, q, k, v, plain(1, 72)).unwrap();
        match case.graph.nodes()[0].op.record(&case.graph, &caps) {
            Ok(_) => case.agrees_on(gpu().with_caps(caps.clone()), TOLERANCE),
            Err(error) => assert!(error.to_string().contains("attention to 34960 keys of 72 numbers"), "{error}"),
        }
        assert_eq!(case.graph.nodes()[0].op.record(&case.graph, &caps).is_ok(), fits);
    }
}

#[test]
fn agrees_over_columns_of_one_value() {
    let mut case = Case::new();
    for dim in [8, 9] {
        let value = case.input(&format!("qkv{dim}"), &[2, 37, 3 * 2 * dim]);
        let [q, k, v] = [0, 1, 2].map(|i| Columns { value, offset: i * 2 * dim });
        attention(&mut case.graph, q, k, v, plain(2, dim)).unwrap();
    }
    every_way(&case);
}

#[test]
fn agrees_with_one_text_for_all_samples() {
    let mut case = Case::new();
    let q = whole(&mut case, "q", [3, 20, 32]);
    let value = case.input("kv", &[1, 45, 64]);
    let (k, v) = (Columns { value, offset: 0 }, Columns { value, offset: 32 });
    let mask: Vec<f32> = (0..3 * 45).map(|i| if i % 45 < 7 + i / 45 { 0.0 } else { -10000.0 }).collect();
    let key_bias = Some(case.input_of("mask", &[3, 45], mask));
    attention(&mut case.graph, q, k, v, Attention { key_bias, ..plain(2, 16) }).unwrap();
    every_way(&case);
}

#[test]
fn agrees_with_position_bias() {
    let mut case = Case::new();
    let q = whole(&mut case, "q", [2, 35, 64]);
    let k = whole(&mut case, "k", [2, 35, 64]);
    let v = whole(&mut case, "v", [2, 35, 64]);
    let position_bias = Some(case.input("positions", &[4, 35, 35]));
    let key_bias = Some(case.input("keys", &[2, 35]));
    let options = Attention { scale: 1.0, position_bias, key_bias, ..plain(4, 16) };
    attention(&mut case.graph, q, k, v, options).unwrap();
    every_way(&case);
}

#[test]
fn masks_of_every_depth_give_what_softmax_gives() {
    for masked in [-10000.0, f32::MIN, f32::NEG_INFINITY] {
        let mut case = Case::new();
        let [q, k, v] = ["q", "k", "v"].map(|name| whole(&mut case, name, [3, 40, 8]));
        // The first sample keeps its last three keys, the second its first, the third none.
        let kept = |sample: usize, key: usize| [key >= 37, key < 1, false][sample];
        let mask = triples(1, 3, 40).map(|(_, sample, key)| if kept(sample, key) { 0.0 } else { masked });
        let mask = mask.collect();
        let key_bias = Some(case.input_of("mask", &[3, 40], mask));
        attention(&mut case.graph, q, k, v, Attention { key_bias, ..plain(1, 8) }).unwrap();
        // Beside −10000 a score keeps three decimals in f32.
        for class in [AdapterClass::Software, AdapterClass::Hardware] {
            case.agrees_on(gpu().with_caps(Caps { class, ..gpu().caps().clone() }), 1e-3);
        }
    }
}

#[test]
fn scores_of_thousands_do_not_overflow() {
    let mut case = Case::new();
    let [q, k, v] = ["q", "k", "v"].map(|name| whole(&mut case, name, [1, 33, 16]));
    attention(&mut case.graph, q, k, v, Attention { scale: 1000.0, ..plain(1, 16) }).unwrap();
    // Scores near 1e4 are rounded to 1e-3, and so are the weights.
    case.agrees(2e-3);
}

#[test]
fn refuses_what_does_not_fit() {
    let mut case = Case::new();
    let q = whole(&mut case, "q", [4, 10, 24]);
    let k = whole(&mut case, "k", [4, 12, 24]);
    let two = whole(&mut case, "two", [2, 12, 24]);
    let bias = case.input("bias", &[4, 10]);
    let mut refused = |q, k, v, options, reason: &str| {
        let error = attention(&mut case.graph, q, k, v, options).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused(q, two, two, plain(2, 12), "q, k and v have shapes [[4, 10, 24], [2, 12, 24], [2, 12, 24]]");
    refused(q, k, q, plain(2, 12), "q, k and v have shapes");
    refused(q, k, k, plain(2, 13), "q [4, 10, 24] has no columns 0..26");
    refused(q, k, Columns { offset: 1, ..k }, plain(2, 12), "k [4, 12, 24] has no columns 1..25");
    refused(q, k, k, plain(1, 513), "1 heads of 513");
    refused(q, k, k, Attention { key_bias: Some(bias), ..plain(2, 12) }, "bias has shape [4, 10], expected [4, 12]");
    refused(
        q,
        k,
        k,
        Attention { position_bias: Some(bias), ..plain(2, 12) },
        "bias has shape [4, 10], expected [2, 10, 12]",
    );
}
