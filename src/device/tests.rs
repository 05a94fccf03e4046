//! What every device must do alike, and what belongs to one of them alone.

use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

use pollster::block_on;

use super::{Copy, Device, Memory, Plan, Processor, ProcessorOptions, Reference, Store};
use crate::graph::{Element, Graph, Home};
use crate::kernels::{Activation, Linear, Norm, NormKind, ReadRows, WriteRows, linear, norm, residual};
use crate::testing::{Case, gpu};
use crate::weights::Format;
use crate::{Error, Gpu, Tensor};

/// x += linear(norm(x)), twice: a value updated in place, transients that share memory, packed weights.
fn blocks() -> (Graph, HashMap<String, Tensor>) {
    let mut case = Case::new();
    let x = case.input("x", &[2, 5, 12]);
    for block in 0..2 {
        let weight = case.weight(&format!("w{block}"), &[12, 12], Format::Int8);
        let options = Norm { kind: NormKind::Layer, eps: 1e-6, ..Norm::default() };
        let y = norm(&mut case.graph, x, options).unwrap();
        let product = Linear { weight, bias: None, activation: Activation::GeluTanh, rows: ReadRows::All };
        let y = linear(&mut case.graph, y, product).unwrap();
        residual(&mut case.graph, x, y, None, WriteRows::All).unwrap();
    }
    (case.graph, case.stored)
}

async fn load(device: &Device, graph: &Graph, stored: &HashMap<String, Tensor>) -> Store {
    let mut store = Store::new();
    for value in graph.values().iter().filter(|value| value.home == Home::Stored) {
        let tensor = &stored[&value.name];
        store.allocate(device, &value.name, &value.shape, value.element).await.unwrap();
        match value.element {
            Element::Packed(format) => {
                let mut words = Vec::new();
                format.encode_rows(tensor.f32(), value.matrix().1, &mut words).unwrap();
                store.write_rows(device, &value.name, 0, &words).unwrap();
            }
            _ => store.write(device, &value.name, tensor.bytes()).unwrap(),
        }
    }
    store
}

#[test]
fn the_same_graph_gives_the_same_on_both_devices() {
    let (graph, stored) = blocks();
    let run = |device: Device| {
        block_on(async {
            let store = load(&device, &graph, &stored).await;
            let plan = Plan::compile(&device, &graph, &store, Memory::Shared).await.unwrap();
            let kept = device.allocate(store.buffer("x").unwrap().size(), "kept").await.unwrap();
            let copy = Copy { from: store.buffer("x").unwrap().clone(), offset: 0, to: kept.clone(), bytes: 480 };
            let copies = device.copies(vec![copy]).unwrap();
            // What it was after one run is kept; then it goes on with another weight.
            device.run(&[plan.program(), &*copies]).unwrap();
            let mut words = Vec::new();
            Format::Int8.encode_rows(&[0.25; 144], 12, &mut words).unwrap();
            store.write_rows(&device, "w1", 0, &words).unwrap();
            plan.run(&device).unwrap();
            device.wait().await.unwrap();
            let once: Vec<f32> = bytemuck::pod_collect_to_vec(&device.read(&kept, 480).await.unwrap());
            (once, store.read(&device, "x").await.unwrap())
        })
    };
    let (found, expected) = (run(gpu().into()), run(Reference::new().into()));
    assert!(crate::tensor::relative_l2(&found.0, &expected.0) < 1e-6);
    assert!(crate::tensor::relative_l2(found.1.f32(), expected.1.f32()) < 1e-6);
    assert!(crate::tensor::relative_l2(&found.0, found.1.f32()) > 1e-2, "the second run changed something");
}

#[test]
fn what_another_device_made_is_refused() {
    let (graph, stored) = blocks();
    // Two devices of each kind: neither another kind nor another of its own takes what one has made.
    let processor = || Device::from(Processor::new(ProcessorOptions::default()).unwrap());
    let gpus = [gpu().into(), block_on(Gpu::request(Default::default())).unwrap().into()];
    let devices = [[Reference::new().into(), Reference::new().into()], [processor(), processor()], gpus].concat();
    block_on(async {
        for (own, other) in pairs(&devices) {
            let store = load(own, &graph, &stored).await;
            let buffer = store.buffer("x").unwrap();
            let plan = Plan::compile(own, &graph, &store, Memory::Shared).await.unwrap();
            let copy = Copy { from: buffer.clone(), offset: 0, to: buffer.clone(), bytes: 16 };
            let copies = own.copies(vec![copy.clone()]).unwrap();
            let refused = [
                other.run(&[&*copies]).unwrap_err(),
                other.write(buffer, 0, &[0; 16]).unwrap_err(),
                other.read(buffer, 16).await.unwrap_err(),
                other.copies(vec![copy]).unwrap_err(),
                plan.run(other).unwrap_err(),
                Plan::compile(other, &graph, &store, Memory::Shared).await.unwrap_err(),
            ];
            for error in refused {
                assert!(matches!(error.root(), Error::NotThisDevice { .. }), "{error}");
            }
        }
    });
    assert!(devices[4].gpu("a texture").is_ok());
    let error = devices[0].gpu("a texture").unwrap_err().to_string();
    assert_eq!(error, "a texture needs a GPU; this device is reference");
}

/// Every device with every other.
fn pairs(devices: &[Device]) -> impl Iterator<Item = (&Device, &Device)> {
    let others = |own| (0..devices.len()).filter(move |&other| other != own);
    (0..devices.len()).flat_map(move |own| others(own).map(move |other| (&devices[own], &devices[other])))
}

#[test]
fn what_does_not_lie_in_a_buffer_is_refused() {
    let processor = Processor::new(ProcessorOptions::default()).unwrap();
    for device in [Reference::new().into(), processor.into(), Device::from(gpu())] {
        let allocate = |bytes| block_on(device.allocate(bytes, "x"));
        let (buffer, small) = (allocate(64).unwrap(), allocate(16).unwrap());
        for (offset, bytes) in [(64, 4), (48, 20), (u64::MAX - 3, 4), (2, 4), (0, 3)] {
            let error = device.write(&buffer, offset, &vec![0; bytes]).unwrap_err().to_string();
            assert!(error.contains(&format!("{bytes} bytes at {offset}")), "{error}");
        }
        for (from, offset, to, bytes) in [(&buffer, 52, &buffer, 16), (&buffer, 0, &small, 32)] {
            let copy = Copy { from: from.clone(), offset, to: to.clone(), bytes };
            assert!(device.copies(vec![copy]).is_err(), "{offset}");
        }
        device.write(&buffer, 60, &[1; 4]).unwrap();
        assert_eq!(block_on(device.read(&buffer, 64)).unwrap()[60..], [1; 4]);
        device.check().unwrap();
    }
}

#[test]
fn answers_move_between_threads() {
    fn movable<T: Send>(answer: T) -> T {
        answer
    }
    let (graph, stored) = blocks();
    let device = Device::from(gpu());
    let store = block_on(load(&device, &graph, &stored));
    let plan = movable(Plan::compile(&device, &graph, &store, Memory::Shared));
    std::thread::scope(|scope| scope.spawn(|| block_on(plan).unwrap().run(&device).unwrap()).join().unwrap());
}

/// The processor computes and cannot wait: whoever drops its work has to be given the chance.
#[test]
fn the_processor_gives_way_and_can_be_left() {
    let mut case = Case::new();
    let x = case.input("x", &[1, 256, 256]);
    let weight = case.weight("w", &[256, 256], Format::F32);
    for _ in 0..200 {
        let product = Linear { weight, bias: None, activation: Activation::GeluTanh, rows: ReadRows::All };
        let y = norm(&mut case.graph, x, Norm { kind: NormKind::Layer, eps: 1e-6, ..Norm::default() }).unwrap();
        let y = linear(&mut case.graph, y, product).unwrap();
        residual(&mut case.graph, x, y, None, WriteRows::All).unwrap();
    }
    let device = Device::from(Processor::new(ProcessorOptions { threads: Some(1), ..Default::default() }).unwrap());
    let state = |run: &dyn Fn(&Plan)| {
        let store = block_on(load(&device, &case.graph, &case.stored));
        run(&block_on(Plan::compile(&device, &case.graph, &store, Memory::Shared)).unwrap());
        block_on(store.read(&device, "x")).unwrap()
    };
    let polled = |plan: &Plan, most: usize| {
        let mut work = std::pin::pin!(plan.run_to_end(&device));
        let mut context = Context::from_waker(Waker::noop());
        (0..most).find(|_| match work.as_mut().poll(&mut context) {
            Poll::Ready(done) => {
                done.unwrap();
                true
            }
            Poll::Pending => false,
        })
    };
    let whole = state(&|plan| plan.run(&device).unwrap());
    let sliced = state(&|plan| assert!(polled(plan, usize::MAX) >= Some(1)));
    let left = state(&|plan| assert_eq!(polled(plan, 1), None));
    assert!(sliced == whole && left != whole);
}
