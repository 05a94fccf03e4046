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

/// The decoder follows the mask, too: near to the picture that is decoded whole, and the same outside the mask.
#[test]
fn a_masked_picture_is_decoded_where_it_is_new() {
    let shell = Shell::new();
    let marks = |x: u32, y: u32| (10..30).contains(&x) && (20..34).contains(&y);
    photo(64, 64).save(shell.path("in.png")).unwrap();
    mask(64, 64, marks).save(shell.path("mask.png")).unwrap();
    let words = ["--image", "in.png", "--mask", "mask.png", "--size", "64x64"];
    let draw = |masked: &str| {
        draw(&shell, &[&words[..], &["--masked", masked]].concat());
        drawn(&shell, "foveate.png")
    };
    let (part, whole) = (draw("every=1,decode=4"), draw("every=1,decode=whole"));
    let (mut off, mut count) = (0, 0);
    for (x, y, pixel) in whole.enumerate_pixels() {
        let found = part.get_pixel(x, y);
        match marks(x, y) {
            true => {
                off += (0..3).map(|c| u64::from(pixel.0[c].abs_diff(found.0[c]))).sum::<u64>();
                count += 3;
            }
            false => assert_eq!(found, pixel, "({x}, {y})"),
        }
    }
    let off = off as f64 / f64::from(count);
    assert!(off > 0.0 && off < 12.0, "{off} of 255");
    shell.fails(&[&["generate", "a fox"], &words[..], &["--masked", "decode=part"]].concat(), 2, "no whole number");
}

#[test]
fn a_feather_fades_without_an_edge_of_what_was_decoded() {
    let shell = Shell::new();
    RgbImage::from_pixel(64, 64, Rgb([120, 130, 140])).save(shell.path("in.png")).unwrap();
    mask(64, 64, |x, y| (24..40).contains(&x) && (24..40).contains(&y)).save(shell.path("mask.png")).unwrap();
    let words = ["--image", "in.png", "--mask", "mask.png", "--size", "64x64", "--feather", "20", "--masked"];
    let steepest = ["decode=1", "decode=whole"].map(|decode| {
        draw(&shell, &[&words[..], &[decode]].concat());
        let result = drawn(&shell, "foveate.png");
        // How far each column of a row through the mask is from the picture.
        let away = (0..64)
            .map(|x| (0..3).map(|c| i32::from(result.get_pixel(x, 32).0[c].abs_diff([120, 130, 140][c]))).sum::<i32>());
        let away: Vec<i32> = away.collect();
        // Twenty pixels from the mask the picture begins again, to the bit.
        assert!(away[60..].iter().all(|&away| away == 0), "{decode}: {away:?}");
        assert!(away[40] > away[39] / 2 && away[49] > 0 && away[49] < away[40], "{decode}: {away:?}");
        away[39..].windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap()
    });
    // Where a part of the picture ends that was decoded, no column stands out more than where all of it was.
    assert!(steepest[0] <= steepest[1] + 6, "steepest between columns: {steepest:?}");
}

#[test]
fn an_outpainted_picture_has_its_border_drawn_and_its_middle_kept() {
    let shell = Shell::new();
    photo(24, 16).save(shell.path("in.png")).unwrap();
    for more in [&[][..], &["--feather", "3"], &["--masked"]] {
        draw(&shell, &[&["--image", "in.png", "--outpaint", "8,0,25%,16"], more].concat());
        let result = drawn(&shell, "foveate.png");
        assert_eq!(result.dimensions(), (38, 32));
        let mut changed = 0;
        for (x, y, pixel) in result.enumerate_pixels() {
            match (8..32).contains(&x) && y < 16 {
                true if more.contains(&"--feather") && (!(11..=28).contains(&x) || y > 12) => {}
                true => assert_eq!(pixel, photo(24, 16).get_pixel(x - 8, y), "({x}, {y})"),
                // It began as the edge, repeated.
                false => changed += u32::from(pixel != photo(24, 16).get_pixel(x.saturating_sub(8).min(23), y.min(15))),
            }
        }
        assert!(changed > 700, "{more:?}: {changed} of 832 pixels changed");
    }
    // Drawn again from its own request.
    let again = ["generate", "--like", "foveate.png", "--image", "in.png", "-o", "again.png"];
    shell.fails(&[&again[..], &CPU].concat(), 2, "give --mask again");
    let output = shell.run(&[&again[..], &["--outpaint", "8,0,25%,16"], &CPU].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(drawn(&shell, "again.png"), drawn(&shell, "foveate.png"));
    for (words, reason) in [
        (&["--outpaint", "1,1,1,1"][..], "--image"),
        (&["--image", "in.png", "--outpaint", "1,1,1,1", "--fit", "crop"], "--fit"),
        (&["--image", "in.png", "--outpaint", "1,1"], "it is LEFT,TOP,RIGHT,BOTTOM"),
        (&["--image", "in.png", "--outpaint", "0,-1,0,0"], "\"-1\" is no number of pixels"),
        (&["--image", "in.png", "--outpaint", "0,0,0,0"], "adds no pixel to a picture of 24x16"),
        (&["--image", "in.png", "--outpaint", "60000,60000,0,0"], "too large: at most 134217728 pixels"),
    ] {
        shell.fails(&[&["generate", "a fox", "--adapter", "cpu"], words].concat(), 2, reason);
    }
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
    for (whole, cut) in [("in.jpg", "cut.jpg"), ("in.webp", "cut.webp")] {
        photo(160, 160).save(shell.path(whole)).unwrap();
        let bytes = fs::read(shell.path(whole)).unwrap();
        fs::write(shell.path(cut), &bytes[..bytes.len() / 2]).unwrap();
    }
    for (words, code, reason) in [
        (&["--image", "none.png"][..], 1, "reading --image: none.png"),
        (&["--image", "text.png"], 1, "it is no picture in PNG, JPEG or WebP"),
        (&["--image", "cut.png"], 1, "cut.png: it cannot be read as a picture"),
        (&["--image", "cut.jpg"], 1, "cut.jpg: it is cut short"),
        (&["--image", "cut.webp"], 1, "cut.webp: it cannot be read as a picture"),
        (&["--image", "in.png", "--mask", "cut.png"], 1, "reading --mask: cut.png"),
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
