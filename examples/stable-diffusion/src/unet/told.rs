//! What a U-Net is told beside the picture: the time, the text, and all else that is one vector.

use std::f64::consts::LN_10;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Embedding, Linear, Module};

use super::UNetConfig;
use crate::{Outcome, blocks::Perceptron, weights::Scope};

/// What a network is told beside the picture and the time; each tensor has a row for each item.
#[derive(Debug, Clone)]
pub struct Told {
    /// The text, (batch, place, width).
    pub text: Tensor,
    /// Of XL: the whole text as one vector, and six sizes.
    pub added: Option<(Tensor, Tensor)>,
    /// The scale of guidance, for networks that are told it: those distilled to consistency.
    pub scale: Option<f64>,
    /// A number of a class for each item.
    pub classes: Option<Tensor>,
}

impl Told {
    /// One after the other, along the batch.
    pub fn cat(parts: &[&Self]) -> Result<Self> {
        let all = |of: &dyn Fn(&Self) -> Option<Tensor>| -> Result<Option<Tensor>> {
            let some: Vec<_> = parts.iter().filter_map(|part| of(part)).collect();
            match some.len() == parts.len() && !some.is_empty() {
                true => Tensor::cat(&some, 0).map(Some),
                false => Ok(None),
            }
        };
        let texts: Vec<_> = parts.iter().map(|part| &part.text).collect();
        let pooled = all(&|part| part.added.as_ref().map(|(pooled, _)| pooled.clone()))?;
        let sizes = all(&|part| part.added.as_ref().map(|(_, sizes)| sizes.clone()))?;
        Ok(Self {
            text: Tensor::cat(&texts, 0)?,
            added: pooled.zip(sizes),
            scale: parts.first().and_then(|part| part.scale),
            classes: all(&|part| part.classes.clone())?,
        })
    }
}

/// The time and all else that is one vector, as the vector that every block is given.
#[derive(Debug, Clone)]
pub(super) struct Times {
    waves: Waves,
    perceptron: Perceptron,
    scale: Option<(Linear, usize)>,
    class: Option<Class>,
    added: Option<(Waves, Perceptron)>,
    dtype: DType,
}

#[derive(Debug, Clone)]
enum Class {
    Table(Embedding),
    Waves(Waves, Perceptron),
}

impl Times {
    pub(super) fn load(at: &Scope<'_>, config: &UNetConfig, dtype: DType) -> Outcome<Self> {
        let (width, time) = (config.channels(0)?, config.time());
        let waves = |width| Waves {
            width,
            flip: config.flip_sin_to_cos,
            shift: config.freq_shift,
        };
        let scale = config.time_cond_proj_dim.map(|dim| {
            let layer = at
                .at("time_embedding.cond_proj")
                .linear_without_bias(dim, width)?;
            Outcome::Ok((layer, dim))
        });
        let class = match (config.class_embed_type.as_deref(), config.num_class_embeds) {
            (None, None) => None,
            (None, Some(count)) => {
                let table = at.tensor("class_embedding.weight", &[count, time])?;
                Some(Class::Table(Embedding::new(table, time)))
            }
            (Some("timestep"), _) => {
                let perceptron = Perceptron::load(&at.at("class_embedding"), width, time)?;
                Some(Class::Waves(waves(width), perceptron))
            }
            (Some(other), _) => {
                return Err(
                    format!("class_embed_type is {other:?}, allowed: null, \"timestep\"").into(),
                );
            }
        };
        let added = match config.addition_embed_type.as_deref() {
            None => None,
            Some("text_time") => {
                let (Some(each), Some(inputs)) = (
                    config.addition_time_embed_dim,
                    config.projection_class_embeddings_input_dim,
                ) else {
                    return Err(
                        "addition_embed_type text_time needs addition_time_embed_dim and \
                                projection_class_embeddings_input_dim"
                            .into(),
                    );
                };
                let perceptron = Perceptron::load(&at.at("add_embedding"), inputs, time)?;
                Some((waves(each), perceptron))
            }
            Some(other) => {
                return Err(format!(
                    "addition_embed_type is {other:?}, allowed: null, \"text_time\""
                )
                .into());
            }
        };
        Ok(Self {
            waves: waves(width),
            perceptron: Perceptron::load(&at.at("time_embedding"), width, time)?,
            scale: scale.transpose()?,
            class,
            added,
            dtype,
        })
    }

    pub(super) fn forward(&self, time: f64, told: &Told) -> Result<Tensor> {
        let device = told.text.device();
        let batch = told.text.dim(0)?;
        let mut waves = self.waves.of(&[time], device)?.to_dtype(self.dtype)?;
        if let (Some((layer, width)), Some(scale)) = (&self.scale, told.scale) {
            let angles = Waves::of_scale(*width, scale, device)?.to_dtype(self.dtype)?;
            waves = (waves + layer.forward(&angles)?)?;
        }
        let mut vector = self.perceptron.forward(&waves)?.repeat((batch, 1))?;
        match (&self.class, &told.classes) {
            (None, _) => {}
            (Some(_), None) => candle_core::bail!("the network needs a class for each picture"),
            (Some(Class::Table(table)), Some(classes)) => {
                vector = (vector + table.forward(&classes.to_dtype(DType::U32)?)?)?;
            }
            (Some(Class::Waves(waves, perceptron)), Some(classes)) => {
                let numbers: Vec<f64> = classes.to_dtype(DType::F64)?.to_vec1()?;
                let waves = waves.of(&numbers, device)?.to_dtype(self.dtype)?;
                vector = (vector + perceptron.forward(&waves)?)?;
            }
        }
        if let Some((waves, perceptron)) = &self.added {
            let Some((pooled, sizes)) = &told.added else {
                candle_core::bail!("the network needs the whole text as a vector, and sizes");
            };
            let numbers: Vec<f64> = sizes.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
            let sizes = waves
                .of(&numbers, device)?
                .reshape((batch, ()))?
                .to_dtype(self.dtype)?;
            vector = (vector + perceptron.forward(&Tensor::cat(&[pooled, &sizes], 1)?)?)?;
        }
        Ok(vector)
    }
}

/// A number as cosines and sines of it, at frequencies from 1 to 1/10000.
///
/// Rounded at every step as torch does it, for large numbers turn a rounding into an angle.
#[derive(Debug, Clone, Copy)]
struct Waves {
    width: usize,
    flip: bool,
    shift: f64,
}

impl Waves {
    fn of(self, numbers: &[f64], device: &Device) -> Result<Tensor> {
        let half = self.width / 2;
        let (fall, steps) = ((-4.0 * LN_10) as f32, (half as f64 - self.shift) as f32);
        let mut rows = Vec::with_capacity(numbers.len() * self.width);
        for number in numbers {
            let angle = |i: usize| {
                let exponent = fall * i as f32 / steps;
                f64::from(*number as f32 * f64::from(exponent).exp() as f32)
            };
            let sines = (0..half).map(|i| angle(i).sin() as f32);
            let cosines = (0..half).map(|i| angle(i).cos() as f32);
            match self.flip {
                true => rows.extend(cosines.chain(sines)),
                false => rows.extend(sines.chain(cosines)),
            }
            rows.resize(rows.len().next_multiple_of(self.width), 0.0);
        }
        Tensor::from_vec(rows, (numbers.len(), self.width), device)
    }

    /// The scale of guidance less 1, a thousandfold, with the sines first.
    fn of_scale(width: usize, scale: f64, device: &Device) -> Result<Tensor> {
        let waves = Self {
            width,
            flip: false,
            shift: 1.0,
        };
        waves.of(&[(scale - 1.0) * 1000.0], device)
    }
}
