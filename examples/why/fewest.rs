//! How many evaluations a tolerance takes.

use gaussian_diffusion::Error;

use super::losses::{
    Autoregression, Diffusion, covariance, loss_of_plan, mean_loss, random_orders,
};

/// Nats that may be lost.
pub const TOLERANCE: f64 = 0.1;
/// Random orders that are averaged.
const ORDERS: usize = 10;

/// The evaluations with which at most [`TOLERANCE`] is lost of a field.
#[derive(Debug, Clone)]
pub struct Budgets {
    pub raster: usize,
    pub random: usize,
    /// In the order of [`Diffusion::ALL`].
    pub diffusion: Vec<usize>,
}

impl Budgets {
    /// For a field of such a side and length, and plans from half-log-SNR `-end` to `end`.
    pub fn of_field(
        side: usize,
        length: f64,
        end: f64,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let pixels = side * side;
        let covariance = covariance(side, length);
        let mut orders = random_orders(ORDERS, pixels)?;
        orders.push((0..pixels).collect());
        let orders = orders
            .iter()
            .map(|order| Autoregression::new(&covariance, order));
        let mut random = orders.collect::<Option<Vec<_>>>().ok_or("no covariance")?;
        let raster: Vec<_> = random.drain(ORDERS..).collect();
        let with_groups = |orders: &[Autoregression]| {
            // Groups are equal: fewer evaluations may have groups of the same size.
            let count = fewest(|count| Ok(mean_loss(orders, pixels.div_ceil(count)).of_data))?;
            Ok::<_, Error>(pixels.div_ceil(pixels.div_ceil(count)))
        };
        let eigenvalues = covariance.symmetric_eigenvalues();
        let with_plan = |sampler: Diffusion| {
            fewest(|count| {
                let plan = sampler.plan(count, end)?;
                Ok(loss_of_plan(&plan, eigenvalues.as_slice())?.of_data)
            })
        };
        Ok(Self {
            raster: with_groups(&raster)?,
            random: with_groups(&random)?,
            diffusion: Diffusion::ALL
                .into_iter()
                .map(with_plan)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The fewest evaluations from which on the loss stays within the tolerance.
///
/// Losses need not fall with every evaluation: from a number that is safe, this walks down in steps of
/// an eighth to one that is not, and halves the gap between the two.
pub fn fewest(loss: impl Fn(usize) -> Result<f64, Error>) -> Result<usize, Error> {
    let mut safe = 1;
    while loss(safe)? > TOLERANCE / 2.0 {
        safe *= 2;
    }
    let mut short = safe - safe.div_ceil(8);
    while short > 0 && loss(short)? <= TOLERANCE {
        safe = short;
        short -= short.div_ceil(8);
    }
    while safe - short > 1 {
        let middle = usize::midpoint(short, safe);
        if loss(middle)? <= TOLERANCE {
            safe = middle;
        } else {
            short = middle;
        }
    }
    Ok(safe)
}
