//! What diffusers makes of tiny models, and how far from it this is.
//!
//! `data/make_data.py` and `data/make_more.py` write the files: `texts` (tokens and text models), `parts` (single
//! calls of U-Net and autoencoder) and `cases` (whole runs, from a prompt and a seed to latents and picture).

use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use candle_core::{Device, Tensor};
use gaussian_diffusion::config::SchedulerConfig;
use ndarray::Array1;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Outcome,
    lora::LoraFile,
    model::{Model, ModelFiles},
    pipeline::{self, ControlPicture, Request, Unwatched},
    seeds::{Numbers, Seeds},
    unet::Told,
    weights::read_json,
    words::WordFile,
};

/// The models of the folder.
pub const MODELS: &[&str] = &["sd1", "sd2", "sdxl", "inpainting"];

/// A single call, relative to the largest number of its answer.
const OF_A_CALL: f64 = 3e-6;
/// Latents of a whole run, relative to their deviation.
const OF_A_RUN: f64 = 5e-5;
/// The same of LCM, which multiplies errors of the first steps most.
const OF_LCM: f64 = 5e-4;
/// Of 255.
const OF_A_PICTURE: f64 = 1.0;

/// A comparison.
#[derive(Debug, Clone)]
pub struct Row {
    pub model: String,
    pub name: String,
    /// The largest difference of numbers, and what is allowed.
    pub difference: f64,
    pub allowed: f64,
    /// The largest difference of a byte of the picture, if there is one.
    pub bytes: Option<u8>,
    /// Why it differs, where it is known to.
    pub note: Option<String>,
}

impl Row {
    /// Whether it is as close as it should be.
    pub fn is_right(&self) -> bool {
        self.difference <= self.allowed
            && self
                .bytes
                .is_none_or(|bytes| f64::from(bytes) <= OF_A_PICTURE)
    }
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    texts: Vec<Value>,
    #[serde(default)]
    parts: Value,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    kind: String,
    seed: u64,
    scheduler: Value,
    call: Call,
    latents: Numbered,
    image: Drawn,
    note: Option<String>,
}

/// The arguments of a pipeline.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    prompt: String,
    negative_prompt: Option<String>,
    num_inference_steps: usize,
    guidance_scale: f64,
    #[serde(default)]
    guidance_rescale: f64,
    #[serde(default)]
    eta: f64,
    width: Option<usize>,
    height: Option<usize>,
    #[serde(default = "one")]
    num_images_per_prompt: usize,
    strength: Option<f64>,
    #[serde(default)]
    clip_skip: usize,
    lora: Option<String>,
    lora_scale: Option<f64>,
    words: Option<String>,
    controlnet: Option<String>,
    controlnet_conditioning_scale: Option<f64>,
    /// A file that has the whole model.
    single_file: Option<String>,
    /// An autoencoder, from the folder of the model.
    vae: Option<String>,
}

fn one() -> usize {
    1
}

#[derive(Debug, Deserialize)]
struct Numbered {
    shape: Vec<usize>,
    values: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Drawn {
    items: Vec<Bytes>,
}

#[derive(Debug, Deserialize)]
struct Bytes {
    rgb_base64: String,
}

/// All comparisons of a model in this folder, one after the other.
pub fn of_model(data: &Path, name: &str, mut each: impl FnMut(Row)) -> Outcome<()> {
    let file: File = read_json(&data.join(format!("{name}.json")))?;
    let plain = Model::open(&ModelFiles::of(data.join(name)), &Device::Cpu)?;
    let mut row = |what: &str, difference: f64| {
        each(Row {
            model: name.to_owned(),
            name: what.to_owned(),
            difference,
            allowed: OF_A_CALL,
            bytes: None,
            note: None,
        });
    };
    texts(&plain, &file.texts, &mut row)?;
    if !file.parts.is_null() {
        parts(&plain, &file.parts, &mut row)?;
    }
    for case in &file.cases {
        each(case.compare(data, name)?);
    }
    let more = data.join(format!("{name}-more.json"));
    if more.exists() {
        let more: File = read_json(&more)?;
        for case in &more.cases {
            each(case.compare(data, name)?);
        }
    }
    Ok(())
}

/// Tokens to the number, and states and vectors of the text models.
fn texts(model: &Model, texts: &[Value], row: &mut impl FnMut(&str, f64)) -> Outcome<()> {
    for (which, (tokens, clip)) in model.tokens.iter().zip(&model.texts).enumerate() {
        let end = if which == 0 { "" } else { "_2" };
        let (mut wrong, mut states, mut pooled) = (0, 0.0_f64, None::<f64>);
        for text in texts {
            let prompt = text["prompt"].as_str().unwrap_or_default();
            let ids = tokens.encode(prompt)?.ids;
            let expected = numbers(&text[format!("ids{end}")]);
            let same = ids
                .iter()
                .map(|id| f64::from(*id))
                .eq(expected.iter().copied());
            wrong += usize::from(!same);
            let encoded = clip.forward(&ids)?;
            for (key, state) in [
                ("last_hidden_state", &encoded.last),
                ("penultimate", encoded.before_last(1)?),
            ] {
                let expected = &text[format!("{key}{end}")];
                let flat = state.flatten_all()?.to_vec1::<f32>()?;
                states = states.max(difference(&flat[..8], &numbers(&expected["first"])));
                let row = state.get(0)?.get(3)?.to_vec1()?;
                states = states.max(difference(&row, &numbers(&expected["row_3"])));
            }
            if let Some(vector) = &encoded.pooled {
                let expected = numbers(&text[format!("text_embeds{end}")]);
                let found = difference(&vector.flatten_all()?.to_vec1()?, &expected);
                pooled = Some(pooled.unwrap_or(0.0).max(found));
            }
        }
        row(&format!("tokens{end} (texts that differ)"), wrong as f64);
        row(&format!("text model{end}"), states);
        if let Some(pooled) = pooled {
            row(&format!("text model{end}, projected"), pooled);
        }
    }
    Ok(())
}

/// Single calls on numbers of torch's generator.
fn parts(model: &Model, parts: &Value, row: &mut impl FnMut(&str, f64)) -> Outcome<()> {
    let mut seeds = Seeds::new(Numbers::Torch, 7, 1);
    let count = |key: &str| parts[key].as_u64().map(|count| count as usize);
    let needed = |key: &'static str| count(key).ok_or(key);
    let (channels, width) = (needed("in_channels")?, needed("cross")?);
    let device = &model.device;
    let x = pipeline::to_tensor(&seeds.draw([2, channels, 8, 12])?, device)?;
    let text = pipeline::to_tensor(&seeds.draw([1, 2, 77, width])?, device)?.squeeze(0)?;
    let added = match count("pooled") {
        None => None,
        Some(pooled) => {
            let pooled = pipeline::to_tensor(&seeds.draw([1, 1, 2, pooled])?, device)?
                .squeeze(0)?
                .squeeze(0)?;
            let sizes = Tensor::new(&[[16.0, 24.0, 0.0, 0.0, 16.0, 24.0_f64]; 2], device)?;
            Some((pooled, sizes))
        }
    };
    let z = pipeline::to_tensor(&seeds.draw([1, 4, 8, 12])?, device)?;
    let told = Told {
        text,
        added,
        scale: None,
        classes: None,
    };
    let mut largest = 0.0_f64;
    let times = numbers(&parts["told"]);
    for (time, expected) in times
        .iter()
        .zip(parts["unet"].as_array().into_iter().flatten())
    {
        let answer = model.unet.forward(&x, *time, &told, &[])?.get(0)?;
        largest = largest.max(difference(
            &answer.flatten_all()?.to_vec1()?,
            &numbers(expected),
        ));
    }
    row("U-Net", largest);
    let picture: Vec<f32> = numbers(&parts["picture"])
        .iter()
        .map(|x| *x as f32)
        .collect();
    let picture = Tensor::from_vec(picture, (1, 3, 16, 24), device)?;
    let found = model.vae.parameters(&picture)?.flatten_all()?.to_vec1()?;
    row(
        "autoencoder, encoder",
        difference(&found, &numbers(&parts["vae_moments"])),
    );
    let found = model.vae.decode(&z)?.flatten_all()?.to_vec1()?;
    row(
        "autoencoder, decoder",
        difference(&found, &numbers(&parts["vae_decoded"])),
    );
    Ok(())
}

impl Case {
    /// The files of the model with what the call adds.
    fn files(&self, data: &Path, name: &str) -> ModelFiles {
        let extra = |file: &str| data.join(format!("{name}-extras")).join(file);
        let call = &self.call;
        let mut files = ModelFiles::of(data.join(name));
        if let Some(file) = &call.single_file {
            files.config = Some(files.model);
            files.model = extra(file);
        }
        files.loras = call
            .lora
            .iter()
            .map(|file| LoraFile {
                path: extra(file),
                scale: call.lora_scale.unwrap_or(1.0),
            })
            .collect();
        files.words = call
            .words
            .iter()
            .map(|file| WordFile {
                path: extra(file),
                word: None,
            })
            .collect();
        files.vae = call
            .vae
            .iter()
            .map(|folder| data.join(name).join(folder))
            .next();
        files.controls = call.controlnet.iter().map(|folder| extra(folder)).collect();
        files
    }

    /// The call as a request.
    fn request(&self, data: &Path) -> Request {
        let call = &self.call;
        // The picture and the mask of all models.
        let picture = |file: &str| data.join("sd1").join(file);
        let is = |kind| self.kind == kind;
        let control = |scale: f64| ControlPicture {
            path: picture("init.png"),
            scale,
        };
        Request {
            prompt: call.prompt.clone(),
            negative: call.negative_prompt.clone(),
            width: call.width,
            height: call.height,
            count: call.num_images_per_prompt,
            seed: self.seed,
            steps: call.num_inference_steps,
            eta: call.eta,
            guidance: call.guidance_scale,
            rescale: call.guidance_rescale,
            clip_skip: call.clip_skip,
            image: (is("image") || is("inpaint")).then(|| picture("init.png")),
            mask: is("inpaint").then(|| picture("mask.png")),
            strength: call.strength.unwrap_or(1.0),
            controls: call
                .controlnet
                .iter()
                .map(|_| control(call.controlnet_conditioning_scale.unwrap_or(1.0)))
                .collect(),
            ..Request::default()
        }
    }

    fn compare(&self, data: &Path, name: &str) -> Outcome<Row> {
        let mut model = Model::open(&self.files(data, name), &Device::Cpu)?;
        model.scheduler = SchedulerConfig::from_json(&self.scheduler.to_string())?;
        let request = self.request(data);
        let made = pipeline::run(&model, &request, None, &mut Unwatched)?;
        let latents = made.latents.ok_or("the run was left")?;
        if latents.shape() != self.latents.shape {
            return Err(format!("{}: latents of shape {:?}", self.name, latents.shape()).into());
        }
        let expected = Array1::from(self.latents.values.clone());
        let deviation = expected.std(0.0);
        let off = latents
            .iter()
            .zip(&expected)
            .map(|(a, b)| (f64::from(*a) - b).abs());
        let mut bytes = 0;
        for (picture, expected) in pipeline::decode(&model, &latents)?
            .iter()
            .zip(&self.image.items)
        {
            let expected = BASE64_STANDARD.decode(&expected.rgb_base64)?;
            let off = picture
                .rgb
                .iter()
                .zip(&expected)
                .map(|(a, b)| a.abs_diff(*b));
            bytes = bytes.max(off.max().unwrap_or(0));
        }
        Ok(Row {
            model: name.to_owned(),
            name: self.name.clone(),
            difference: off.fold(0.0, f64::max) / deviation,
            allowed: match self.scheduler["_class_name"] == "LCMScheduler" {
                true => OF_LCM,
                false => OF_A_RUN,
            },
            bytes: Some(bytes),
            note: self.note.clone(),
        })
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_f64).collect()
}

/// The largest difference, relative to the largest number; infinite where there are not as many.
fn difference(found: &[f32], expected: &[f64]) -> f64 {
    if found.len() != expected.len() || found.is_empty() {
        return f64::INFINITY;
    }
    let largest = expected
        .iter()
        .fold(1.0_f64, |largest, x| largest.max(x.abs()));
    let off = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (f64::from(*a) - b).abs());
    off.fold(0.0, f64::max) / largest
}

/// Prints the table of all cases, and says whether all are as close as they should be but for those with a note.
pub fn print(data: &Path) -> Outcome<bool> {
    let mut is_right = true;
    println!("| model | case | largest difference | allowed | of 255 | |");
    println!("|---|---|--:|--:|--:|---|");
    for name in MODELS {
        of_model(data, name, |row| {
            let right = row.is_right();
            is_right &= right || row.note.is_some();
            let mark = if right { "" } else { "differs" };
            let bytes = row.bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
            let note = row.note.unwrap_or_default();
            println!(
                "| {} | {} | {:.1e} | {:.0e} | {bytes} | {mark} {note} |",
                row.model, row.name, row.difference, row.allowed
            );
        })?;
    }
    Ok(is_right)
}

/// Where the data lies in the project.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}
