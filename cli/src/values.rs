//! Values of options, from text.

/// torch takes negative seeds too, as the bits that they are.
pub fn seed(text: &str) -> Result<u64, String> {
    let negative = || text.parse::<i64>().map(|seed| seed as u64);
    text.parse::<u64>().or_else(|_| negative()).map_err(|_| "a seed is a whole number of 64 bits".into())
}

/// A number.
pub fn finite(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("it is no number".into()),
    }
}

/// A share of tokens to save.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..1.0).contains(&value) => Ok(value),
        _ => Err("a ratio is at least 0 and below 1".into()),
    }
}

/// Width and height.
pub fn size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once(['x', 'X']).and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
    match sides {
        // Beyond any picture, and far from overflow in what is computed from it.
        Some([w, h]) if w > 1 << 16 || h > 1 << 16 => Err("no side may exceed 65536".into()),
        Some(size) => Ok(size),
        None => Err("a size is WIDTHxHEIGHT, such as 512x384".into()),
    }
}

/// `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.into(), value.into())),
        None => Err("it has no '='".into()),
    }
}
