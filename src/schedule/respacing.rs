//! Which steps of a schedule a shorter process keeps.

use crate::{Error, time::check_steps};

/// An increasing subsequence of the steps of a discrete schedule.
///
/// ```
/// use gaussian_diffusion::schedule::Respacing;
/// assert_eq!(Respacing::parse("ddim4", 20)?.steps(), [0, 5, 10, 15]);
/// assert_eq!(Respacing::parse("3,2", 20)?.steps(), [0, 4, 9, 10, 19]);
/// assert!(Respacing::parse("ddim11", 20).is_err());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
///
/// [Source](crate::docs::papers#arxiv-2102.09672): Improved Denoising Diffusion Probabilistic Models, Nichol, Dhariwal, 2021,
/// whose code reads the same texts.
#[doc(alias("timestep_respacing", "space_timesteps", "SpacedDiffusion"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respacing {
    total: usize,
    steps: Vec<usize>,
}

impl Respacing {
    /// These steps of a schedule of `total` steps.
    ///
    /// # Errors
    ///
    /// If there are none, or they do not strictly increase, or one is not below `total`, or `total` is
    /// 0 or above 2^24; the last for all that follow.
    pub fn of_steps(total: usize, steps: impl Into<Vec<usize>>) -> Result<Self, Error> {
        check_steps(total)?;
        let steps = steps.into();
        if steps.is_empty() {
            return Err(Error::range("number of steps kept", 0.0, "1 or more"));
        }
        let mut lowest = 0;
        for (index, &step) in steps.iter().enumerate() {
            if !(lowest..total).contains(&step) {
                let allowed = match lowest < total {
                    true => format!("{lowest} to below {total}"),
                    false => format!("none after {}, the last step", total - 1),
                };
                return Err(Error::element("steps", index, step as f64, allowed));
            }
            lowest = step + 1;
        }
        Ok(Self { total, steps })
    }

    /// `total` cut into as many sections of nearly equal length as there are counts, and each section
    /// sampled evenly, its two ends included.
    ///
    /// # Errors
    ///
    /// If a section has fewer steps than its count, or no step is kept at all.
    pub fn of_sections(total: usize, counts: &[usize]) -> Result<Self, Error> {
        check_steps(total)?;
        let mut steps = Vec::new();
        let mut start = 0;
        for (index, &count) in counts.iter().enumerate() {
            let size = total / counts.len() + usize::from(index < total % counts.len());
            if count > size {
                let allowed = format!("0 to {size}, the steps of this section");
                return Err(Error::element(
                    "section counts",
                    index,
                    count as f64,
                    allowed,
                ));
            }
            // Of a single step, none is made.
            let stride = size.saturating_sub(1) as f64 / count.saturating_sub(1).max(1) as f64;
            // The running sum decides ties as the reference does.
            let mut position = 0.0_f64;
            for _ in 0..count {
                steps.push(start + position.round_ties_even() as usize);
                position += stride;
            }
            start += size;
        }
        Self::of_steps(total, steps)
    }

    /// Reads `"ddimN"`, the integer stride that gives exactly `N` steps, or `"10,15,20"`, the counts
    /// of [`of_sections`](Self::of_sections).
    ///
    /// # Errors
    ///
    /// If the text has neither form, or no integer stride gives `N` steps, or the counts do not fit.
    pub fn parse(text: &str, total: usize) -> Result<Self, Error> {
        check_steps(total)?;
        let unreadable = |allowed| Error::Parse {
            what: "respacing",
            text: text.to_owned(),
            allowed,
        };
        let number = |digits: &str| {
            digits
                .trim()
                .parse::<usize>()
                .map_err(|_| unreadable("\"ddim50\" or \"10,15,20\""))
        };
        if let Some(wanted) = text.trim().strip_prefix("ddim") {
            let wanted = number(wanted)?;
            let stride = (1..=total)
                .find(|&stride| total.div_ceil(stride) == wanted)
                .ok_or_else(|| unreadable("\"ddimN\" with an N that an integer stride gives"))?;
            return Self::of_steps(total, (0..total).step_by(stride).collect::<Vec<_>>());
        }
        let counts = text.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
        Self::of_sections(total, &counts)
    }

    /// Number of steps of the schedule this is a subsequence of.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The steps kept, increasing.
    pub fn steps(&self) -> &[usize] {
        &self.steps
    }
}
