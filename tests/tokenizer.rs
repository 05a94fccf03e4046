//! T5's tokenizer against transformers, from both kinds of file, and against files that are damaged or another model's.

#![allow(clippy::unwrap_used)] // a test may; clippy knows only the functions marked as one

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use foveate::low_level::tokenizer::Tokenizer;
use foveate::low_level::weights::Source;
use pollster::block_on;

#[derive(serde::Deserialize)]
struct Case {
    prompt: String,
    input_ids: Vec<u32>,
    attention_mask: Vec<u32>,
}

fn goldens() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/tokenizer"))
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(goldens().join("cases.json")).unwrap()).unwrap();
    assert!(cases.len() >= 50);
    cases
}

/// The prompts of which `tokenizer` makes something else than transformers.
fn differing(tokenizer: &Tokenizer) -> Vec<String> {
    let same = |case: &Case| {
        let encoded = tokenizer.encode(&case.prompt, case.input_ids.len()).unwrap();
        encoded.ids == case.input_ids && encoded.mask == case.attention_mask
    };
    cases().into_iter().filter(|case| !same(case)).map(|case| case.prompt).collect()
}

fn load(folder: &str) -> Tokenizer {
    block_on(Tokenizer::load(&Source::Folder(goldens()), folder)).unwrap()
}

/// The golden folder `folder` in memory, as `tokenizer/`.
fn files(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let names = std::fs::read_dir(goldens().join(folder)).unwrap().map(|entry| entry.unwrap());
    names
        .map(|e| (format!("tokenizer/{}", e.file_name().to_str().unwrap()), std::fs::read(e.path()).unwrap()))
        .collect()
}

fn load_files(files: BTreeMap<String, Vec<u8>>) -> Result<Tokenizer, String> {
    block_on(Tokenizer::load(&Source::Memory(Arc::new(files)), "tokenizer")).map_err(|e| e.to_string())
}

/// What is said of the golden folder `folder` with `name` replaced by `bytes`.
fn refusal(folder: &str, name: &str, bytes: &[u8]) -> String {
    let mut files = files(folder);
    files.insert(format!("tokenizer/{name}"), bytes.to_vec());
    let error = load_files(files).unwrap_err();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn both_files_give_the_ids_of_transformers() {
    for folder in ["json", "spiece"] {
        assert_eq!(differing(&load(folder)), [""; 0], "{folder}");
    }
}

#[test]
fn another_tokenizer_is_told_from_transformers() {
    // Without its character map, without its added tokens, with the pieces' scores inverted: each must show.
    let json = String::from_utf8(files("json")["tokenizer/tokenizer.json"].clone()).unwrap();
    let twin = |change: fn(&mut serde_json::Value)| {
        let mut value = serde_json::from_str(&json).unwrap();
        change(&mut value);
        let mut files = files("json");
        files.insert("tokenizer/tokenizer.json".into(), serde_json::to_vec(&value).unwrap());
        differing(&load_files(files).unwrap())
    };
    let mapless = twin(|json| json["normalizer"] = serde_json::Value::Null);
    assert!(mapless.iter().any(|prompt| prompt.starts_with("ｆｕｌｌ")), "{mapless:?}");
    let addless = twin(|json| json["added_tokens"] = serde_json::json!([]));
    assert!(addless.contains(&"a fox</s>in the snow".to_string()), "{addless:?}");
    let worse = twin(|json| {
        for piece in json["model"]["vocab"].as_array_mut().unwrap() {
            piece[1] = (-piece[1].as_f64().unwrap()).into();
        }
    });
    assert!(worse.contains(&"a red fox in the snow".to_string()), "{worse:?}");
}

#[test]
fn a_file_of_transformers_4_gives_the_same_ids() {
    // It describes another pipeline, which transformers 5 does not look at.
    let mut files = files("json");
    let mut json: serde_json::Value = serde_json::from_slice(&files["tokenizer/tokenizer.json"]).unwrap();
    json["normalizer"] = serde_json::json!({"type": "Sequence", "normalizers": [
        json["normalizer"],
        {"type": "Strip", "strip_left": false, "strip_right": true},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
    ]});
    json["pre_tokenizer"] = serde_json::json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"});
    json["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0});
    files.insert("tokenizer/tokenizer.json".into(), serde_json::to_vec(&json).unwrap());
    assert_eq!(differing(&load_files(files).unwrap()), [""; 0]);
}

#[test]
fn what_is_cut_off_is_told() {
    let tokenizer = load("spiece");
    let text = "a red fox, a red FOX in the snow";
    let whole = tokenizer.encode(text, 64).unwrap();
    assert_eq!(whole.truncated, None);
    let n = whole.mask.iter().sum::<u32>() as usize;
    assert_eq!(tokenizer.encode(text, n).unwrap().truncated, None);
    assert_eq!(tokenizer.encode(text, n - 1).unwrap().truncated.unwrap(), "snow");
    let short = tokenizer.encode(text, 5).unwrap();
    assert_eq!((&short.ids[..4], short.ids[4]), (&whole.ids[..4], 1));
    assert_eq!(short.truncated.unwrap(), ", a red FOX in the snow");
    assert_eq!(tokenizer.encode(text, 1).unwrap().truncated.unwrap(), text);
    assert_eq!(tokenizer.encode("ｆｏｘ ｆｏｘ", 2).unwrap().truncated.unwrap(), "ｆｏｘ");
    let none = tokenizer.encode(text, 0).unwrap_err();
    assert!(none.is_usage());
}

#[test]
fn settings_come_from_the_json_files() {
    // What transformers 4 wrote: the extra tokens swallow the space around them.
    let mut old = files("spiece");
    let token = r#"{"content": "<extra_id_0>", "lstrip": true, "rstrip": true, "normalized": false, "special": true}"#;
    let config = format!(r#"{{"tokenizer_class": "T5Tokenizer", "added_tokens_decoder": {{"329": {token}}}}}"#);
    old.insert("tokenizer/tokenizer_config.json".into(), config.into_bytes());
    let ids = load_files(old.clone()).unwrap().encode("fox <extra_id_0> fox", 5).unwrap().ids;
    assert_eq!(ids, [59, 329, 59, 1, 0]);

    // Fewer extra tokens, one token more, another end: all without tokenizer_config.json's list.
    let mut new = files("spiece");
    new.insert("tokenizer/tokenizer_config.json".into(), br#"{"extra_ids": 2, "eos_token": "<unk>"}"#.to_vec());
    new.remove("tokenizer/special_tokens_map.json");
    new.insert("tokenizer/added_tokens.json".into(), br#"{"unicorn": 232}"#.to_vec());
    let ids = load_files(new.clone()).unwrap().encode("<extra_id_0> fox unicorn", 5).unwrap().ids;
    assert_eq!(ids, [231, 59, 232, 2, 0]);

    new.insert("tokenizer/added_tokens.json".into(), br#"{"unicorn": 500}"#.to_vec());
    let error = load_files(new).unwrap_err();
    assert_eq!(error, "tokenizer/spiece.model: the token unicorn should have the id 500, it has 232");
}

#[test]
fn damage_is_refused_in_one_line() {
    let class = refusal("json", "tokenizer_config.json", br#"{"tokenizer_class": "CLIPTokenizer"}"#);
    let expected =
        "tokenizer/tokenizer_config.json: the tokenizer_class CLIPTokenizer is not implemented; T5Tokenizer is";
    assert_eq!(class, expected);
    let config = refusal("spiece", "tokenizer_config.json", br#"{"extra_ids": "#);
    assert!(config.starts_with("tokenizer/tokenizer_config.json: EOF"), "{config}");
    let many = refusal("spiece", "tokenizer_config.json", br#"{"extra_ids": 1000000000000}"#);
    assert_eq!(many, "tokenizer/tokenizer_config.json: 1000000000000 extra_ids are more than 10000");
    let pad = refusal("json", "tokenizer_config.json", br#"{"pad_token": "[PAD]"}"#);
    assert_eq!(pad, "tokenizer/tokenizer.json: the pad_token [PAD] is not in the vocabulary");

    let json = refusal("json", "tokenizer.json", b"{");
    assert!(json.starts_with("tokenizer/tokenizer.json: is no tokenizer: "), "{json}");
    let bpe = br#"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}"#;
    assert_eq!(refusal("json", "tokenizer.json", bpe), "tokenizer/tokenizer.json: holds no Unigram model, as T5's is");

    let model = std::fs::read(goldens().join("spiece/spiece.model")).unwrap();
    assert!(
        refusal("spiece", "spiece.model", b"not a model")
            .starts_with("tokenizer/spiece.model: is no sentencepiece model: ")
    );
    assert_eq!(
        refusal("spiece", "spiece.model", b""),
        "tokenizer/spiece.model: has no trainer or normalizer specification: truncated"
    );
    for cut in [1, 100, model.len() / 2, model.len() - 1] {
        assert!(refusal("spiece", "spiece.model", &model[..cut]).starts_with("tokenizer/spiece.model: "));
    }
    assert_eq!(load_files(BTreeMap::new()).unwrap_err(), "tokenizer: there is neither tokenizer.json nor spiece.model");
}

/// The golden `tokenizer.json`, changed.
fn changed(change: impl Fn(&mut serde_json::Value)) -> BTreeMap<String, Vec<u8>> {
    let mut files = files("json");
    let mut json = serde_json::from_slice(&files["tokenizer/tokenizer.json"]).unwrap();
    change(&mut json);
    files.insert("tokenizer/tokenizer.json".into(), serde_json::to_vec(&json).unwrap());
    files
}

/// What the library that reads `tokenizer.json` would panic on, or make room for, is refused before or is not looked
/// at.
#[test]
fn damaged_documents_neither_panic_nor_swell() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let refused = |change: &dyn Fn(&mut serde_json::Value)| load_files(changed(change)).unwrap_err();
    let map = |bytes: &[u8]| {
        let text = BASE64_STANDARD.encode(bytes);
        refused(&|json| json["normalizer"]["precompiled_charsmap"] = text.as_str().into())
    };
    assert_eq!(map(&[1, 2]), "tokenizer/tokenizer.json: the character map is too short");
    let giant = map(&[[0xff; 4], [0; 4]].concat());
    assert_eq!(giant, "tokenizer/tokenizer.json: the character map claims a trie of 4294967295 bytes where 4 follow");
    let foreign = refused(&|json| json["normalizer"]["precompiled_charsmap"] = "?".into());
    assert!(foreign.starts_with("tokenizer/tokenizer.json: the character map is not base64"), "{foreign}");

    let decoded = changed(|json| json["decoder"] = serde_json::json!({"type": 7, "replacement": [], "pad": {}}));
    assert_eq!(differing(&load_files(decoded).unwrap()), [""; 0]);

    let long = "x".repeat(1_000_000);
    let piece = refused(&|json| json["model"]["vocab"][40][0] = long.as_str().into());
    assert_eq!(piece, "tokenizer/tokenizer.json: a piece has 1000000 bytes, more than 256");
    let token = refused(&|json| json["added_tokens"][0]["content"] = long.as_str().into());
    assert_eq!(token, "tokenizer/tokenizer.json: an added token has 1000000 bytes, more than 256");
    let scoreless = refused(&|json| json["model"]["vocab"][40][1] = serde_json::Value::Null);
    assert!(scoreless.starts_with("tokenizer/tokenizer.json: is no tokenizer: invalid type: null"), "{scoreless}");
    let far = refused(&|json| json["model"]["unk_id"] = 1_000_000.into());
    assert!(far.ends_with("larger than vocabulary size"), "{far}");
    for depth in [100, 1_000_000] {
        let mut files = files("json");
        let nested = format!("{{\"normalizer\": {}{}", "{\"normalizers\": [".repeat(depth), "]}".repeat(depth));
        files.insert("tokenizer/tokenizer.json".into(), nested.into_bytes());
        let error = load_files(files).unwrap_err();
        assert!(error.starts_with("tokenizer/tokenizer.json: is no tokenizer: "), "{error}");
    }
}

/// Tokens that overlap in a text when each takes the white space beside it.
#[test]
fn added_tokens_that_contradict_themselves_are_refused() {
    let taking = |content: &str, side: &str| {
        let mut files = files("spiece");
        let fox = serde_json::json!({"content": "fox", "rstrip": true, "normalized": false});
        let mut other = serde_json::json!({"content": content, "normalized": false});
        other[side] = true.into();
        let config = serde_json::json!({"additional_special_tokens": [fox, other]});
        files.insert("tokenizer/tokenizer_config.json".into(), serde_json::to_vec(&config).unwrap());
        files.remove("tokenizer/special_tokens_map.json");
        load_files(files)
    };
    // Tokens of which the character map leaves nothing, or the same as of another.
    for content in ["\u{1}", "ｆｏｘ"] {
        let twins = changed(|json| {
            let token = serde_json::json!({"id": 330, "content": content, "normalized": true, "special": false});
            let fox = serde_json::json!({"id": 331, "content": "fox", "normalized": true, "special": false});
            json["added_tokens"].as_array_mut().unwrap().extend([token, fox]);
        });
        match load_files(twins) {
            Ok(tokenizer) => _ = tokenizer.encode("a \u{1} ｆｏｘ and a fox ", 16).unwrap(),
            Err(error) => assert!(!error.contains('\n'), "{error}"),
        }
    }
    let error = taking(" ", "lstrip").unwrap_err();
    assert!(error.ends_with("the token \" \" begins with the white space that its lstrip takes away"), "{error}");
    for (content, side) in [("red", "lstrip"), (" ", "single_word"), (" ", "rstrip")] {
        taking(content, side).unwrap().encode("a fox    red fox   ", 16).unwrap();
    }
}

/// The goldens' files with some bits turned over: whatever is made of them, it is not a panic.
#[test]
fn torn_files_never_panic() {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut refused, rounds) = (0, 60);
    for (folder, name) in [("json", "tokenizer/tokenizer.json"), ("spiece", "tokenizer/spiece.model")] {
        for round in 0..rounds {
            let mut files = files(folder);
            let bytes = files.get_mut(name).unwrap();
            for _ in 0..1 + round / 10 {
                let place = random(bytes.len());
                bytes[place] ^= 1 << random(8);
            }
            match load_files(files) {
                Ok(tokenizer) => cases().iter().for_each(|case| _ = tokenizer.encode(&case.prompt, 64)),
                Err(error) => {
                    assert!(!error.contains('\n'), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!((10..2 * rounds - 10).contains(&refused), "{refused} of {} were refused", 2 * rounds);
}
