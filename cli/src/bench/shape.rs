//! `--shape`: the sizes of a transformer that no folder holds.

use std::str::FromStr;

use foveate::Grid;

/// Latent pixels per token side, of DiT and PixArt.
pub const PATCH: usize = 2;
/// Latent channels in and out, of DiT and PixArt.
pub const CHANNELS: [usize; 2] = [4, 8];

const KEYS: &str = "width, layers, heads, tokens, text, kind";
/// Beyond any model, and far from overflow in what is computed from it.
const MOST: usize = 1 << 16;
/// Tokens of a PixArt-α prompt.
const TEXT: usize = 120;

/// The sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The family whose tensors and configs are made up.
    pub kind: Kind,
    /// Of the residual stream, C.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Of every attention.
    pub heads: usize,
    /// Token rows and columns.
    pub grid: Grid,
    /// Tokens of the prompt, S.
    pub text: usize,
}

/// The families that random weights can be made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Given text.
    PixArt,
    /// Given classes.
    Dit,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, String> {
        let (mut width, mut layers, mut heads, mut grid, mut text, mut kind) = (None, None, None, None, None, None);
        for word in words.split(',') {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is no KEY=VALUE; keys: {KEYS}"))?;
            match key {
                "width" => width = Some(number(key, value)?),
                "layers" => layers = Some(number(key, value)?),
                "heads" => heads = Some(number(key, value)?),
                "tokens" => grid = Some(tokens(value)?),
                "text" => text = Some(number(key, value)?),
                "kind" => kind = Some(kind_of(value)?),
                _ => return Err(format!("there is no key {key:?}; keys: {KEYS}")),
            }
        }
        let missing = |key: &str| format!("{key} is missing; keys: {KEYS}");
        let (width, heads) = (width.ok_or_else(|| missing("width"))?, heads.ok_or_else(|| missing("heads"))?);
        let (layers, grid) = (layers.ok_or_else(|| missing("layers"))?, grid.ok_or_else(|| missing("tokens"))?);
        let kind = kind.unwrap_or(Kind::PixArt);
        if !width.is_multiple_of(heads) {
            return Err(format!("width {width} is not divisible by heads {heads}"));
        }
        if !width.is_multiple_of(4) {
            return Err(format!("width {width} is not divisible by 4, which the positions need"));
        }
        if kind == Kind::Dit && text.is_some() {
            return Err("text: a dit is given classes".into());
        }
        Ok(Self { kind, width, layers, heads, grid, text: text.unwrap_or(TEXT) })
    }
}

fn number(key: &str, value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number @ 1..=MOST) => Ok(number),
        _ => Err(format!("{key}={value}: it is a whole number from 1 to {MOST}; keys: {KEYS}")),
    }
}

/// Rows and columns: as given, or the most square that hold so many.
fn tokens(value: &str) -> Result<Grid, String> {
    let grid = match value.split_once(['x', 'X']) {
        Some((rows, columns)) => Grid::new(number("tokens", rows)?, number("tokens", columns)?),
        None => {
            let count = number("tokens", value)?;
            let rows = (1..=count.isqrt()).rev().find(|rows| count.is_multiple_of(*rows)).unwrap_or(1);
            Grid::new(rows, count / rows)
        }
    };
    match grid.tokens() {
        ..=MOST => Ok(grid),
        _ => Err(format!("tokens={value}: more than {MOST}")),
    }
}

fn kind_of(value: &str) -> Result<Kind, String> {
    match value {
        "pixart" => Ok(Kind::PixArt),
        "dit" => Ok(Kind::Dit),
        _ => Err(format!("kind={value}: it is pixart or dit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let shape: Shape = "width=384,layers=4,heads=6,tokens=1024".parse().unwrap();
        let expected =
            Shape { kind: Kind::PixArt, width: 384, layers: 4, heads: 6, grid: Grid::new(32, 32), text: TEXT };
        assert_eq!(shape, expected);
        let shape: Shape = "kind=pixart,text=7,tokens=24x40,heads=2,width=8,layers=1".parse().unwrap();
        assert_eq!((shape.grid, shape.text), (Grid::new(24, 40), 7));
        let shape: Shape = "width=8,layers=1,heads=1,tokens=1,kind=dit".parse().unwrap();
        assert_eq!((shape.kind, shape.grid), (Kind::Dit, Grid::new(1, 1)));
    }

    #[test]
    fn tokens_lie_as_square_as_they_can() {
        for (count, grid) in
            [("1024", [32, 32]), ("960", [30, 32]), ("2", [1, 2]), ("97", [1, 97]), ("24x40", [24, 40])]
        {
            assert_eq!(tokens(count).unwrap(), Grid::from(grid));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rest = "layers=4,heads=6,tokens=1024";
        for (shape, reason) in [
            (format!("widht=384,{rest}"), "no key \"widht\"; keys: width, layers, heads, tokens, text, kind"),
            (format!("width,{rest}"), "\"width\" is no KEY=VALUE; keys: width"),
            (format!("width=wide,{rest}"), "width=wide: it is a whole number"),
            (format!("width=0,{rest}"), "width=0"),
            (format!("width=-6,{rest}"), "width=-6"),
            (format!("width=99999999999999999999,{rest}"), "width=9999"),
            (format!("width=385,{rest}"), "385 is not divisible by heads 6"),
            (format!("width=390,{rest}"), "390 is not divisible by 4"),
            (rest.to_owned(), "width is missing"),
            ("width=384,layers=4,heads=6".into(), "tokens is missing"),
            ("width=384,heads=6,tokens=1024".into(), "layers is missing"),
            (format!("width=384,{rest},kind=unet"), "kind=unet: it is pixart or dit"),
            (format!("width=384,{rest},kind=dit,text=3"), "text: a dit is given classes"),
            ("width=384,layers=4,heads=6,tokens=65536x65536".into(), "more than 65536"),
            ("width=384,layers=4,heads=6,tokens=3x".into(), "tokens=:"),
            (String::new(), "\"\" is no KEY=VALUE"),
        ] {
            let error = shape.parse::<Shape>().unwrap_err();
            assert!(error.contains(reason), "{shape}: {error}");
        }
    }
}
