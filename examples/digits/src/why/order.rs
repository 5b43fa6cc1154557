//! The order in which the pixels of a picture are drawn.

use gaussian_diffusion::rand::{rngs::StdRng, seq::SliceRandom};

use crate::data::PIXELS;

/// Which order autoregression takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    /// Row by row from the top, each from the left.
    Raster,
    /// Any order, each as likely as any other.
    Random,
}

impl Order {
    pub fn name(self) -> &'static str {
        match self {
            Self::Raster => "raster order",
            Self::Random => "random order",
        }
    }

    /// All pixels, the first to be drawn first.
    pub fn draw(self, rng: &mut StdRng) -> Vec<usize> {
        let mut order: Vec<usize> = (0..PIXELS).collect();
        if self == Self::Random {
            order.shuffle(rng);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use gaussian_diffusion::rand::SeedableRng;

    use super::*;

    #[test]
    fn an_order_has_every_pixel_once() {
        let mut rng = StdRng::seed_from_u64(1);
        let raster: Vec<_> = (0..PIXELS).collect();
        assert_eq!(Order::Raster.draw(&mut rng), raster);
        let random = Order::Random.draw(&mut rng);
        assert_ne!(random, raster);
        assert_ne!(random, Order::Random.draw(&mut rng));
        let mut sorted = random;
        sorted.sort_unstable();
        assert_eq!(sorted, raster);
    }
}
