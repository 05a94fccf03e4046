//! The sheet: the kept ratios by layer and region of the timesteps, the picture, and where the tokens went.

use foveate::Result;
use foveate::compress::KeptRatios;
use foveate_studio::viridis;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::colour;
use super::heat::Scale;
use super::text::{self, Font, HEIGHT};

const PAPER: Rgb<u8> = Rgb([250, 249, 246]);
const INK: Rgb<u8> = Rgb([40, 40, 44]);
const FAINT: Rgb<u8> = Rgb([120, 120, 126]);

const MARGIN: u32 = 24;
/// A cell of the matrix.
const CELL: [u32; 2] = [72, 24];
/// Left of the matrix: the number of the layer.
const NUMBERS: u32 = 56;
/// Height of the bar of colours.
const BAR: u32 = 12;
/// A bar with its two lines of text.
const LEGEND: u32 = 8 + BAR + 4 + 2 * HEIGHT;
/// The longest side of a picture on the sheet.
const PANEL: u32 = 512;

/// What a sheet shows.
#[derive(Debug)]
pub struct Sheet<'a> {
    pub title: String,
    pub subtitle: String,
    pub ratios: &'a KeptRatios,
    /// Of the steps that were taken.
    pub timesteps: Vec<f32>,
    pub picture: RgbImage,
    pub touched: &'a RgbImage,
    /// What the ends of the touched map's colours mean.
    pub scale: Scale,
    /// Pairs of layer and step.
    pub pairs: usize,
}

/// A sheet under way.
struct Canvas {
    font: Font,
    picture: RgbImage,
}

impl Sheet<'_> {
    /// Draws it: the matrix to the left; to the right the two pictures, one above the other where the matrix is high.
    pub fn draw(&self) -> Result<RgbImage> {
        let panels = [panel(&self.picture), panel(self.touched)];
        let [wide, high] = [panels[0].width(), panels[0].height() + HEIGHT + 8 + LEGEND];
        let matrix = self.matrix_size();
        let stacked = matrix[1] > high + high / 2;
        let [across, down] = if stacked { [1, 2] } else { [2, 1] };
        let top = MARGIN + 2 * HEIGHT + MARGIN;
        let left = MARGIN + matrix[0] + MARGIN;
        let width = left + across * (wide + MARGIN);
        let height = top + matrix[1].max(down * high + (down - 1) * MARGIN) + MARGIN;
        let mut canvas = Canvas { font: Font::new()?, picture: RgbImage::from_pixel(width, height, PAPER) };

        let room = width - 2 * MARGIN;
        canvas.text([MARGIN, MARGIN], &text::fit(&self.title, room), INK);
        canvas.text([MARGIN, MARGIN + HEIGHT], &text::fit(&self.subtitle, room), FAINT);
        self.matrix(&mut canvas, [MARGIN, top]);
        let second = if stacked { [left, top + high + MARGIN] } else { [left + wide + MARGIN, top] };
        let [picture, touched] = &panels;
        canvas.panel([left, top], "the picture", picture);
        let below = canvas.panel(second, "how often a token was kept", touched);
        let Scale { least, most } = self.scale;
        let pairs = format!("of {} (layer, step) pairs", self.pairs);
        let over_grey = |value| colour::over(viridis(value), 127.5);
        canvas.legend([second[0], below], wide, [&least.to_string(), &most.to_string()], &pairs, over_grey);
        Ok(canvas.picture)
    }

    fn regions(&self) -> u32 {
        self.ratios.rows().len() as u32
    }

    fn layers(&self) -> u32 {
        self.ratios.rows().first().map_or(0, Vec::len) as u32
    }

    /// Of the matrix with its words: three lines above, the legend below. No narrower than its words.
    fn matrix_size(&self) -> [u32; 2] {
        let words = text::width("kept ratio by layer and timestep");
        [(NUMBERS + self.regions() * CELL[0]).max(words), 3 * HEIGHT + 8 + self.layers() * CELL[1] + LEGEND]
    }

    fn matrix(&self, canvas: &mut Canvas, [left, top]: [u32; 2]) {
        canvas.text([left, top], "kept ratio by layer and timestep", INK);
        let (first, cells) = (left + NUMBERS, top + 3 * HEIGHT + 8);
        canvas.text([left, top + 4 + HEIGHT], "layer", FAINT);
        for (region, ratios) in self.ratios.rows().iter().enumerate() {
            let x = first + region as u32 * CELL[0];
            let steps = self.timesteps.iter().filter(|&&t| self.ratios.region(t) == region).count();
            let plural = if steps == 1 { "" } else { "s" };
            let [noisiest, cleanest] = self.ratios.timesteps(region);
            let span = if self.regions() == 1 { "all".into() } else { format!("{noisiest}-{cleanest}") };
            canvas.centred([x, top + 4 + HEIGHT], CELL[0], &text::fit(&span, CELL[0]), INK);
            canvas.centred([x, top + 4 + 2 * HEIGHT], CELL[0], &format!("{steps} step{plural}"), FAINT);
            for (layer, &ratio) in ratios.iter().enumerate() {
                let y = cells + layer as u32 * CELL[1];
                let colour = viridis(ratio as f32);
                canvas.fill([x, y], [CELL[0] - 1, CELL[1] - 1], |_| colour);
                canvas.centred([x, y + (CELL[1] - HEIGHT) / 2], CELL[0], &format!("{ratio:.2}"), colour::ink(colour));
                if region == 0 {
                    canvas.text([left + 16, y + (CELL[1] - HEIGHT) / 2], &format!("{layer:>2}"), FAINT);
                }
            }
        }
        let width = (self.regions() * CELL[0]).max(2 * CELL[0]);
        canvas.legend([first, cells + self.layers() * CELL[1]], width, ["0", "1"], "kept ratio", viridis);
    }
}

impl Canvas {
    fn text(&mut self, at: [u32; 2], text: &str, ink: Rgb<u8>) {
        self.font.write(&mut self.picture, at, text, ink);
    }

    fn centred(&mut self, [left, top]: [u32; 2], width: u32, text: &str, ink: Rgb<u8>) {
        self.text([left + width.saturating_sub(text::width(text)) / 2, top], text, ink);
    }

    /// A rectangle whose colour depends on how far to the right it is, 0…1.
    fn fill(&mut self, [left, top]: [u32; 2], [width, height]: [u32; 2], colour: impl Fn(f32) -> Rgb<u8>) {
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            if let Some(pixel) = self.picture.get_pixel_mut_checked(left + x, top + y) {
                *pixel = colour(x as f32 / (width - 1).max(1) as f32);
            }
        }
    }

    /// A picture below its name. Returns where it ends.
    fn panel(&mut self, [left, top]: [u32; 2], name: &str, picture: &RgbImage) -> u32 {
        self.text([left, top], &text::fit(name, picture.width()), INK);
        imageops::replace(&mut self.picture, picture, left.into(), (top + HEIGHT + 8).into());
        top + HEIGHT + 8 + picture.height()
    }

    /// The colours from left to right, what their ends mean, and of what.
    fn legend(
        &mut self,
        [left, top]: [u32; 2],
        width: u32,
        [least, most]: [&str; 2],
        of: &str,
        colour: impl Fn(f32) -> Rgb<u8>,
    ) {
        self.fill([left, top + 8], [width, BAR], colour);
        let line = top + 8 + BAR + 4;
        self.text([left, line], least, INK);
        self.text([left + width.saturating_sub(text::width(most)), line], most, INK);
        self.centred([left, line + HEIGHT], width, &text::fit(of, width), FAINT);
    }
}

/// A picture that fits the sheet.
fn panel(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    if longest <= PANEL {
        return picture.clone();
    }
    let side = |side: u32| (side * PANEL / longest).max(1);
    imageops::resize(picture, side(width), side(height), FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(layers: usize, [width, height]: [u32; 2]) -> RgbImage {
        let ratios = KeptRatios::new(vec![vec![0.5; layers], vec![1.0; layers]], 1000);
        let touched = RgbImage::from_pixel(width, height, Rgb([9, 8, 7]));
        let sheet = Sheet {
            title: "a very long prompt ".repeat(20),
            subtitle: "diffcr".into(),
            ratios: &ratios,
            timesteps: vec![900.0, 600.0, 100.0],
            picture: touched.clone(),
            touched: &touched,
            scale: Scale { least: 3.0, most: 17.0 },
            pairs: 20,
        };
        sheet.draw().unwrap()
    }

    #[test]
    fn a_high_matrix_has_its_pictures_one_above_the_other() {
        let (low, high) = (sheet(2, [320, 256]), sheet(40, [320, 256]));
        assert_eq!(low.width() - high.width(), 320 + MARGIN);
        assert!(high.height() > 40 * CELL[1]);
    }

    #[test]
    fn cells_have_the_colours_of_their_ratios() {
        let sheet = sheet(3, [256, 256]);
        let [x, y] = [MARGIN + NUMBERS, MARGIN + 2 * HEIGHT + MARGIN + 3 * HEIGHT + 8];
        assert_eq!(*sheet.get_pixel(x, y), viridis(0.5));
        assert_eq!(*sheet.get_pixel(x + CELL[0], y + 2 * CELL[1]), viridis(1.0));
    }

    #[test]
    fn large_pictures_are_reduced() {
        assert_eq!(panel(&RgbImage::new(2048, 1024)).dimensions(), (512, 256));
        assert_eq!(panel(&RgbImage::new(20, 8192)).dimensions(), (1, 512));
    }
}
