//! Extended reverse-time solvers.

use super::{At, Coordinates, Path, ReverseStep, Stage, Update, exponential::inner, interpolation};
use crate::{Error, NoiseLevel, UpdateNoise};

/// ER-SDE-Solver of orders 1 to 3 with the authors' fifth noise scale.
///
/// With `rho = sigma / alpha`, a scale `n(rho) = rho (e^(rho^0.3) + 10)` and `r = n(rho_s) / n(rho_t)`:
///
/// ```text
/// x_s = alpha_s (r x_t / alpha_t + integral of p(rho) d(n(rho_s) / n(rho)))
///     + alpha_s sqrt(rho_s^2 - r^2 rho_t^2) z
/// ```
///
/// $$x_s=\alpha_s\Big(r\frac{x_t}{\alpha_t}+n(\rho_s)\int_{\rho_t}^{\rho_s}p(\rho)\thinspace\mathrm d
///   \frac1{n(\rho)}+\sqrt{\rho_s^2-r^2\rho_t^2}\thickspace z\Big)$$
///
/// where `p` goes through the last data predictions in `rho`. The integrals are taken by quadrature.
///
/// [Source](crate::docs::papers#arxiv-2309.06169): Elucidating the Solution Space of Extended Reverse-Time SDE for Diffusion
/// Models, Cui, Zhang, Lu, Liao, 2023.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::ErSde};
/// let schedule = Discrete::stable_diffusion()?;
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 10)?, &ErSde::new(3)?)?;
/// assert!(plan.defect()? < 1e-13);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("er_sde", "sample_er_sde"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErSde {
    order: usize,
    noise: f64,
}

impl ErSde {
    /// Of this order.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 3.
    pub fn new(order: usize) -> Result<Self, Error> {
        super::check_order(order, 3)?;
        Ok(Self { order, noise: 1.0 })
    }

    super::options::noise_factor!();
}

/// `n(rho) / rho`.
fn scale(rho: f64) -> f64 {
    // Held below what f64 can hold, far beyond any noise in use.
    rho.powf(0.3).min(300.0).exp() + 10.0
}

impl ReverseStep for ErSde {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        super::check_descent(path, "noise", 1.0)?;
        if !(inner(from) && inner(to)) {
            return Ok(Coordinates::Data.end_stage(path, 1.0, self.noise));
        }
        let (start, end) = (from.noise_to_signal(), to.noise_to_signal());
        let kept = end / start * (scale(end) / scale(start));
        let way = end - start;
        let nodes: Vec<NoiseLevel> = path
            .visited()
            .take_while(|&l| inner(l))
            .take(self.order)
            .collect();
        // By parts: integral of r^k d(n_s / n) over r from 0 to 1, with 1/n as a function of log rho.
        let log_way = (end / start).ln();
        let pieces = log_way.abs().ceil() as usize;
        let moments: Vec<_> = (0..nodes.len())
            .map(|k| match k {
                0 => 1.0 - kept,
                k => {
                    let rest = interpolation::integral(pieces, |part| {
                        let rho = start * (log_way * part).exp();
                        let r = (rho - start) / way;
                        // n_s / n(rho) d rho = (rho_s / rho) (scale_s / scale) rho d(log rho)
                        let ratio = end * (scale(end) / scale(rho)) * (log_way / way);
                        ratio * r.powi(k as i32 - 1)
                    });
                    1.0 - k as f64 * rest
                }
            })
            .map(|moment| to.alpha() * moment)
            .collect();
        let places: Vec<_> = nodes
            .iter()
            .map(|level| (level.noise_to_signal() - start) / way)
            .collect();
        let std = ((end - kept * start) * (end + kept * start))
            .max(0.0)
            .sqrt();
        let update = Update::new(to.alpha() / from.alpha() * kept)
            .with_model(interpolation::weights(&places, &moments))
            .with_noise(UpdateNoise::Std(self.noise * to.alpha() * std));
        let stage = Stage::new(At::From, Coordinates::Data.basis());
        Ok(vec![stage.with_commit(update)])
    }

    fn name(&self) -> &str {
        match self.order {
            1 => "ER-SDE 1",
            2 => "ER-SDE 2",
            _ => "ER-SDE 3",
        }
    }

    fn memory(&self) -> usize {
        self.order
    }

    /// At most 2, on Gaussian data.
    fn order(&self) -> u32 {
        self.order.min(2) as u32
    }
}
