//! Every format on rows of every awkward length.

use super::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const SIZES: [usize; 12] = [1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 200];

fn encoded(format: Format, rows: &[f32], k: usize) -> Vec<u32> {
    let mut words = Vec::new();
    format.encode_rows(rows, k, &mut words).unwrap();
    words
}

/// Three rows of weights in −1…1, shifted by `bias` and scaled, each with its own magnitude.
fn random(rng: &mut SmallRng, k: usize, bias: f32) -> Vec<f32> {
    (0..3 * k).map(|i| (rng.random_range(-1.0..1.0f32) + bias) * [0.02, 1.0, 30.0][i / k]).collect()
}

/// The most that a weight may be off, given its block.
fn bound(format: Format, block: &[f32], weight: f32) -> f32 {
    let largest = block.iter().fold(0f32, |m, w| m.max(w.abs()));
    let (low, high) = block.iter().fold((f32::MAX, f32::MIN), |(l, h), &w| (l.min(w), h.max(w)));
    match format {
        Format::F32 => 0.0,
        Format::F16 => (weight.abs() / 2048.0).max(3e-8),
        Format::BF16 => weight.abs() / 256.0,
        Format::Int8 => largest / 127.0 * 0.501,
        // Half a step, and what rounding minimum and scale outwards to f16 adds to the range.
        Format::Int4 if block.len() == BLOCK => ((high - low) / 15.0 + largest / 1024.0 / 15.0 + 6e-8) * 0.502,
        Format::Int4 => (largest / 7.0 * 1.001 + 6e-8) * 0.501,
    }
}

#[test]
fn every_weight_comes_back_within_its_bound() {
    let mut rng = SmallRng::seed_from_u64(1);
    for format in Format::ALL {
        for k in SIZES {
            for bias in [0.0, 0.9, -5.0] {
                let rows = random(&mut rng, k, bias);
                let words = encoded(format, &rows, k);
                assert_eq!(words.len(), 3 * format.row_words(k), "{format} {k}");
                let back = format.decode_rows(&words, k);
                assert_eq!(back.len(), rows.len(), "{format} {k}");
                for (row, row_back) in rows.chunks(k).zip(back.chunks(k)) {
                    for (block, block_back) in row.chunks(BLOCK).zip(row_back.chunks(BLOCK)) {
                        for (&a, b) in block.iter().zip(block_back) {
                            assert!((a - b).abs() <= bound(format, block, a), "{format} {k}: {a} came back as {b}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn padding_is_exactly_zero() {
    let mut rng = SmallRng::seed_from_u64(2);
    for format in Format::ALL {
        for k in SIZES {
            let words = encoded(format, &random(&mut rng, k, 3.0), k);
            for row in words.chunks(format.row_words(k)) {
                format.decode_row(row, |i, w| assert!(i < k || w == 0.0, "{format} {k}: place {i} holds {w}"));
            }
        }
    }
}

#[test]
fn words_are_laid_out_as_the_shaders_read_them() {
    assert_eq!(encoded(Format::F32, &[1.0, -2.0], 2), [0x3f80_0000, 0xc000_0000, 0, 0]);
    assert_eq!(encoded(Format::F16, &[1.0, -2.0, 0.5], 3), [0xc000_3c00, 0x3800]);
    assert_eq!(encoded(Format::BF16, &[1.0, -2.0, 0.5], 3), [0xc000_3f80, 0x3f00]);
    let eights: Vec<f32> = (0..32).map(|i| if i == 0 { -127.0 } else { i as f32 }).collect();
    assert_eq!(encoded(Format::Int8, &eights, 32)[..3], [1f32.to_bits(), 0x0302_0181, 0x0706_0504]);
    let nibbles: Vec<f32> = (0..32).map(|i| (i % 16) as f32 * 2.0 - 1.0).collect();
    assert_eq!(encoded(Format::Int4, &nibbles, 32)[..3], [0xbc00_4000, 0x7654_3210, 0xfedc_ba98]);
}

#[test]
fn raw_bytes_and_numbers_encode_alike() {
    let mut rng = SmallRng::seed_from_u64(3);
    for k in SIZES {
        let rows = random(&mut rng, k, 0.0);
        let f64s: Vec<u8> = rows.iter().flat_map(|&w| f64::from(w).to_le_bytes()).collect();
        let f32s: Vec<u8> = rows.iter().flat_map(|w| w.to_le_bytes()).collect();
        let f16s: Vec<u8> = rows.iter().flat_map(|&w| f16::from_f32(w).to_le_bytes()).collect();
        let bf16s: Vec<u8> = rows.iter().flat_map(|&w| bf16::from_f32(w).to_le_bytes()).collect();
        for (from, bytes) in
            [(SourceType::F64, f64s), (SourceType::F32, f32s), (SourceType::F16, f16s), (SourceType::BF16, bf16s)]
        {
            let mut values = Vec::new();
            append_f32(from, &bytes, &mut values).unwrap();
            for format in Format::ALL {
                let mut raw = Vec::new();
                format.encode_raw(from, &bytes, k, &mut raw).unwrap();
                assert_eq!(raw, encoded(format, &values, k), "{from} to {format}, {k}");
            }
        }
    }
}

#[test]
fn what_cannot_be_stored_is_refused_by_its_place() {
    for format in Format::ALL {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut rows = vec![0.5; 3 * 50];
            rows[107] = bad;
            let unfit = format.encode_rows(&rows, 50, &mut Vec::new()).unwrap_err();
            assert_eq!(unfit.to_string(), format!("element 107 is {bad}"), "{format}");
            for (from, bytes) in [
                (SourceType::F16, rows.iter().flat_map(|&w| f16::from_f32(w).to_le_bytes()).collect::<Vec<u8>>()),
                (SourceType::BF16, rows.iter().flat_map(|&w| bf16::from_f32(w).to_le_bytes()).collect()),
            ] {
                let unfit = format.encode_raw(from, &bytes, 50, &mut Vec::new()).unwrap_err();
                assert_eq!(unfit.to_string(), format!("element 107 is {bad}"), "{from} to {format}");
            }
        }
    }
    for (format, large) in [(Format::F16, 1e5), (Format::BF16, f32::MAX), (Format::Int4, -1e6)] {
        let mut rows = vec![0.5; 100];
        rows[70] = large;
        let text = format.encode_rows(&rows, 50, &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(text, format!("element 70 is {large}, which the storage format does not reach"), "{format}");
    }
    let ints = Format::F32.encode_raw(SourceType::I64, &[0; 8], 1, &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(ints, "holds I64; weights are read from F32, F16, BF16 and F64");
}

#[test]
fn extremes_survive() {
    for format in Format::ALL {
        for row in [vec![0.0; 40], vec![-0.0; 40], vec![1e-42; 40], vec![7.5; 40], vec![-65504.0; 40]] {
            let back = format.decode_rows(&encoded(format, &row, 40), 40);
            let tolerance = row[0].abs() * 0.01 + 1e-7;
            assert!(back.iter().all(|b| (b - row[0]).abs() <= tolerance), "{format}: {} → {back:?}", row[0]);
        }
    }
    assert!(encoded(Format::Int8, &[], 0).is_empty());
}

#[test]
fn the_error_reported_is_the_error_made() {
    let mut rng = SmallRng::seed_from_u64(4);
    let rows = random(&mut rng, 4096, 0.0);
    let error = |format: Format| format.relative_error(&rows, 4096).unwrap();
    assert_eq!(error(Format::F32), 0.0);
    // Uniform weights: a step of 2/254 or 2/15 times √(1/12), over their deviation √(1/3).
    for (format, low, high) in
        [(Format::F16, 1e-4, 3e-4), (Format::BF16, 1e-3, 3e-3), (Format::Int8, 3e-3, 5e-3), (Format::Int4, 5e-2, 7e-2)]
    {
        assert!((low..high).contains(&error(format)), "{format}: {}", error(format));
    }
    assert_eq!(Format::Int4.relative_error(&[0.0; 8], 8).unwrap(), 0.0);
}

#[test]
fn names_are_read_as_written() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    let error = "fp8".parse::<Format>().unwrap_err();
    assert!(error.is_usage());
    assert_eq!(error.to_string(), r#"unknown dtype "fp8": it is f32, f16, bf16, int8 or int4"#);
    assert_eq!(Format::ALL.map(Format::bits_per_weight), [32, 16, 16, 9, 5]);
}
