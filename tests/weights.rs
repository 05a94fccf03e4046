//! Checkpoints as `save_pretrained` writes them, and as they arrive damaged: every refusal names the culprit.

#![allow(clippy::unwrap_used)] // a test may; clippy knows only the functions marked as one

use std::collections::BTreeMap;
use std::sync::Arc;

use foveate::low_level::weights::{Checkpoint, Format, Source, SourceType};
use half::{bf16, f16};
use pollster::block_on;
use safetensors::tensor::TensorView;

/// A safetensors file with this header and `data` bytes after it.
fn raw(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(vec![0; data]);
    file
}

/// A safetensors file written by the reference implementation.
fn written(tensors: &[(&str, SourceType, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn memory(files: &[(&str, Vec<u8>)]) -> Source {
    Source::Memory(Arc::new(
        files.iter().map(|(name, data)| (name.to_string(), data.clone())).collect::<BTreeMap<_, _>>(),
    ))
}

/// The one line said on opening the single file `bytes`, read from a folder and from memory.
fn refusal(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("vae")).unwrap();
    std::fs::write(dir.path().join("vae/model.safetensors"), bytes).unwrap();
    let error = |source: &Source| block_on(Checkpoint::open(source, "vae", "model")).unwrap_err().to_string();
    let from_memory = error(&memory(&[("vae/model.safetensors", bytes.to_vec())]));
    let from_folder = error(&Source::Folder(dir.path().into()));
    assert_eq!(from_folder, format!("{}/{from_memory}", dir.path().display()));
    assert!(!from_memory.contains('\n'), "{from_memory}");
    from_memory.strip_prefix("vae/model.safetensors: ").unwrap().to_string()
}

#[test]
fn what_the_reference_writes_is_read() {
    let values: Vec<f32> = (0..12).map(|i| i as f32 - 5.5).collect();
    let halves = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    let brains = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
    let doubles = values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    let ids = [7i64, -1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let masks = [1i32, 0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let file = written(&[
        ("single", SourceType::F32, &[3, 4], f32s(&values)),
        ("half", SourceType::F16, &[3, 2, 2], halves),
        ("brain", SourceType::BF16, &[12], brains),
        ("double", SourceType::F64, &[1, 12], doubles),
        ("number", SourceType::F32, &[], f32s(&[2.5])),
        ("empty", SourceType::F32, &[0, 4], vec![]),
        ("ids", SourceType::I64, &[1, 2], ids),
        ("mask", SourceType::I32, &[1, 2], masks),
    ]);
    block_on(async {
        let checkpoint = Checkpoint::open_file(&memory(&[("x", file)]), "x").await.unwrap();
        for name in ["single", "half", "brain", "double"] {
            assert_eq!(checkpoint.read_f32(name).await.unwrap(), values, "{name}");
        }
        assert_eq!(checkpoint.read_rows_f32("single", 1..3).await.unwrap(), values[4..]);
        assert_eq!(checkpoint.read_rows_f32("half", 1..2).await.unwrap(), values[4..8]);
        assert_eq!(checkpoint.read_f32("number").await.unwrap(), [2.5]);
        assert!(checkpoint.read_f32("empty").await.unwrap().is_empty());
        assert_eq!(checkpoint.read_i64("ids").await.unwrap(), [7, -1]);
        assert_eq!(checkpoint.read_i64("mask").await.unwrap(), [1, 0]);
        for format in Format::ALL {
            let words = checkpoint.read_rows_as("half", 1..3, format).await.unwrap();
            let mut expected = Vec::new();
            format.encode_rows(&values[4..], 4, &mut expected).unwrap();
            assert_eq!(words, expected, "{format}");
        }
        assert_eq!(checkpoint.require("half", &[3, 2, 2]).unwrap().bytes, 24);

        let error = |name: &str, shape: &[usize]| checkpoint.require(name, shape).unwrap_err().to_string();
        assert_eq!(error("half", &[3, 4]), "tensor half: the shape should be [3, 4], it is [3, 2, 2]");
        assert_eq!(error("signle", &[]), "tensor signle: is not in the checkpoint; the nearest name is single");
        assert_eq!(error("Q", &[]), "tensor Q: is not in the checkpoint");
        let rows = checkpoint.read_rows_f32("single", 2..4).await.unwrap_err().to_string();
        assert_eq!(rows, "tensor single: has 3 rows, 2..4 were asked for");
        let ints = checkpoint.read_f32("ids").await.unwrap_err().to_string();
        assert_eq!(ints, "tensor ids: holds I64; weights are read from F32, F16, BF16 and F64");
        let floats = checkpoint.read_i64("half").await.unwrap_err().to_string();
        assert_eq!(floats, "tensor half: holds F16; integers are read from I32 and I64");
    });
}

#[test]
fn numbers_that_are_none_are_named_by_their_place() {
    // 6 million numbers, so that the bad one lies in the second batch read.
    let (k, rows, bad) = (1000, 6000, 5_555_123);
    let mut values = vec![0.5f32; k * rows];
    values[bad] = f32::NAN;
    let file = written(&[("w", SourceType::F32, &[rows, k], f32s(&values))]);
    block_on(async {
        let checkpoint = Checkpoint::open_file(&memory(&[("x", file)]), "x").await.unwrap();
        let expected = "tensor w: element 5555123 is NaN";
        assert_eq!(checkpoint.read_f32("w").await.unwrap_err().to_string(), expected);
        assert_eq!(checkpoint.read_rows_f32("w", 5555..5556).await.unwrap_err().to_string(), expected);
        assert_eq!(checkpoint.read_rows_as("w", 3..6000, Format::F16).await.unwrap_err().to_string(), expected);
        assert_eq!(checkpoint.read_rows_f32("w", 0..5555).await.unwrap().len(), 5_555_000);
    });
    let large = written(&[("w", SourceType::F32, &[2], f32s(&[1.0, 1e5]))]);
    let checkpoint = block_on(Checkpoint::open_file(&memory(&[("x", large)]), "x")).unwrap();
    let error = block_on(checkpoint.read_rows_as("w", 0..2, Format::F16)).unwrap_err().to_string();
    assert_eq!(error, "tensor w: element 1 is 100000, which the storage format does not reach");
}

#[test]
fn damaged_files_are_refused_in_one_line() {
    let whole =
        written(&[("a", SourceType::F32, &[2, 2], f32s(&[1.0; 4])), ("b", SourceType::F32, &[4], f32s(&[2.0; 4]))]);
    let entry = |name: &str, shape: &str, from: u64, to: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let two = |a: String, b: String, data| raw(&format!("{{{a},{b}}}"), data);

    for cut in 0..whole.len() {
        refusal(&whole[..cut]); // at every length: refused, never a panic
    }
    assert_eq!(refusal(b""), "is 0 bytes long, too short for a safetensors file");
    assert_eq!(refusal(&whole[..whole.len() - 1]), "tensor b: reaches to byte 32, the file holds 31: truncated");
    assert_eq!(refusal(&[whole.clone(), vec![0]].concat()), "the tensors end at byte 32, the file holds 33");
    assert_eq!(
        refusal(&[u64::MAX.to_le_bytes().to_vec(), vec![b' '; 92]].concat()),
        "claims a header of 18446744073709551615 bytes but has 92: truncated, or not safetensors"
    );
    assert_eq!(
        refusal(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "is a Git LFS pointer, not the weights; `git lfs pull` fetches them"
    );
    let mut not_text = raw(r#"{"a":1}"#, 0);
    not_text[10] = 0xff;
    assert!(refusal(&not_text).starts_with("the header is not UTF-8: "));
    assert!(refusal(&raw("{not json", 0)).starts_with("the header is not valid: "));
    assert!(refusal(&raw("[]", 0)).contains("expected an object with one entry for each tensor"));
    assert!(
        refusal(&raw(r#"{"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}}"#, 4))
            .contains("tensor a: unknown variant `F31`")
    );
    assert!(
        refusal(&raw(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4))
            .contains("tensor a: invalid value: integer `-1`")
    );
    assert!(refusal(&raw(r#"{"a\nb":{}}"#, 0)).contains(r#""a\nb" is no name"#));
    assert!(refusal(&raw(&"[".repeat(100_000), 0)).starts_with("the header is not valid: "));
    assert!(refusal(&two(entry("a", "[1]", 0, 4), entry("a", "[1]", 4, 8), 8)).contains("a stands there twice"));
    assert_eq!(
        refusal(&two(entry("a", "[2]", 0, 8), entry("b", "[2]", 4, 12), 12)),
        "tensor b: starts at byte 4 where 8 is due, so it overlaps the tensor before it"
    );
    assert_eq!(
        refusal(&two(entry("a", "[1]", 0, 4), entry("b", "[1]", 8, 12), 12)),
        "tensor b: starts at byte 8 where 4 is due, so it leaves a gap before it"
    );
    assert_eq!(
        refusal(&raw(&format!("{{{}}}", entry("a", "[3]", 0, 8)), 8)),
        "tensor a: F32 [3] needs 12 bytes, it has 0..8"
    );
    assert_eq!(
        refusal(&raw(&format!("{{{}}}", entry("a", "[2]", 8, 0)), 8)),
        "tensor a: F32 [2] needs 8 bytes, it has 8..0"
    );
    assert_eq!(
        refusal(&raw(&format!("{{{}}}", entry("a", "[4294967296,4294967296]", 0, 8)), 8)),
        "tensor a: the shape [4294967296, 4294967296] is absurd"
    );
    assert_eq!(
        refusal(&raw(&format!("{{{}}}", entry("a", "[1000000000000]", 0, 4_000_000_000_000)), 8)),
        "tensor a: reaches to byte 4000000000000, the file holds 8: truncated"
    );
}

#[test]
fn a_giant_header_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    std::fs::write(&path, 200_000_000u64.to_le_bytes()).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(300_000_000).unwrap(); // sparse
    let error = block_on(Checkpoint::open_file(&Source::Folder(dir.path().into()), "model.safetensors")).unwrap_err();
    assert!(error.to_string().ends_with("has a header of 200000000 bytes, more than the 100000000 allowed"));
}

#[test]
fn shards_are_one_checkpoint() {
    let shard = |name, value| written(&[(name, SourceType::F32, &[1], f32s(&[value]))]);
    let index = |map: &str| format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{{{map}}}}}"#).into_bytes();
    let good = index(r#""b":"m-00002-of-00002.safetensors","a":"m-00001-of-00002.safetensors""#);
    let open = |index: &[u8], second: Option<Vec<u8>>| {
        let mut files =
            vec![("t/m.safetensors.index.json", index.to_vec()), ("t/m-00001-of-00002.safetensors", shard("a", 1.0))];
        files.extend(second.map(|second| ("t/m-00002-of-00002.safetensors", second)));
        block_on(Checkpoint::open(&memory(&files), "t", "m"))
    };

    let checkpoint = open(&good, Some(shard("b", 2.0))).unwrap();
    assert_eq!(checkpoint.tensors().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(checkpoint.get("b").unwrap().file, "t/m-00002-of-00002.safetensors");
    assert_eq!(block_on(checkpoint.read_f32("b")).unwrap(), [2.0]);

    let refused = |index: &[u8], second| {
        let error = open(index, second).unwrap_err().to_string();
        error.strip_prefix("t/m.safetensors.index.json: ").unwrap_or(&error).to_string()
    };
    assert_eq!(refused(&good, None), "the shard m-00002-of-00002.safetensors, which holds b, is missing");
    assert_eq!(
        refused(&good, Some(shard("c", 2.0))),
        "tensor b is said to be in m-00002-of-00002.safetensors, which does not hold it"
    );
    for outside in ["../m.safetensors", "/etc/passwd", "C:/x", "x/../../y", r"..\\x"] {
        let error = refused(&index(&format!(r#""b":"{outside}""#)), None);
        assert_eq!(error, format!("tensor b: the shard {:?} leaves the model folder", outside.replace(r"\\", r"\")));
    }
    assert!(refused(&index(r#""a":"x","a":"y""#), None).contains("a stands there twice"));
    assert!(refused(b"{}", None).contains("is no index of shards: missing field `weight_map`"));
    assert_eq!(
        refused(&good, Some(shard("b", 2.0)[..66].to_vec())),
        "t/m-00002-of-00002.safetensors: tensor b: reaches to byte 4, the file holds 2: truncated"
    );
}

#[test]
fn variants_are_found_under_their_names() {
    let file = |value| written(&[("a", SourceType::F32, &[1], f32s(&[value]))]);
    let index = br#"{"weight_map":{"a":"m.fp16-00001-of-00001.safetensors"}}"#.to_vec();
    let value = |files: &[(&str, Vec<u8>)], folder: &str| {
        block_on(async { Checkpoint::open(&memory(files), folder, "m").await.unwrap().read_f32("a").await.unwrap() })
    };
    assert_eq!(value(&[("m.safetensors", file(1.0)), ("m.fp16.safetensors", file(2.0))], ""), [1.0]);
    assert_eq!(value(&[("t/m.fp16.safetensors", file(2.0))], "t"), [2.0]);
    let shards = [("t/m.safetensors.index.fp16.json", index), ("t/m.fp16-00001-of-00001.safetensors", file(3.0))];
    assert_eq!(value(&shards, "t"), [3.0]);

    let error =
        |files: &[(&str, Vec<u8>)]| block_on(Checkpoint::open(&memory(files), "t", "m")).unwrap_err().to_string();
    assert_eq!(error(&[]), "t: there is neither m.safetensors nor m.safetensors.index.json");
    assert!(
        error(&[("t/pytorch_model.bin", vec![])]).ends_with(
            "; pytorch_model.bin is a pickle, which is not read: save it again with safe_serialization=True"
        )
    );
}
