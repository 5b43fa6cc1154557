//! A second first half of the U-Net that is shown a picture to follow.
//!
//! Source: Adding Conditional Control to Text-to-Image Diffusion Models, Zhang, Rao, Agrawala, 2023.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Conv2d, Module};
use serde::{Deserialize, Serialize};

use crate::{
    Outcome, ldm,
    settings::{self, Fixed},
    unet::{Encoded, Encoder, Told, UNetConfig},
    weights::{Scope, Weights},
};

/// The `config.json` of a ControlNet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlConfig {
    #[serde(flatten)]
    unet: UNetConfig,
    #[serde(default = "three")]
    conditioning_channels: usize,
    #[serde(default)]
    conditioning_embedding_out_channels: Option<Vec<usize>>,
}

fn three() -> usize {
    3
}

impl ControlConfig {
    /// Keys of the file that have one value here.
    pub const FIXED: &'static [Fixed] = &[
        ("controlnet_conditioning_channel_order", &["\"rgb\""]),
        ("global_pool_conditions", &["false"]),
    ];
}

/// The network.
#[derive(Debug, Clone)]
pub struct ControlNet {
    hint: Vec<Conv2d>,
    encoder: Encoder,
    across: Vec<Conv2d>,
    middle: Conv2d,
    dtype: DType,
}

impl ControlNet {
    /// A folder of diffusers, or a file beside the configuration of such a folder.
    pub fn open(
        path: &Path,
        config: Option<&Path>,
        dtype: DType,
        device: &Device,
    ) -> Outcome<Self> {
        let folder = match (path.is_dir(), config) {
            (true, _) => path,
            (false, Some(config)) => config,
            (false, None) => {
                let path = path.display();
                return Err(format!("{path}: a ControlNet in a single file needs --control-config with its config.json").into());
            }
        };
        let fixed = [UNetConfig::FIXED, ControlConfig::FIXED].concat();
        let config: ControlConfig = settings::read(&folder.join("config.json"), &fixed)?;
        let weights = match path.is_dir() {
            true => Weights::open_part(path, "diffusion_pytorch_model")?,
            false => ldm::control_of(&Weights::open(path)?, config.unet.layers_per_block),
        };
        let weights = weights.to(dtype, device);
        let network = Self::load(&weights.root(), &config, dtype)?;
        weights.check_all_used()?;
        Ok(network)
    }

    fn load(at: &Scope<'_>, config: &ControlConfig, dtype: DType) -> Outcome<Self> {
        let unet = &config.unet;
        let widths = config.conditioning_embedding_out_channels.clone();
        let widths = widths.unwrap_or_else(|| vec![16, 32, 96, 256]);
        let (Some(&first), Some(&last), Some(&inner)) = (
            widths.first(),
            widths.last(),
            unet.block_out_channels.first(),
        ) else {
            return Err(
                "block_out_channels or conditioning_embedding_out_channels is empty".into(),
            );
        };
        let into = at.at("controlnet_cond_embedding");
        let mut hint = vec![
            into.at("conv_in")
                .conv(config.conditioning_channels, first, 3, 1)?,
        ];
        for (i, pair) in widths.windows(2).enumerate() {
            let at = |place| into.at("blocks").at(place);
            hint.push(at(2 * i).conv(pair[0], pair[0], 3, 1)?);
            hint.push(at(2 * i + 1).conv(pair[0], pair[1], 3, 2)?);
        }
        hint.push(into.at("conv_out").conv(last, inner, 3, 1)?);
        let mut across = Vec::new();
        let mut add = |width| {
            let at = at.at("controlnet_down_blocks").at(across.len());
            across.push(at.conv(width, width, 1, 1)?);
            Outcome::Ok(())
        };
        add(inner)?;
        let levels = unet.block_out_channels.len();
        for (i, &width) in unet.block_out_channels.iter().enumerate() {
            for _ in 0..unet.layers_per_block + usize::from(i + 1 < levels) {
                add(width)?;
            }
        }
        let smallest = unet.block_out_channels.last().copied().unwrap_or(inner);
        Ok(Self {
            hint,
            encoder: Encoder::load(at, unet, dtype)?,
            across,
            middle: at
                .at("controlnet_mid_block")
                .conv(smallest, smallest, 1, 1)?,
            dtype,
        })
    }

    /// What a picture (1, 3, row, column) in 0 to 1 is to the network: made once for a run.
    pub fn hint(&self, picture: &Tensor) -> Result<Tensor> {
        let mut x = picture.to_dtype(self.dtype)?;
        for (i, layer) in self.hint.iter().enumerate() {
            x = layer.forward(&x)?;
            if i + 1 < self.hint.len() {
                x = x.silu()?;
            }
        }
        Ok(x)
    }

    /// What is to be added to the ways across a U-Net that is asked the same, this strongly.
    pub fn forward(
        &self,
        x: &Tensor,
        time: f64,
        told: &Told,
        hint: &Tensor,
        scale: f64,
    ) -> Result<Encoded> {
        let x = x.to_dtype(self.dtype)?;
        let mut encoded = self.encoder.forward(&x, time, told, Some(hint))?;
        for (way, layer) in encoded.across.iter_mut().zip(&self.across) {
            *way = (layer.forward(way)? * scale)?;
        }
        encoded.middle = (self.middle.forward(&encoded.middle)? * scale)?;
        Ok(encoded)
    }
}
