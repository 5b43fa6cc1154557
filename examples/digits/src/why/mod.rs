//! Why diffusion: networks of one architecture, trained alike, that draw digits all at once, some pixels at
//! a time, or by diffusion.

mod autoregression;
mod grey;
mod order;
mod regression;
mod scores;
mod tables;
mod views;
mod ways;

use gaussian_diffusion::{SeededNoise, schedule::Discrete};

use crate::{
    Outcome,
    data::Digits,
    judge::Judge,
    kept,
    network::{Class, Network},
    options::Options,
    picture::Gallery,
};
use autoregression::Autoregression;
use order::Order;
use regression::Regression;
use ways::Networks;

/// The class, and how many of it are drawn without noise and with it; how many are shown.
const CLASS: usize = 3;
const COPIES: usize = 36;
const SHOWN: usize = 5;

/// What the report is about.
#[derive(Debug)]
pub struct Subject<'a> {
    pub diffusion: &'a Network,
    pub schedule: &'a Discrete,
    pub trained_on: &'a Digits,
    pub judge: &'a Judge<'a>,
    /// The classes that are drawn.
    pub asked: &'a [usize],
}

/// Trains the other networks, draws digits in every way, prints how good they are, and shows them.
pub fn report(
    gallery: &mut Gallery,
    subject: &Subject,
    options: &Options,
    noise: &SeededNoise,
) -> Outcome<()> {
    let Subject {
        trained_on, judge, ..
    } = *subject;
    let (recipe, seed) = (&options.recipe, options.seed);
    println!("\nwhy diffusion: three more networks, trained for as many batches");
    let order = |order: Order| {
        let train = || Ok(Autoregression::trained(order, trained_on, recipe, seed)?.network);
        let network = kept(options, order.name(), &Autoregression::layers(), train)?;
        Outcome::Ok(Autoregression { network, order })
    };
    let networks = Networks {
        regression: Regression(kept(options, "regression", &Regression::layers(), || {
            Ok(Regression::trained(trained_on, recipe, seed)?.0)
        })?),
        autoregression: [order(Order::Raster)?, order(Order::Random)?],
        diffusion: subject.diffusion,
        schedule: subject.schedule,
    };
    for network in &networks.autoregression {
        println!(
            "{}: {:.3} nats a pixel on the digits trained on, {:.3} on those held out",
            network.order.name(),
            network.loss(trained_on, seed)?,
            network.loss(judge.held_out, seed)?,
        );
    }

    let classes: Vec<Class> = subject.asked.iter().copied().map(Some).collect();
    let ways = networks.draw(&classes, seed, noise)?;
    let scores = scores::scores(judge, subject.asked, &ways);
    let measures = scores::measures(judge, trained_on, subject.asked.len());
    tables::quality(&scores, &measures);
    let pairs = networks.draw_pairs(CLASS, COPIES, seed, noise)?;
    tables::noise(&pairs);

    gallery.add(
        "digits_quality",
        "how good the digits are, by the number of evaluations",
        &views::quality(&scores, &measures)?,
    )?;
    gallery.add(
        "digits_ways",
        "a digit of each class by each way: the blur, speckle, scan lines, digits",
        &views::ways(trained_on, &ways)?,
    )?;
    gallery.add(
        "digits_noise",
        "five digits of one class without noise, which are the same, and five with it",
        &views::noise(&pairs, SHOWN)?,
    )
}
