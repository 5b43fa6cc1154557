//! The grey levels that a pixel of the data can have.

use ndarray::Array2;

use crate::data::INK;

pub const LEVELS: usize = INK as usize + 1;

/// The pixel of a level.
pub fn pixel(level: usize) -> f32 {
    level as f32 / f32::from(INK) * 2.0 - 1.0
}

/// The level that is nearest to a pixel.
pub fn level(pixel: f32) -> usize {
    let ink = (pixel + 1.0) / 2.0 * f32::from(INK);
    ink.round().clamp(0.0, f32::from(INK)) as usize
}

/// The nearest pixels that the data could have.
pub fn rounded(pixels: &Array2<f32>) -> Array2<f32> {
    pixels.mapv(|value| pixel(level(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_their_pixels_are_inverse_and_others_are_rounded() {
        for i in 0..LEVELS {
            assert_eq!(level(pixel(i)), i);
        }
        assert_eq!([pixel(0), pixel(8), pixel(16)], [-1.0, 0.0, 1.0]);
        assert_eq!(
            [level(-7.0), level(0.07), level(0.05), level(2.0)],
            [0, 9, 8, 16]
        );
    }
}
