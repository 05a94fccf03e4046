//! Pictures as input: image-to-image and inpainting, as a shell sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod shell;

use std::fs;

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use shell::{Shell, model, text};

const CPU: [&str; 2] = ["--adapter", "cpu"];

fn photo(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 11) as u8, (y * 7) as u8, (x ^ y) as u8]))
}

fn mask(width: u32, height: u32, marks: impl Fn(u32, u32) -> bool) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([255 * u8::from(marks(x, y))]))
}

fn drawn(shell: &Shell, name: &str) -> RgbImage {
    image::open(shell.path(name)).unwrap().into_rgb8()
}

/// `foveate generate "a fox" --steps 2 …` on the processor.
fn draw(shell: &Shell, words: &[&str]) {
    let arguments = [&["generate", "a fox", "--steps", "2"], words, &CPU].concat();
    let output = shell.run(&arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
}

#[test]
fn outside_the_mask_every_pixel_is_the_pictures() {
    let shell = Shell::new();
    let marks = |x: u32, y: u32| (10..25).contains(&x) && (4..20).contains(&y);
    photo(40, 30).save(shell.path("in.png")).unwrap();
    mask(40, 30, marks).save(shell.path("mask.png")).unwrap();
    for (fit, model) in [("crop", "pixart_alpha"), ("pad", "pixart_alpha"), ("crop", "pictured/fill_in")] {
        let model = shell::model(model);
        let words = ["--image", "in.png", "--mask", "mask.png", "--fit", fit, "--size", "16x16", "--model", &model];
        draw(&shell, &words);
        let result = drawn(&shell, "foveate.png");
        let mut changed = 0;
        for (x, y, pixel) in photo(40, 30).enumerate_pixels() {
            match marks(x, y) {
                true => changed += u32::from(result.get_pixel(x, y) != pixel),
                false => assert_eq!(result.get_pixel(x, y), pixel, "{fit} ({x}, {y})"),
            }
        }
        assert!(changed > 100, "{fit}: {changed} pixels changed");
    }
}

/// Under the mask it is another picture than without masked compute, and outside it is the same.
#[test]
fn masked_compute_changes_nothing_outside_the_mask() {
    let shell = Shell::new();
    let marks = |x: u32, y: u32| x < 24 && y < 24;
    photo(64, 64).save(shell.path("in.png")).unwrap();
    mask(64, 64, marks).save(shell.path("mask.png")).unwrap();
    let words = ["--image", "in.png", "--mask", "mask.png", "--size", "64x64", "--steps", "4"];
    let draw = |more: &[&str]| {
        let result = shell.json(&[&["generate", "a fox"], &words[..], more, &CPU].concat());
        (drawn(&shell, "foveate.png"), result["flops_per_step"].as_u64().unwrap())
    };
    let (plain, whole) = draw(&[]);
    let (masked, part) = draw(&["--masked", "every=4,around=0"]);
    assert!(2 * part < whole, "{part} of {whole} FLOPs");
    let differ = plain.enumerate_pixels().filter(|(x, y, pixel)| masked.get_pixel(*x, *y) != *pixel);
    let (under, outside): (Vec<_>, Vec<_>) = differ.partition(|(x, y, _)| marks(*x, *y));
    assert!(!under.is_empty() && outside.is_empty(), "{} under the mask, {} outside", under.len(), outside.len());
    shell.fails(&["generate", "a fox", "--masked"], 2, "--mask");
    let tome = [&["generate", "a fox"], &words[..], &["--masked", "2", "--compress", "tome"], &CPU].concat();
    shell.fails(&tome, 2, "the policy tome needs all tokens");
}

#[test]
fn strength_changes_what_is_drawn() {
    let shell = Shell::new();
    photo(16, 16).save(shell.path("in.png")).unwrap();
    // The picture's own size is the canvas: the model draws 16×16.
    let distance = |strength: &str| {
        draw(&shell, &["--image", "in.png", "--strength", strength]);
        let result = drawn(&shell, "foveate.png");
        assert_eq!(result.dimensions(), (16, 16));
        result.pixels().zip(photo(16, 16).pixels()).map(|(a, b)| u64::from(a.0[0].abs_diff(b.0[0]))).sum::<u64>()
    };
    assert_ne!(distance("0.5"), distance("1"));
}

#[test]
fn like_a_picture_takes_its_picture_again() {
    let shell = Shell::new();
    photo(16, 16).save(shell.path("in.png")).unwrap();
    draw(&shell, &["--image", "in.png", "--strength", "0.5", "-o", "first.png"]);
    shell.fails(
        &["generate", "--like", "first.png"],
        2,
        "it was drawn from tensors that it does not hold; give --image again",
    );
    let output =
        shell.run(&[&["generate", "--like", "first.png", "--image", "in.png", "-o", "again.png"], &CPU[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(drawn(&shell, "first.png"), drawn(&shell, "again.png"));
}

#[test]
fn odd_pictures_and_masks_are_drawn() {
    let shell = Shell::new();
    for (width, height) in [(1, 1), (3, 200), (17, 5)] {
        photo(width, height).save(shell.path("in.png")).unwrap();
        draw(&shell, &["--image", "in.png"]);
        for marks in [
            (|_, _| true) as fn(u32, u32) -> bool, // all
            |_, _| false,                          // none
            |x, y| x == 0 && y == 0,               // one pixel
            |x, y| x > 0 || y > 0,                 // all but one
            |x, _| x == 0,                         // along a border
        ] {
            mask(width, height, marks).save(shell.path("mask.png")).unwrap();
            draw(&shell, &["--image", "in.png", "--mask", "mask.png"]);
            let result = drawn(&shell, "foveate.png");
            assert_eq!(result.dimensions(), (width, height));
            for (x, y, pixel) in photo(width, height).enumerate_pixels().filter(|(x, y, _)| !marks(*x, *y)) {
                assert_eq!(result.get_pixel(x, y), pixel);
            }
        }
    }
    // Grey with transparency, and 16 bits a channel.
    DynamicImage::ImageLumaA8(image::ImageBuffer::from_pixel(20, 20, image::LumaA([90, 128])))
        .save(shell.path("grey.png"))
        .unwrap();
    draw(&shell, &["--image", "grey.png"]);
    DynamicImage::ImageRgb16(image::ImageBuffer::from_pixel(20, 20, Rgb([9, 30_000, 60_000])))
        .save(shell.path("deep.png"))
        .unwrap();
    draw(&shell, &["--image", "deep.png"]);
}

#[test]
fn what_cannot_be_read_is_named_before_the_model_is_loaded() {
    let shell = Shell::new();
    photo(16, 16).save(shell.path("in.png")).unwrap();
    mask(15, 16, |_, _| true).save(shell.path("other.png")).unwrap();
    let png = fs::read(shell.path("in.png")).unwrap();
    fs::write(shell.path("cut.png"), &png[..png.len() / 2]).unwrap();
    fs::write(shell.path("text.png"), "no picture").unwrap();
    for (words, code, reason) in [
        (&["--image", "none.png"][..], 1, "reading --image: none.png"),
        (&["--image", "text.png"], 1, "it is no picture in PNG, JPEG or WebP"),
        (&["--image", "cut.png"], 1, "cut.png: it cannot be read as a picture"),
        (&["--image", "in.png", "--mask", "other.png"], 2, "the mask has 15x16 pixels, and 16x16 are needed"),
        (&["--image", "in.png", "--strength", "0"], 2, "a strength is above 0 and at most 1"),
        (&["--image", "in.png", "--strength", "2"], 2, "a strength is above 0 and at most 1"),
        (&["--image", "in.png", "--strength", "0.01"], 2, "a strength of 0.01 leaves none of 20 steps"),
        (&["--strength", "0.5"], 2, "a strength needs the picture"),
        (&["--mask", "other.png"], 2, "--image"),
        (&["--image", "in.png", "--feather", "3"], 2, "--mask"),
        (&["--image", "in.png", "--fit", "stretch"], 2, "there are crop and pad"),
        (&["--model", &model("pictured/fill_in")], 2, "this model fills in masked parts of pictures"),
    ] {
        shell.fails(&[&["generate", "a fox", "--adapter", "cpu"], words].concat(), code, reason);
    }
}
