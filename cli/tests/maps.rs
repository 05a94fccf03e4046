//! `--maps`: the files that a run leaves, and what their pixels say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod shell;

use std::fs;

use common::{Tensors, golden};
use image::RgbImage;
use shell::{Shell, about, inputs, model, request, words};

/// The kept masks of a golden's conditional half, by step and layer.
fn masks(name: &str, conditional: usize) -> Vec<Vec<Vec<f32>>> {
    let expected = Tensors::read(&golden(name).join("expected.safetensors"));
    let mask = |step: usize, layer: usize| {
        let kept = expected.0.get(&format!("router.kept.{step}.{layer}"))?;
        let tokens = kept.shape[1];
        Some(kept.f32()[conditional * tokens..][..tokens].to_vec())
    };
    let layers = |step| (0..).map_while(|layer| mask(step, layer)).collect::<Vec<_>>();
    (0..).map(layers).take_while(|layers| !layers.is_empty()).collect()
}

/// 1 for each token whose cell of the map is the picture enlarged, row by row.
fn unchanged(map: &RgbImage, picture: &RgbImage, tokens: usize) -> Vec<f32> {
    let zoom = map.width() / picture.width();
    let side = (picture.width() * picture.height() / tokens as u32).isqrt() * zoom;
    let columns = map.width() / side;
    let same = |token: u32| {
        let [left, top] = [token % columns * side, token / columns * side];
        let mut pixels = (0..side * side).map(|at| (left + at % side, top + at / side));
        pixels.all(|(x, y)| map.get_pixel(x, y) == picture.get_pixel(x / zoom, y / zoom))
    };
    (0..tokens as u32).map(|token| if same(token) { 1.0 } else { 0.0 }).collect()
}

/// One golden whose conditional half of the batch is the second, wider than high; one whose is the first.
#[test]
fn maps_show_what_torch_kept() {
    for (name, conditional) in [("routed/pixart_sigma_mlp", 1), ("routed/dit_mlp", 0)] {
        let (shell, request, given) = (Shell::new(), request(name), inputs(name));
        let embeds = if conditional == 1 { vec!["--prompt-embeds", &given] } else { vec![] };
        let maps = ["--init-latents", &given, "--maps", "maps", "-o", "it.png"];
        let told = shell.json(&[words(&request), embeds, maps.to_vec()].concat());
        assert_eq!((&told["maps"], shell.files()), (&"maps".into(), vec!["it.png".to_owned(), "maps".into()]));

        let picture = image::open(shell.path("it.png")).unwrap().to_rgb8();
        let open = |map: &str| image::open(shell.path("maps").join(map)).unwrap().to_rgb8();
        let masks = masks(name, conditional);
        let [steps, layers, tokens] = [masks.len(), masks[0].len(), masks[0][0].len()];
        let files = fs::read_dir(shell.path("maps")).unwrap().count();
        assert_eq!(files, 2 * layers * steps + 2);
        let size = open("touched.png").dimensions();
        assert!(size.0.min(size.1) >= 256 && size.0 * picture.height() == size.1 * picture.width());

        let mut counts = vec![0.0; tokens];
        for (step, layer) in (0..steps).flat_map(|step| (0..layers).map(move |layer| (step, layer))) {
            let (mask, stem) = (&masks[step][layer], format!("step-{step:02}-layer-{layer:02}"));
            assert_eq!(unchanged(&open(&format!("{stem}-kept.png")), &picture, tokens), *mask, "{name}: {stem}");
            let scores = shell.path("maps").join(format!("{stem}-scores.png"));
            assert_eq!(image::image_dimensions(scores).unwrap(), size);
            counts.iter_mut().zip(mask).for_each(|(count, kept)| *count += kept);
        }
        let [least, most] =
            [counts.iter().copied().fold(f32::MAX, f32::min), counts.iter().copied().fold(0.0, f32::max)];
        let scale = format!("{least} to {most} of {} (layer, step) pairs", steps * layers);
        assert!(about(&shell.path("maps/touched.png")).contains(&("map-scale".into(), scale)));
        assert!(open("sheet.png").width() > 2 * size.0);
    }
}

/// The twin that must fail: the other half of the batch.
#[test]
fn the_halves_of_a_golden_differ() {
    let name = "routed/pixart_sigma_mlp";
    assert_ne!(masks(name, 0), masks(name, 1));
}

#[test]
fn several_pictures_have_folders_of_their_own() {
    let (shell, dit) = (Shell::new(), model("routed/dit_mlp"));
    let mapped = ["generate", "--class", "3", "--model", &dit, "--steps", "1", "--maps", "maps", "--compress", "mod"];
    shell.json(&[&mapped[..], &["--count", "2"]].concat());
    let names = |folder: &str| {
        let mut names: Vec<_> = fs::read_dir(shell.path(folder)).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("maps"), ["picture-1", "picture-2"]);
    assert_eq!(names("maps/picture-1"), names("maps/picture-2"));
    assert_ne!(
        fs::read(shell.path("maps/picture-1/sheet.png")).unwrap(),
        fs::read(shell.path("maps/picture-2/sheet.png")).unwrap()
    );
    fs::write(shell.path("maps/notes.txt"), "mine").unwrap();
    shell.json(&mapped);
    assert!(!shell.path("maps/picture-1").exists() && shell.path("maps/sheet.png").exists());
    assert_eq!(fs::read(shell.path("maps/notes.txt")).unwrap(), b"mine");

    // A map carries its picture's request.
    shell.json(&["generate", "--like", "maps/sheet.png", "--model", &dit, "-o", "again.png"]);
    assert_eq!(fs::read(shell.path("again.png")).unwrap(), fs::read(shell.path("foveate.png")).unwrap());
}
