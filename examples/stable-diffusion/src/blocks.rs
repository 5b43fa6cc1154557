//! What the networks are made of.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, GroupNorm, Linear, Module};

use crate::{Outcome, weights::Scope};

/// As many products of queries and keys as are held at once.
const MOST_PRODUCTS: usize = 1 << 25;

impl Scope<'_> {
    pub fn linear(&self, inputs: usize, outputs: usize) -> Outcome<Linear> {
        let weight = self.tensor("weight", &[outputs, inputs])?;
        Ok(Linear::new(weight, Some(self.tensor("bias", &[outputs])?)))
    }

    pub fn linear_without_bias(&self, inputs: usize, outputs: usize) -> Outcome<Linear> {
        Ok(Linear::new(
            self.tensor("weight", &[outputs, inputs])?,
            None,
        ))
    }

    /// A square kernel that keeps the size of a picture at stride 1.
    pub fn conv(
        &self,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
    ) -> Outcome<Conv2d> {
        let padding = kernel / 2;
        self.padded_conv(inputs, outputs, kernel, stride, padding)
    }

    pub fn padded_conv(
        &self,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Outcome<Conv2d> {
        let weight = self.tensor("weight", &[outputs, inputs, kernel, kernel])?;
        let bias = self.tensor("bias", &[outputs])?;
        let config = Conv2dConfig {
            padding,
            stride,
            ..Conv2dConfig::default()
        };
        Ok(Conv2d::new(weight, Some(bias), config))
    }

    pub fn group_norm(&self, groups: usize, channels: usize, eps: f64) -> Outcome<GroupNorm> {
        let (weight, bias) = (
            self.tensor("weight", &[channels])?,
            self.tensor("bias", &[channels])?,
        );
        Ok(GroupNorm::new(weight, bias, channels, groups, eps)?)
    }

    pub fn layer_norm(&self, width: usize, eps: f64) -> Outcome<LayerNorm> {
        Ok(LayerNorm {
            weight: self.tensor("weight", &[width])?,
            bias: self.tensor("bias", &[width])?,
            eps,
        })
    }
}

/// A layer norm in two passes: the library's own takes the difference of two sums, which loses digits.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm_slow(x, &self.weight, &self.bias, self.eps as f32)
    }
}

/// Attention of several heads.
#[derive(Debug, Clone)]
pub struct Attention {
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub out: Linear,
    pub heads: usize,
}

impl Attention {
    /// Under the names of the U-Net.
    pub fn load(at: &Scope<'_>, width: usize, context: usize, heads: usize) -> Outcome<Self> {
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(format!("{heads} heads do not divide {width} channels").into());
        }
        Ok(Self {
            query: at.at("to_q").linear_without_bias(width, width)?,
            key: at.at("to_k").linear_without_bias(context, width)?,
            value: at.at("to_v").linear_without_bias(context, width)?,
            out: at.at("to_out.0").linear(width, width)?,
            heads,
        })
    }

    /// Of places (batch, place, width) to others; with a mask to be added to the products of
    /// queries and keys.
    pub fn forward(&self, x: &Tensor, context: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, places, width) = x.dims3()?;
        let size = width / self.heads;
        let heads = |x: Tensor| {
            let (batch, places, _) = x.dims3()?;
            x.reshape((batch, places, self.heads, size))?
                .transpose(1, 2)?
                .contiguous()
        };
        // In f32 whatever the network computes in: half precision is too narrow for some models.
        let query = heads(self.query.forward(x)?)?.to_dtype(DType::F32)?;
        let query = (query * (size as f64).powf(-0.5))?;
        let key = heads(self.key.forward(context)?)?.to_dtype(DType::F32)?;
        let key = key.transpose(2, 3)?.contiguous()?;
        let value = heads(self.value.forward(context)?)?;
        // Some queries at a time, so that their products with all keys fit into memory.
        let row = batch * self.heads * context.dim(1)?;
        let at_once = (MOST_PRODUCTS / row).clamp(1, places);
        let mut parts = Vec::new();
        for start in (0..places).step_by(at_once) {
            let count = at_once.min(places - start);
            let some = query.narrow(2, start, count)?.contiguous()?;
            let mut products = some.matmul(&key)?;
            if let Some(mask) = mask {
                products = products.broadcast_add(&mask.narrow(1, start, count)?)?;
            }
            let shares = candle_nn::ops::softmax_last_dim(&products)?;
            parts.push(shares.to_dtype(value.dtype())?.matmul(&value)?);
        }
        let x = Tensor::cat(&parts, 2)?.transpose(1, 2)?;
        self.out.forward(&x.reshape((batch, places, width))?)
    }
}

/// Attention among the places of a picture, attention to the text, and a gated perceptron.
#[derive(Debug, Clone)]
struct TransformerBlock {
    norms: [LayerNorm; 3],
    own: Attention,
    text: Attention,
    enter: Linear,
    leave: Linear,
}

impl TransformerBlock {
    fn load(at: &Scope<'_>, width: usize, context: usize, heads: usize) -> Outcome<Self> {
        let norm = |name: &str| at.at(name).layer_norm(width, 1e-5);
        let inner = 4 * width;
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?, norm("norm3")?],
            own: Attention::load(&at.at("attn1"), width, width, heads)?,
            text: Attention::load(&at.at("attn2"), width, context, heads)?,
            enter: at.at("ff.net.0.proj").linear(width, 2 * inner)?,
            leave: at.at("ff.net.2").linear(inner, width)?,
        })
    }

    fn forward(&self, x: &Tensor, text: &Tensor) -> Result<Tensor> {
        let [first, second, third] = &self.norms;
        let normed = first.forward(x)?;
        let x = (x + self.own.forward(&normed, &normed, None)?)?;
        let x = (&x + self.text.forward(&second.forward(&x)?, text, None)?)?;
        let wide = self.enter.forward(&third.forward(&x)?)?;
        let halves = wide.chunk(2, D::Minus1)?;
        // The exact form, as diffusers has it.
        let gated = (&halves[0] * halves[1].gelu_erf()?)?;
        &x + self.leave.forward(&gated)?
    }
}

/// Blocks of a transformer on a picture.
#[derive(Debug, Clone)]
pub struct Transformer {
    norm: GroupNorm,
    enter: Project,
    blocks: Vec<TransformerBlock>,
    leave: Project,
}

/// A map of channels, stored as a matrix or as a 1x1 convolution.
#[derive(Debug, Clone)]
enum Project {
    Matrix(Linear),
    Kernel(Conv2d),
}

/// The numbers of a [`Transformer`].
#[derive(Debug, Clone, Copy)]
pub struct TransformerSize {
    pub heads: usize,
    pub depth: usize,
    pub context: usize,
    pub groups: usize,
    pub is_linear: bool,
}

impl Transformer {
    pub fn load(at: &Scope<'_>, width: usize, size: TransformerSize) -> Outcome<Self> {
        let project = |name: &str| -> Outcome<Project> {
            let at = at.at(name);
            Ok(match size.is_linear {
                true => Project::Matrix(at.linear(width, width)?),
                false => Project::Kernel(at.conv(width, width, 1, 1)?),
            })
        };
        let block = |i: usize| {
            let at = at.at("transformer_blocks").at(i);
            TransformerBlock::load(&at, width, size.context, size.heads)
        };
        Ok(Self {
            norm: at.at("norm").group_norm(size.groups, width, 1e-6)?,
            enter: project("proj_in")?,
            blocks: (0..size.depth).map(block).collect::<Outcome<_>>()?,
            leave: project("proj_out")?,
        })
    }

    pub fn forward(&self, x: &Tensor, text: &Tensor) -> Result<Tensor> {
        let (height, width) = (x.dim(2)?, x.dim(3)?);
        let normed = self.norm.forward(x)?;
        let mut places = match &self.enter {
            Project::Matrix(layer) => layer.forward(&to_places(&normed)?)?,
            Project::Kernel(layer) => to_places(&layer.forward(&normed)?)?,
        };
        for block in &self.blocks {
            places = block.forward(&places, text)?;
        }
        let back = match &self.leave {
            Project::Matrix(layer) => to_picture(&layer.forward(&places)?, height, width)?,
            Project::Kernel(layer) => layer.forward(&to_picture(&places, height, width)?)?,
        };
        x + back
    }
}

/// (batch, channel, row, column) to (batch, place, channel).
pub fn to_places(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.transpose(1, 2)?.contiguous()
}

/// The way back.
pub fn to_picture(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (batch, _, channels) = x.dims3()?;
    x.transpose(1, 2)?.reshape((batch, channels, height, width))
}

/// Two convolutions with a way around them, and the time between them where there is one.
#[derive(Debug, Clone)]
pub struct ResNet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    around: Option<Conv2d>,
}

/// The numbers of a [`ResNet`] beside its channels.
#[derive(Debug, Clone, Copy)]
pub struct ResNetSize {
    pub groups: usize,
    pub eps: f64,
    /// The width of the embedded time.
    pub time: Option<usize>,
}

impl ResNet {
    pub fn load(at: &Scope<'_>, inputs: usize, outputs: usize, size: ResNetSize) -> Outcome<Self> {
        let ResNetSize { groups, eps, time } = size;
        let time = time.map(|width| at.at("time_emb_proj").linear(width, outputs));
        let around =
            (inputs != outputs).then(|| at.at("conv_shortcut").conv(inputs, outputs, 1, 1));
        Ok(Self {
            norm1: at.at("norm1").group_norm(groups, inputs, eps)?,
            conv1: at.at("conv1").conv(inputs, outputs, 3, 1)?,
            time: time.transpose()?,
            norm2: at.at("norm2").group_norm(groups, outputs, eps)?,
            conv2: at.at("conv2").conv(outputs, outputs, 3, 1)?,
            around: around.transpose()?,
        })
    }

    pub fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let mut h = self.conv1.forward(&self.norm1.forward(x)?.silu()?)?;
        if let (Some(layer), Some(time)) = (&self.time, time) {
            let shift = layer.forward(&time.silu()?)?;
            h = h.broadcast_add(&shift.unsqueeze(2)?.unsqueeze(3)?)?;
        }
        let h = self.conv2.forward(&self.norm2.forward(&h)?.silu()?)?;
        match &self.around {
            Some(layer) => layer.forward(x)? + h,
            None => x + h,
        }
    }
}

/// Two layers with a bend between them.
#[derive(Debug, Clone)]
pub struct Perceptron {
    first: Linear,
    second: Linear,
}

impl Perceptron {
    pub fn load(at: &Scope<'_>, inputs: usize, outputs: usize) -> Outcome<Self> {
        Ok(Self {
            first: at.at("linear_1").linear(inputs, outputs)?,
            second: at.at("linear_2").linear(outputs, outputs)?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second.forward(&self.first.forward(x)?.silu()?)
    }
}

/// Twice the size by repetition, or to the size given, and a convolution.
pub fn upsample(x: &Tensor, conv: &Conv2d, size: Option<(usize, usize)>) -> Result<Tensor> {
    let (height, width) = size.unwrap_or((2 * x.dim(2)?, 2 * x.dim(3)?));
    conv.forward(&x.upsample_nearest2d(height, width)?)
}
