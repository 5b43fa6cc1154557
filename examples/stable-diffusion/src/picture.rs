//! Pictures in files and as tensors.

use std::{fs::File, io::BufWriter, path::Path};

use candle_core::{Device, Result, Tensor};
use image::{RgbImage, imageops::FilterType};

use crate::{Outcome, seeds::Batch};

/// Eight bits for each of red, green and blue, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Reads a PNG or JPEG file.
    pub fn open(path: &Path) -> Outcome<Self> {
        let shown = path.display();
        let picture = image::open(path)
            .map_err(|error| format!("{shown}: {error}"))?
            .to_rgb8();
        Ok(Self::from_image(picture))
    }

    fn from_image(picture: RgbImage) -> Self {
        Self {
            width: picture.width() as usize,
            height: picture.height() as usize,
            rgb: picture.into_raw(),
        }
    }

    /// The first picture of a tensor (batch, 3, row, column) in -1 to 1.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let (_, _, height, width) = tensor.dims4()?;
        let numbers: Vec<f32> = tensor
            .get(0)?
            .permute((1, 2, 0))?
            .flatten_all()?
            .to_vec1()?;
        let byte = |x: &f32| ((x * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        Ok(Self {
            width,
            height,
            rgb: numbers.iter().map(byte).collect(),
        })
    }

    /// About how latents would look, without the autoencoder: a linear map of their four channels to colours, those
    /// of ComfyUI (`latent_formats.py`). Grey in any other number of channels.
    pub fn preview(latents: &Batch, item: usize, is_xl: bool) -> Self {
        const FIRST: [[f32; 3]; 4] = [
            [0.3512, 0.2297, 0.3227],
            [0.3250, 0.4974, 0.2350],
            [-0.2829, 0.1762, 0.2721],
            [-0.2120, -0.2616, -0.7177],
        ];
        const XL: [[f32; 3]; 4] = [
            [0.3651, 0.4232, 0.4341],
            [-0.2533, -0.0042, 0.1068],
            [0.1076, 0.1111, -0.0362],
            [-0.3165, -0.2492, -0.2188],
        ];
        let (map, shift) = match is_xl {
            true => (XL, [0.1084, -0.0175, -0.0011]),
            false => (FIRST, [0.0; 3]),
        };
        let (_, channels, height, width) = latents.dim();
        let mut rgb = Vec::with_capacity(3 * height * width);
        for row in 0..height {
            for column in 0..width {
                for colour in 0..3 {
                    let parts = (0..channels.min(4))
                        .map(|c| map[c][colour] * latents[[item, c, row, column]]);
                    let value = if channels == 4 {
                        shift[colour] + parts.sum::<f32>()
                    } else {
                        0.0
                    };
                    rgb.push(((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0) as u8);
                }
            }
        }
        Self { width, height, rgb }
    }

    /// In this size, width and height, by Lanczos' filter.
    #[must_use]
    pub fn resized(self, (width, height): (usize, usize)) -> Self {
        if (self.width, self.height) == (width, height) {
            return self;
        }
        self.resampled((width, height), FilterType::Lanczos3)
    }

    /// Each pixel as a square of so many.
    #[must_use]
    pub fn enlarged(self, factor: usize) -> Self {
        let size = (self.width * factor, self.height * factor);
        self.resampled(size, FilterType::Nearest)
    }

    fn resampled(self, (width, height): (usize, usize), filter: FilterType) -> Self {
        let Some(picture) = RgbImage::from_raw(self.width as u32, self.height as u32, self.rgb)
        else {
            return Self {
                width: 0,
                height: 0,
                rgb: Vec::new(),
            };
        };
        Self::from_image(image::imageops::resize(
            &picture,
            width as u32,
            height as u32,
            filter,
        ))
    }

    /// (1, 3, row, column) in 0 to 1.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        let numbers: Vec<f32> = self
            .rgb
            .iter()
            .map(|byte| f32::from(*byte) / 255.0)
            .collect();
        let tensor = Tensor::from_vec(numbers, (1, self.height, self.width, 3), device)?;
        tensor.permute((0, 3, 1, 2))?.contiguous()
    }

    /// The same in -1 to 1.
    pub fn signed(&self, device: &Device) -> Result<Tensor> {
        self.tensor(device)?.affine(2.0, -1.0)
    }

    /// Writes a PNG file with a text, in the chunk that the WebUI reads.
    pub fn save(&self, path: &Path, text: Option<&str>) -> Outcome<()> {
        let shown = path.display();
        let failed = |error: &dyn std::fmt::Display| format!("{shown}: {error}");
        let file = File::create(path).map_err(|error| failed(&error))?;
        let mut encoder =
            png::Encoder::new(BufWriter::new(file), self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        if let Some(text) = text {
            let name = "parameters".to_owned();
            // A plain chunk has Latin letters alone.
            let added = match text.chars().all(|letter| u32::from(letter) < 256) {
                true => encoder.add_text_chunk(name, text.to_owned()),
                false => encoder.add_itxt_chunk(name, text.to_owned()),
            };
            added.map_err(|error| failed(&error))?;
        }
        let mut writer = encoder.write_header().map_err(|error| failed(&error))?;
        writer
            .write_image_data(&self.rgb)
            .map_err(|error| failed(&error))?;
        Ok(writer.finish().map_err(|error| failed(&error))?)
    }
}

/// Which pixels are painted over: those that are brighter than half.
#[derive(Debug, Clone)]
pub struct Mask {
    width: usize,
    height: usize,
    grey: Vec<u8>,
}

impl Mask {
    /// Reads a picture, whatever its colours.
    pub fn open(path: &Path) -> Outcome<Self> {
        let picture = Picture::open(path)?;
        // The weights of ITU-R 601, as Pillow has them.
        let grey = picture.rgb.as_chunks::<3>().0.iter().map(|[r, g, b]| {
            let sum = 19595 * u32::from(*r) + 38470 * u32::from(*g) + 7471 * u32::from(*b);
            ((sum + 0x8000) >> 16) as u8
        });
        Ok(Self {
            width: picture.width,
            height: picture.height,
            grey: grey.collect(),
        })
    }

    /// In this size, width and height.
    #[must_use]
    pub fn resized(self, (width, height): (usize, usize)) -> Self {
        if (self.width, self.height) == (width, height) {
            return self;
        }
        let rgb = self.grey.iter().flat_map(|grey| [*grey; 3]).collect();
        let picture = Picture {
            width: self.width,
            height: self.height,
            rgb,
        };
        let grey = picture
            .resized((width, height))
            .rgb
            .into_iter()
            .step_by(3)
            .collect();
        Self {
            width,
            height,
            grey,
        }
    }

    fn is_covered(&self, row: usize, column: usize) -> bool {
        let grey = self.grey.get(row * self.width + column);
        grey.is_some_and(|grey| f32::from(*grey) / 255.0 >= 0.5)
    }

    /// 1 where the picture is kept, (1, 1, row, column).
    pub fn kept(&self, device: &Device) -> Result<Tensor> {
        let places =
            (0..self.height).flat_map(|row| (0..self.width).map(move |column| (row, column)));
        let kept = places.map(|(row, column)| f32::from(u8::from(!self.is_covered(row, column))));
        Tensor::from_vec(kept.collect(), (1, 1, self.height, self.width), device)
    }

    /// 1 where latents of so many pixels are made anew: what the first of their pixels says.
    pub fn latent(&self, scale: usize, count: usize) -> Batch {
        let shape = (count, 1, self.height / scale, self.width / scale);
        Batch::from_shape_fn(shape, |(_, _, row, column)| {
            f32::from(u8::from(self.is_covered(row * scale, column * scale)))
        })
    }
}
