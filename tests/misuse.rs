//! Hosts that misuse the low level: whatever they hand over, it is an error and no panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{device, golden};
use foveate::low_level::device::{Memory, Plan, Processor, ProcessorOptions, Reference, Store};
use foveate::low_level::graph::{Element, Graph, ValueId};
use foveate::low_level::kernels::{self, Attention, Columns, Conv2d, GroupNorm, Norm, Pick, PoolKind, Pooling};
use foveate::low_level::tensor::Data;
use foveate::low_level::weights::Format;
use foveate::{Area, Device, Embeds, Error, Grid, Ids, LoadOptions, Pipeline, Request, Result, Size, Source, Tensor};
use pollster::block_on;

const HUGE: usize = usize::MAX;

fn devices() -> [Device; 3] {
    let processor = Processor::new(ProcessorOptions::default()).unwrap();
    [processor.into(), Reference::new().into(), device().clone()]
}

/// What comes of a graph on a device, from its first op to its last.
fn run(device: &Device, build: impl FnOnce(&mut Graph) -> Result<()>) -> Result<()> {
    let (mut graph, mut store) = (Graph::new(), Store::new());
    build(&mut graph)?;
    block_on(async {
        for value in graph.values().iter().filter(|value| matches!(value.element, Element::Packed(_))) {
            store.allocate(device, &value.name, &value.shape, value.element).await?;
        }
        store.allocate_missing(device, &graph).await?;
        let plan = Plan::compile(device, &graph, &store, Memory::Shared).await?;
        device.run_to_end(&[plan.program()]).await
    })
}

fn numbers(graph: &mut Graph, shape: &[usize]) -> ValueId {
    graph.stored("x", shape, Element::F32)
}

/// Products of which the low bits alone look harmless.
#[test]
fn shapes_whose_products_overflow_are_refused() {
    type Misuse = fn(&mut Graph) -> Result<ValueId>;
    let cases: &[(&str, Misuse)] = &[
        ("has no columns 0..18446744073709551615", |graph| {
            let all = Columns { value: numbers(graph, &[2, 3, 8]), offset: 0 };
            kernels::attention(graph, all, all, all, heads(1 << 63, 2))
        }),
        ("has no columns 18446744073709551615..18446744073709551615", |graph| {
            let all = Columns { value: numbers(graph, &[2, 3, 8]), offset: HUGE };
            kernels::attention(graph, all, all, all, heads(1, 2))
        }),
        ("has no columns 0..18446744073709551615", |graph| {
            let all = Columns { value: numbers(graph, &[2, 3, 8]), offset: 0 };
            kernels::attention_columns(graph, all, all, heads(1 << 63, 2))
        }),
        ("8 features do not divide into patches", |graph| {
            let x = numbers(graph, &[1, 4, 8]);
            kernels::unpatchify(graph, x, 1 << 32, [2, 2])
        }),
        ("4 tokens are not 9223372036854775808×2", |graph| {
            let x = numbers(graph, &[1, 4, 8]);
            kernels::unpatchify(graph, x, 2, [1 << 63, 2])
        }),
        ("is no grid of 9223372036854775808×2 tokens", |graph| {
            let x = Columns { value: numbers(graph, &[1, 0, 8]), offset: 0 };
            kernels::pool_tokens(graph, x, 8, [1 << 63, 2], Pooling { stride: 2, kind: PoolKind::Average })
        }),
        ("has no columns 18446744073709551615..18446744073709551615", |graph| {
            let x = Columns { value: numbers(graph, &[1, 4, 8]), offset: HUGE };
            kernels::pool_tokens(graph, x, 8, [2, 2], Pooling { stride: 2, kind: PoolKind::Average })
        }),
        ("x has shape [1, 0, 8], expected [1, 18446744073709551615, 8]", |graph| {
            let x = numbers(graph, &[1, 0, 8]);
            kernels::window_scores(graph, x, [1 << 63, 2], None).map(|_| x)
        }),
        ("the adapter is too small: position", |graph| kernels::pick(graph, 2, [HUGE, HUGE], [1, 1], Pick::First)),
        ("[1, 3, 0, 8] has no pixel", |graph| {
            let x = numbers(graph, &[1, 3, 0, 8]);
            let weight = graph.stored("w", &[3], Element::F32);
            let options = GroupNorm { weight, bias: weight, groups: 1, eps: 1e-6, silu: false, like: None };
            kernels::group_norm(graph, x, options)
        }),
        ("x has shape", |graph| {
            let x = graph.stored("x", &[HUGE, 2, 8], Element::F32);
            kernels::rgba(graph, x)
        }),
        ("cannot convolve", |graph| {
            let x = numbers(graph, &[1, 3, 8, 8]);
            let weight = graph.stored("w", &[2, 3, 3, 3], Element::Packed(Format::F16));
            let padding = [1 << 40; 4];
            kernels::conv2d(graph, x, Conv2d { weight, bias: None, stride: 1 << 40, padding, upsample: true })
        }),
    ];
    for device in devices() {
        for (reason, misuse) in cases {
            let error = run(&device, |graph| misuse(graph).map(drop)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}: not {reason}");
        }
    }
}

fn heads(heads: usize, head_dim: usize) -> Attention {
    Attention { heads, head_dim, scale: 1.0, key_bias: None, position_bias: None }
}

#[test]
fn empty_tensors_are_normalised_to_nothing() {
    for device in devices() {
        for shape in [[1, 0, 8], [0, 3, 8], [1, 3, 0]] {
            let norm = |graph: &mut Graph| {
                let x = numbers(graph, &shape);
                kernels::norm(graph, x, Norm { eps: 1e-6, ..Norm::default() }).map(drop)
            };
            run(&device, norm).unwrap();
        }
    }
}

#[test]
fn a_store_refuses_what_does_not_fit_it() {
    for device in devices() {
        let mut store = Store::new();
        let packed = Element::Packed(Format::F16);
        block_on(store.allocate(&device, "w", &[4, 64], packed)).unwrap();
        let words = [0; 64]; // two rows
        store.write_rows(&device, "w", 2, &words).unwrap();
        for first in [3, HUGE] {
            let error = store.write_rows(&device, "w", first, &words).unwrap_err().to_string();
            assert!(error.contains("lie outside its 4"), "{error}");
        }
        // More than any memory, in parts that a device could bind.
        for shape in [[1 << 40, 64], [HUGE, HUGE]] {
            for element in [packed, Element::Packed(Format::Int4), Element::F32] {
                let error = block_on(store.allocate(&device, "a", &shape, element)).unwrap_err().to_string();
                assert!(error.starts_with("the adapter is too small: "), "{error}");
            }
        }
        let shape = [HUGE, 2, 0, HUGE];
        block_on(store.allocate(&device, "none", &shape, Element::F32)).unwrap();
        assert_eq!(block_on(store.read(&device, "none")).unwrap().shape, shape);
        for shape in [1, 3] {
            let given = Tensor { shape: vec![shape], data: Data::F32(vec![0.0; 2]) };
            let error = block_on(store.insert(&device, "t", &given)).unwrap_err().to_string();
            assert_eq!(error, format!("tensor t: 2 values cannot fill the shape [{shape}]"));
        }
        // As much as there is.
        let buffer = block_on(device.allocate(16, "x")).unwrap();
        assert_eq!(block_on(device.read(&buffer, u64::MAX)).unwrap(), [0; 16]);
    }
}

#[test]
fn areas_beyond_all_bounds_overflow_nothing() {
    let all = Area { rows: 0..HUGE, columns: 0..HUGE };
    assert_eq!((all.count(), all.times(2)), (HUGE, all.clone()));
    let later = Area { rows: 5..7, columns: 5..7 };
    assert_eq!(Area { rows: 0..2, columns: 0..9 }.within(&later), Area { rows: 0..0, columns: 0..4 });
    assert_eq!(Grid::new(HUGE, 2).tokens(), HUGE);
}

/// What a request says of one thing must fit what it says of the others, and the model.
#[test]
fn requests_that_contradict_themselves_are_refused() {
    let processor = Device::from(Processor::new(ProcessorOptions::default()).unwrap());
    let half = |shape: &[usize]| Tensor::new(shape, vec![0.5; shape.iter().product()]).unwrap();
    let embeds = |shape: &[usize], mask| Some(Embeds { embeds: half(shape), mask, negative: None });
    let ids = |ids, mask, negative| Some(Ids { ids, mask, negative });
    for device in [&processor, device()] {
        for name in ["dit_ddim", "pixart_alpha"] {
            let source = Source::Folder(golden(name).join("model"));
            let pipe = block_on(Pipeline::load(device, source, LoadOptions::default(), |_| {})).unwrap();
            let base = match name {
                "dit_ddim" => Request { steps: Some(1), ..Request::class(1) },
                _ => Request { steps: Some(1), ..Request::prompt("a fox") },
            };
            let with = |change: &dyn Fn(&mut Request)| {
                let mut request = base.clone();
                change(&mut request);
                request
            };
            let requests = [
                with(&|r| r.size = Some(Size::new(0, 0))),
                with(&|r| r.class = Some(u32::MAX)),
                with(&|r| r.steps = Some(HUGE)),
                with(&|r| r.init_latents = Some(half(&[]))),
                with(&|r| r.init_latents = Some(half(&[1]))),
                with(&|r| (r.init_latents, r.count) = (Some(half(&[2, 4, 8, 8])), Some(1))),
                with(&|r| r.init_latents = Some(Tensor::indices(&[1, 4, 8, 8], vec![0; 256]).unwrap())),
                with(&|r| r.image = Some(half(&[3, 0, 0]))),
                with(&|r| r.image = Some(half(&[3, 17, 16]))),
                with(&|r| r.image = Some(Tensor::indices(&[3, 16, 16], vec![0; 768]).unwrap())),
                with(&|r| r.mask = Some(half(&[16, 16]))),
                with(&|r| r.image_latents = Some(half(&[2, 3, 8, 8]))),
                with(&|r| (r.image, r.strength) = (Some(half(&[3, 16, 16])), Some(f64::NAN))),
                with(&|r| r.prompt_embeds = embeds(&[1, 0, 32], vec![])),
                with(&|r| r.prompt_embeds = embeds(&[3], vec![1; 2])),
                with(&|r| r.prompt_embeds = embeds(&[1, 2, 32], vec![1; 5])),
                with(&|r| r.prompt_ids = ids(vec![], vec![], None)),
                with(&|r| r.prompt_ids = ids(vec![1; 3], vec![1], None)),
                with(&|r| r.prompt_ids = ids(vec![1; 3], vec![1; 3], Some((vec![u32::MAX; 2], vec![2; 3])))),
                with(&|r| r.prompt_ids = ids(vec![1; 1 << 20], vec![1; 1 << 10], None)),
                with(&|r| r.scheduler = Some("\u{1b}[2J".into())),
            ];
            for (index, request) in requests.iter().enumerate() {
                match block_on(pipe.prepare(request)) {
                    Ok(_) => panic!("{name}: request {index} is prepared"),
                    Err(error) => assert!(!error.to_string().contains('\u{1b}'), "{error}"),
                }
            }
            // Out of order, and of nothing.
            let mut fresh = block_on(pipe.prepare(&base)).unwrap();
            assert!(block_on(fresh.read("no such tensor")).is_err());
            assert!(block_on(fresh.trace()).unwrap().is_empty());
            let mut state = block_on(fresh.state()).unwrap();
            state.taken = HUGE;
            assert!(fresh.resume(&state).is_err());
            (state.taken, state.words) = (1, vec![u32::MAX; state.words.len()]);
            fresh.resume(&state).unwrap();
            let error = block_on(fresh.complete()).unwrap_err();
            assert!(matches!(error, Error::NotFinite { .. }), "{error}");
            let pictures = block_on(pipe.generate(&base)).unwrap();
            assert!(pictures.rgb(1).is_err() && pictures.planes(HUGE).is_err());
            for size in [Size::new(0, 7), Size::new(HUGE, 1), Size::new(HUGE, HUGE)] {
                let canvas = pipe.canvas_for(size);
                assert!(canvas.is_err() || canvas.is_ok_and(|canvas| canvas.width > 0 && canvas.height > 0));
            }
        }
    }
}
