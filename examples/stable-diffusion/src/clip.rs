//! The text model of CLIP.

use candle_core::{Device, Result, Tensor};
use candle_nn::{Embedding, Linear, Module};
use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    blocks::{Attention, LayerNorm},
    settings::Fixed,
    weights::Scope,
};

/// `text_encoder/config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    #[serde(default = "seventy_seven")]
    pub max_position_embeddings: usize,
    pub hidden_act: Activation,
    #[serde(default = "small")]
    pub layer_norm_eps: f64,
    /// The width of the text as one vector, for models with a projection.
    #[serde(default)]
    pub projection_dim: Option<usize>,
    #[serde(default = "two")]
    pub eos_token_id: u32,
    #[serde(default)]
    pub architectures: Vec<String>,
}

/// The bend of the perceptrons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    QuickGelu,
    Gelu,
}

fn seventy_seven() -> usize {
    77
}
fn small() -> f64 {
    1e-5
}
fn two() -> u32 {
    2
}

impl ClipConfig {
    /// Keys of the file that have one value in Stable Diffusion.
    pub const FIXED: &'static [Fixed] = &[("use_attention_mask", &["false", "null"])];

    /// Whether the text is also given as one vector.
    pub fn is_projected(&self) -> bool {
        self.architectures
            .iter()
            .any(|name| name == "CLIPTextModelWithProjection")
    }
}

#[derive(Debug, Clone)]
struct Layer {
    norms: [LayerNorm; 2],
    attention: Attention,
    enter: Linear,
    leave: Linear,
}

/// The model.
#[derive(Debug, Clone)]
pub struct Clip {
    pub config: ClipConfig,
    tokens: Embedding,
    places: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    projection: Option<Linear>,
}

/// What the model makes of a text.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Before each layer and behind the last: (batch, place, width).
    states: Vec<Tensor>,
    /// The last of them under the final norm.
    pub last: Tensor,
    /// The whole text as one vector: (batch, width).
    pub pooled: Option<Tensor>,
}

impl Encoded {
    /// What comes of all layers but the last so many, before the final norm.
    pub fn before_last(&self, skipped: usize) -> Outcome<&Tensor> {
        let place = self.states.len().checked_sub(1 + skipped);
        let found = place.and_then(|place| self.states.get(place));
        let layers = self.states.len() - 1;
        Ok(found.ok_or_else(|| {
            format!("{skipped} layers are to be left out, the text model has {layers}")
        })?)
    }
}

impl Clip {
    /// The model with the words of textual inversion (a row each) behind those of its own.
    pub fn load(at: &Scope<'_>, config: &ClipConfig, words: &[Tensor]) -> Outcome<Self> {
        let ClipConfig {
            hidden_size: width,
            intermediate_size: inner,
            layer_norm_eps: eps,
            ..
        } = *config;
        let heads = config.num_attention_heads;
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(
                format!("num_attention_heads is {heads}, allowed: a divisor of {width}").into(),
            );
        }
        // Some files leave the first part of the names out.
        let inside = match at.has("embeddings.token_embedding.weight") {
            true => at.clone(),
            false => at.at("text_model"),
        };
        let layer = |i: usize| -> Outcome<Layer> {
            let at = inside.at("encoder.layers").at(i);
            let linear = |name: &str, inputs, outputs| at.at(name).linear(inputs, outputs);
            Ok(Layer {
                norms: [
                    at.at("layer_norm1").layer_norm(width, eps)?,
                    at.at("layer_norm2").layer_norm(width, eps)?,
                ],
                attention: Attention {
                    query: linear("self_attn.q_proj", width, width)?,
                    key: linear("self_attn.k_proj", width, width)?,
                    value: linear("self_attn.v_proj", width, width)?,
                    out: linear("self_attn.out_proj", width, width)?,
                    heads,
                },
                enter: linear("mlp.fc1", width, inner)?,
                leave: linear("mlp.fc2", inner, width)?,
            })
        };
        let embeddings = inside.at("embeddings");
        let own = embeddings.tensor("token_embedding.weight", &[config.vocab_size, width])?;
        let all: Vec<_> = std::iter::once(&own).chain(words).collect();
        let places = [config.max_position_embeddings, width];
        let projected = config.projection_dim.filter(|_| config.is_projected());
        Ok(Self {
            tokens: Embedding::new(Tensor::cat(&all, 0)?, width),
            places: embeddings.tensor("position_embedding.weight", &places)?,
            layers: (0..config.num_hidden_layers)
                .map(layer)
                .collect::<Outcome<_>>()?,
            norm: inside.at("final_layer_norm").layer_norm(width, eps)?,
            projection: projected
                .map(|outputs| at.at("text_projection").linear_without_bias(width, outputs))
                .transpose()?,
            config: config.clone(),
        })
    }

    /// What the model makes of the tokens of a text.
    pub fn forward(&self, ids: &[u32]) -> Result<Encoded> {
        let device = self.places.device();
        let count = ids.len();
        let tokens = self.tokens.forward(&Tensor::new(ids, device)?)?;
        let mut x = (tokens + self.places.narrow(0, 0, count)?)?.unsqueeze(0)?;
        let mask = causal(count, device)?;
        let mut states = Vec::with_capacity(self.layers.len() + 1);
        for layer in &self.layers {
            let [first, second] = &layer.norms;
            states.push(x.clone());
            let normed = first.forward(&x)?;
            x = (&x + layer.attention.forward(&normed, &normed, Some(&mask))?)?;
            let wide = layer.enter.forward(&second.forward(&x)?)?;
            let bent = match self.config.hidden_act {
                Activation::QuickGelu => (&wide * candle_nn::ops::sigmoid(&(&wide * 1.702)?)?)?,
                Activation::Gelu => wide.gelu_erf()?,
            };
            x = (x + layer.leave.forward(&bent)?)?;
        }
        states.push(x.clone());
        let last = self.norm.forward(&x)?;
        let pooled = match &self.projection {
            None => None,
            Some(layer) => {
                let place = end(ids, self.config.eos_token_id);
                Some(layer.forward(&last.narrow(1, place, 1)?.squeeze(1)?)?)
            }
        };
        Ok(Encoded {
            states,
            last,
            pooled,
        })
    }

    /// The final norm of a state.
    pub fn normed(&self, state: &Tensor) -> Result<Tensor> {
        self.norm.forward(state)
    }
}

/// Where a text ends. Old files give 2 for its token, which it never was: there it is the largest number.
fn end(ids: &[u32], token: u32) -> usize {
    let first = |wanted: u32| ids.iter().position(|id| *id == wanted).unwrap_or(0);
    match token {
        2 => first(ids.iter().copied().max().unwrap_or(0)),
        token => first(token),
    }
}

/// No place sees those behind it.
fn causal(count: usize, device: &Device) -> Result<Tensor> {
    let seen = |i: usize| {
        if i % count > i / count {
            f32::NEG_INFINITY
        } else {
            0.0
        }
    };
    let mask: Vec<f32> = (0..count * count).map(seen).collect();
    Tensor::from_vec(mask, (1, count, count), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// transformers: `argmax` of the ids for configurations with 2, the first token of the end for others.
    #[test]
    fn a_text_ends_at_its_first_end() {
        assert_eq!(end(&[49406, 320, 49407, 49407], 49407), 2);
        assert_eq!(end(&[49406, 320, 49407, 49407], 2), 2);
        // Where the padding is another token, and where a new word has a larger number than the end.
        assert_eq!(end(&[49406, 49500, 49407, 0, 0], 49407), 2);
        assert_eq!(end(&[49406, 49500, 49407, 0, 0], 2), 1);
    }
}
