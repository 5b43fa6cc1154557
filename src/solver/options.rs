//! The options that several solvers share, written once as methods of each.

/// Of a solver with a factor of its noise.
macro_rules! noise_factor {
    () => {
        /// Multiplies the noise; anything but 1 changes the distribution of the result.
        ///
        /// # Errors
        ///
        /// If the factor is not 0 to 10.
        #[doc(alias("s_noise"))]
        pub fn with_noise_factor(mut self, factor: f64) -> Result<Self, Error> {
            self.noise = super::check_noise_factor(factor)?;
            Ok(self)
        }
    };
}

/// Of a multi-step solver with an [`Ending`](super::ending::Ending), and what its two parts mean for it.
macro_rules! ending {
    ($(#[$lowers:meta])+ lowers; $(#[$empty:meta])+ empty_step;) => {
        $(#[$lowers])+
        #[doc(alias("lower_order_final"))]
        #[must_use]
        pub fn with_lower_final_orders(mut self) -> Self {
            self.ending.lowers = true;
            self
        }

        $(#[$empty])+
        #[must_use]
        pub fn with_empty_last_step(mut self) -> Self {
            self.ending.empty_step = true;
            self
        }
    };
}

/// Of a solver whose stochasticity is for the data alone, in its own words.
macro_rules! tau_of_data {
    ($(#[$meta:meta])+) => {
        $(#[$meta])+
        pub fn with_tau(mut self, tau: f64) -> Result<Self, Error> {
            if tau != 0.0 && self.coordinates != Coordinates::Data {
                return Err(Error::range("tau", tau, "0 for predictions of the noise"));
            }
            self.tau = super::check_tau(tau)?;
            Ok(self)
        }
    };
}

pub(super) use {ending, noise_factor, tau_of_data};
