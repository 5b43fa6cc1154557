//! Files as people have them, and what is said of those that cannot be read.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use candle_core::Device;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use stable_diffusion::{
    cases::data,
    lora::LoraFile,
    model::{Half, Model, ModelFiles},
    pipeline::{self, Request, Unwatched},
    seeds::Batch,
    weights::Weights,
    words::WordFile,
};
use tempfile::TempDir;

/// A tensor of a file: type, shape, bytes.
type Stored = (Dtype, Vec<usize>, Vec<u8>);
type Tensors = BTreeMap<String, Stored>;

fn read(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let all = file.tensors().into_iter();
    all.map(|(name, view)| {
        (
            name,
            (view.dtype(), view.shape().to_vec(), view.data().to_vec()),
        )
    })
    .collect()
}

fn write(path: &Path, tensors: &Tensors) {
    write_with(path, tensors, &[]);
}

/// With remarks beside the tensors.
fn write_with(path: &Path, tensors: &Tensors, remarks: &[(&str, &str)]) {
    let all = remarks
        .iter()
        .map(|(key, text)| (key.to_string(), text.to_string()))
        .collect();
    let remarks = Some(all).filter(|all: &HashMap<_, _>| !all.is_empty());
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, remarks).unwrap()).unwrap();
}

/// A copy of a model of the data that may be changed.
struct Folder(TempDir);

impl Folder {
    fn of(model: &str) -> Self {
        let folder = TempDir::new().unwrap();
        copy(&data().join(model), folder.path());
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> ModelFiles {
        ModelFiles::of(self.0.path())
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Tensors)) {
        let path = self.path(name);
        let mut tensors = read(&path);
        change(&mut tensors);
        write(&path, &tensors);
    }

    fn set(&self, name: &str, key: &str, value: Value) {
        let path = self.path(name);
        let mut all: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        all[key] = value;
        fs::write(path, all.to_string()).unwrap();
    }

    fn error(&self) -> String {
        error(&self.files())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap().path(), to.to_owned());
        let to = to.join(entry.file_name().unwrap());
        match entry.is_dir() {
            true => copy(&entry, &to),
            false => fs::write(to, fs::read(&entry).unwrap()).unwrap(),
        }
    }
}

fn error(files: &ModelFiles) -> String {
    Model::open(files, &Device::Cpu).unwrap_err().to_string()
}

/// All parts of a text, in this order.
#[track_caller]
fn says(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let place = rest
            .find(part)
            .unwrap_or_else(|| panic!("{text:?} does not say {part:?}"));
        rest = &rest[place + part.len()..];
    }
}

/// Three steps of a tiny picture.
fn latents(files: &ModelFiles) -> Batch {
    let model = Model::open(files, &Device::Cpu).unwrap();
    let request = Request {
        prompt: "a photo of a <thing> on the river".to_owned(),
        width: Some(24),
        height: Some(16),
        steps: 3,
        ..Request::default()
    };
    let made = pipeline::run(&model, &request, None, &mut Unwatched).unwrap();
    made.latents.unwrap()
}

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";

#[test]
fn a_pickle_is_refused_with_the_way_out() {
    let folder = Folder::of("sd1");
    for name in ["model.ckpt", "model.pt", "model.CKPT"] {
        fs::write(folder.path(name), "anything").unwrap();
        let mut files = folder.files();
        (files.config, files.model) = (Some(files.model), folder.path(name));
        says(
            &error(&files),
            &[
                name,
                "is a pickle",
                "is not opened",
                "torch.load",
                "weights_only=True",
                "save_file",
            ],
        );
    }
    fs::rename(
        folder.path(UNET),
        folder.path("unet/diffusion_pytorch_model.bin"),
    )
    .unwrap();
    says(
        &folder.error(),
        &["unet/diffusion_pytorch_model.bin", "is a pickle"],
    );
    fs::remove_file(folder.path("unet/diffusion_pytorch_model.bin")).unwrap();
    says(
        &folder.error(),
        &["unet", "there is no diffusion_pytorch_model.safetensors"],
    );
}

#[test]
fn a_damaged_file_is_an_error() {
    let folder = Folder::of("sd1");
    let path = folder.path(UNET);
    let whole = fs::read(&path).unwrap();
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        says(
            &folder.error(),
            &[UNET, "is no safetensors file, or damaged"],
        );
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(&path, &longer).unwrap();
    says(&folder.error(), &[UNET, "damaged", "its header describes"]);
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&path, &huge).unwrap();
    says(
        &folder.error(),
        &[UNET, "damaged", "a header of 18446744073709551615 bytes"],
    );
    // Offsets that overlap, and a type that there is not.
    for (header, why) in [
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            "invalid offset",
        ),
        (
            r#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#,
            "F33",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
            "invalid shape",
        ),
        ("no json", "expected"),
    ] {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend([0; 12]);
        fs::write(&path, &file).unwrap();
        says(
            &folder.error().to_lowercase(),
            &["damaged", &why.to_lowercase()],
        );
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight";
    let folder = Folder::of("sd1");
    let missing = |tensors: &mut Tensors| {
        tensors.remove(name).unwrap();
    };
    folder.change(UNET, missing);
    says(
        &folder.error(),
        &[UNET, "tensor", name, "[8, 16] is missing"],
    );

    let folder = Folder::of("sd1");
    folder.change(UNET, |tensors| {
        tensors.get_mut(name).unwrap().1 = vec![16, 8]
    });
    says(
        &folder.error(),
        &[
            UNET,
            name,
            "has shape [16, 8], the configuration needs [8, 16]",
        ],
    );

    let folder = Folder::of("sd1");
    folder.change(UNET, |tensors| {
        let (dtype, _, bytes) = tensors.get_mut(name).unwrap();
        (*dtype, *bytes) = (Dtype::I16, bytes.clone());
    });
    says(
        &folder.error(),
        &[UNET, name, "is of I16, allowed: F16, BF16, F32, F64"],
    );

    let folder = Folder::of("sd1");
    folder.change(UNET, |tensors| {
        tensors.insert(
            "extra.weight".to_owned(),
            (Dtype::F16, vec![1, 2], vec![0; 4]),
        );
    });
    says(
        &folder.error(),
        &[
            UNET,
            "has no place for tensor \"extra.weight\" of shape [1, 2]",
        ],
    );

    // A configuration of another model.
    let folder = Folder::of("sd1");
    folder.set("unet/config.json", "layers_per_block", json!(2));
    says(
        &folder.error(),
        &[
            UNET,
            "\"down_blocks.0.resnets.1.norm1.weight\"",
            "is missing",
        ],
    );
    let folder = Folder::of("sd1");
    folder.set("vae/config.json", "block_out_channels", json!([8, 12]));
    says(
        &folder.error(),
        &[VAE, "tensor", "has shape", "the configuration needs"],
    );
    let folder = Folder::of("sd1");
    folder.change(TEXT, |tensors| {
        tensors
            .remove("text_model.embeddings.token_embedding.weight")
            .unwrap();
    });
    says(
        &folder.error(),
        &[TEXT, "token_embedding.weight", "is missing"],
    );
}

#[test]
fn configurations_say_what_is_not_there() {
    let changed = |file: &str, key: &str, value: Value| {
        let folder = Folder::of("sd1");
        folder.set(file, key, value);
        folder.error()
    };
    let unet = "unet/config.json";
    says(
        &changed(unet, "act_fn", json!("gelu")),
        &[unet, "act_fn is \"gelu\", allowed: \"silu\""],
    );
    says(
        &changed(unet, "mid_block_type", Value::Null),
        &[unet, "mid_block_type is null"],
    );
    says(
        &changed(unet, "encoder_hid_dim", json!(7)),
        &[unet, "encoder_hid_dim is 7, allowed: null"],
    );
    says(
        &changed(unet, "class_embed_type", json!("projection")),
        &["class_embed_type is \"projection\""],
    );
    says(
        &changed(unet, "addition_embed_type", json!("image")),
        &["addition_embed_type is \"image\""],
    );
    says(
        &changed(
            unet,
            "down_block_types",
            json!(["DownBlock2D", "AttnDownBlock2D"]),
        ),
        &["AttnDownBlock2D", "is unknown"],
    );
    says(
        &changed(unet, "down_block_types", json!(["DownBlock2D"])),
        &["1 down_block_types for 2"],
    );
    says(
        &changed(unet, "attention_head_dim", json!(3)),
        &["3 heads do not divide 8 channels"],
    );
    says(
        &changed(unet, "attention_head_dim", json!([2])),
        &["attention_head_dim has no number for level 1"],
    );
    says(
        &changed(unet, "norm_num_groups", json!(3)),
        &["num_groups (3) must divide"],
    );
    says(
        &changed(unet, "layers_per_block", json!("two")),
        &[unet, "invalid type"],
    );
    says(
        &changed("vae/config.json", "latents_mean", json!([0.0])),
        &["vae/config.json", "latents_mean"],
    );
    says(
        &changed("text_encoder/config.json", "hidden_act", json!("relu")),
        &["text_encoder/config.json", "relu"],
    );
    says(
        &changed("text_encoder/config.json", "num_attention_heads", json!(3)),
        &["num_attention_heads is 3"],
    );
    says(
        &changed(
            "scheduler/scheduler_config.json",
            "_class_name",
            json!("NoScheduler"),
        ),
        &["scheduler_config.json", "NoScheduler"],
    );
    says(
        &changed(
            "model_index.json",
            "_class_name",
            json!("StableDiffusion3Pipeline"),
        ),
        &[
            "StableDiffusion3Pipeline",
            "allowed: StableDiffusionPipeline",
        ],
    );
    says(
        &changed(
            "tokenizer/tokenizer_config.json",
            "pad_token",
            json!("<nothing>"),
        ),
        &["tokenizer", "the vocabulary has no \"<nothing>\""],
    );
    for name in [
        unet,
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer_config.json",
    ] {
        let folder = Folder::of("sd1");
        fs::remove_file(folder.path(name)).unwrap();
        says(&folder.error(), &[name]);
        fs::write(folder.path(name), "{").unwrap();
        says(&folder.error(), &[name.split('/').next().unwrap()]);
    }
    let nowhere = ModelFiles::of("no/such/model");
    says(
        &error(&nowhere),
        &["no/such/model: there is no such folder or file"],
    );
}

#[test]
fn single_files_say_what_they_lack() {
    let folder = Folder::of("sd1");
    let single = data().join("sd1-extras/single.safetensors");
    let mut files = ModelFiles::of(&single);
    says(
        &error(&files),
        &["single.safetensors", "--config names a diffusers folder"],
    );
    files.model = folder.path("single.safetensors");
    files.config = Some(folder.0.path().to_owned());
    for (prefix, what) in [
        ("model.diffusion_model.", "there is no U-Net"),
        ("first_stage_model.", "there is no autoencoder"),
        ("cond_stage_model.", "there is no text model"),
    ] {
        let mut tensors = read(&single);
        tensors.retain(|name, _| !name.starts_with(prefix));
        write(&files.model, &tensors);
        says(&error(&files), &["single.safetensors", what, prefix]);
    }
    let mut tensors = read(&single);
    let name = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight";
    tensors.get_mut(name).unwrap().1 = vec![8, 8, 9, 1];
    write(&files.model, &tensors);
    says(
        &error(&files),
        &[
            "single.safetensors",
            "input_blocks.1.0.in_layers.2.weight",
            "down_blocks.0.resnets.0.conv1.weight",
            "of diffusers",
            "has shape [8, 8, 9, 1], the configuration needs [8, 8, 3, 3]",
        ],
    );
    // Another family.
    files.model = data().join("sdxl-extras/single.safetensors");
    says(
        &error(&files),
        &["has 2 text models, the configuration needs 1"],
    );
}

/// Types of numbers, names of diffusers before 0.17, several files, and files in half precision give the
/// same latents.
#[test]
fn the_same_weights_in_other_files() {
    let expected = latents(&ModelFiles::of(data().join("sd1")));
    let folder = Folder::of("sd1");
    folder.change(UNET, |tensors| {
        for (dtype, _, bytes) in tensors.values_mut() {
            let numbers = bytes
                .chunks_exact(2)
                .map(|pair| half(u16::from_le_bytes([pair[0], pair[1]])));
            *bytes = numbers.flat_map(f32::to_le_bytes).collect();
            *dtype = Dtype::F32;
        }
    });
    folder.change(VAE, |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| {
                let old = [
                    ("to_q", "query"),
                    ("to_k", "key"),
                    ("to_v", "value"),
                    ("to_out.0", "proj_attn"),
                ];
                (
                    old.iter()
                        .fold(name, |name, (new, old)| name.replace(new, old)),
                    tensor,
                )
            })
            .collect();
    });
    fs::rename(
        folder.path(TEXT),
        folder.path("text_encoder/model.fp16.safetensors"),
    )
    .unwrap();
    assert_eq!(latents(&folder.files()), expected);

    let mut tensors = read(&folder.path(UNET));
    let second = tensors.split_off("mid_block");
    write(&folder.path("unet/1.safetensors"), &tensors);
    write(&folder.path("unet/2.safetensors"), &second);
    fs::remove_file(folder.path(UNET)).unwrap();
    let names = |tensors: &Tensors, file: &str| -> BTreeMap<String, String> {
        tensors
            .keys()
            .map(|name| (name.clone(), file.to_owned()))
            .collect()
    };
    let mut map = names(&tensors, "1.safetensors");
    map.extend(names(&second, "2.safetensors"));
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    fs::write(
        folder.path("unet/diffusion_pytorch_model.safetensors.index.json"),
        index,
    )
    .unwrap();
    assert_eq!(latents(&folder.files()), expected);
    fs::remove_file(folder.path("unet/2.safetensors")).unwrap();
    says(&folder.error(), &["unet/2.safetensors"]);
}

/// A number of half precision, without a library: sign, exponent, fraction.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (
        bits >> 15,
        i32::from(bits >> 10 & 31),
        f32::from(bits & 1023),
    );
    let size = match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        exponent => (1.0 + fraction / 1024.0) * 2.0_f32.powi(exponent - 15),
    };
    if sign == 1 { -size } else { size }
}

#[test]
fn networks_in_half_precision_are_close() {
    let mut files = ModelFiles::of(data().join("sd1"));
    let expected = latents(&files);
    files.half = Some(Half::F16);
    let off = (&latents(&files) - &expected).mapv(f32::abs);
    let off = off.fold(0.0, |a: f32, b| a.max(*b)) / expected.std(0.0);
    // A unit in the last place of half precision is a thousandth.
    assert!(off > 1e-5 && off < 0.02, "{off}");
    files.half = Some(Half::BF16);
    says(&error(&files), &["bf16", "needs a device"]);
}

#[test]
fn loras_add_up_and_say_what_they_are_not() {
    let extra = |name: &str| data().join("sd1-extras").join(name);
    let lora = |path: PathBuf, scale: f64| LoraFile { path, scale };
    let mut files = ModelFiles::of(data().join("sd1"));
    let plain = latents(&files);
    // Changes that take each other back, by either names.
    files.loras = vec![
        lora(extra("lora-kohya.safetensors"), 0.7),
        lora(extra("lora-peft.safetensors"), -0.7),
    ];
    let off =
        |a: &Batch, b: &Batch| (a - b).mapv(f32::abs).fold(0.0, |a: f32, b| a.max(*b)) / b.std(0.0);
    assert!(off(&latents(&files), &plain) < 5e-3);
    files.loras.pop();
    assert!(off(&latents(&files), &plain) > 0.1);

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lora.safetensors");
    let own = read(&extra("lora-kohya.safetensors"));
    let module = "lora_unet_mid_block_attentions_0_proj_in";
    let mut with = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = own.clone();
        change(&mut tensors);
        write(&path, &tensors);
        files.loras = vec![lora(path.clone(), 1.0)];
        error(&files)
    };
    let one = || (Dtype::F16, vec![1], vec![0, 0]);
    for (name, form) in [
        ("x.hada_w1_a", "LoHa"),
        ("x.lokr_w1", "LoKr"),
        ("x.lora_mid.weight", "LoCon"),
        ("x.oft_blocks", "OFT"),
        ("x.dora_scale", "DoRA"),
        ("x.lora_magnitude_vector", "DoRA"),
        ("x.on_input", "IA3"),
        ("x.diff", "differences"),
        ("x.a1.weight", "GLoRA"),
        ("x.w_norm", "norms"),
    ] {
        let text = with(&|tensors| {
            tensors.insert(name.to_owned(), one());
        });
        says(
            &text,
            &[
                "lora.safetensors",
                name,
                "is of",
                form,
                "which is missing here",
            ],
        );
    }
    let text = with(&|tensors| {
        tensors.insert("anything".to_owned(), one());
    });
    says(&text, &["\"anything\" is no name of a LoRA"]);
    let text = with(&|tensors| {
        tensors.remove(&format!("{module}.lora_up.weight")).unwrap();
    });
    says(&text, &[module, "only one of lora_up and lora_down"]);
    let text = with(&|tensors| {
        for end in ["lora_up.weight", "lora_down.weight", "alpha"] {
            let tensor = tensors.remove(&format!("{module}.{end}")).unwrap();
            tensors.insert(
                format!("lora_unet_mid_block_attentions_7_proj_in.{end}"),
                tensor,
            );
        }
    });
    says(
        &text,
        &[
            "the model has no layer for",
            "lora_unet_mid_block_attentions_7_proj_in",
        ],
    );
    let text = with(&|tensors| {
        tensors
            .get_mut(&format!("{module}.lora_up.weight"))
            .unwrap()
            .1 = vec![2, 16, 1, 1]
    });
    says(
        &text,
        &[
            module,
            "lora_up of shape [2, 16, 1, 1]",
            "lora_down of shape [2, 16, 1, 1]",
            "which has shape [16, 16, 1, 1]",
        ],
    );
}

/// peft's alpha is in no tensor: diffusers writes it beside them.
#[test]
fn the_alpha_of_peft_is_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lora.safetensors");
    let own = data().join("sd1-extras/lora-peft.safetensors");
    let mut files = ModelFiles::of(data().join("sd1"));
    files.loras = vec![LoraFile {
        path: own.clone(),
        scale: 1.5,
    }];
    let expected = latents(&files);
    files.loras = vec![LoraFile {
        path: path.clone(),
        scale: 1.0,
    }];
    let key = "lora_adapter_metadata";
    // A rank of 2.
    let settings = r#"{"unet.r": 2, "unet.lora_alpha": 3, "text_encoder.lora_alpha": 3, "unet.use_dora": false}"#;
    write_with(&path, &read(&own), &[(key, settings)]);
    let off = (&latents(&files) - &expected)
        .mapv(f32::abs)
        .fold(0.0, |a: f32, b| a.max(*b));
    assert!(off < 1e-5 * expected.std(0.0), "{off}");
    for other in [
        r#"{"unet.use_rslora": true}"#,
        r#"{"unet.alpha_pattern": {"to_q": 4}}"#,
        r#"{"unet.use_dora": true}"#,
    ] {
        write_with(&path, &read(&own), &[(key, other)]);
        says(
            &error(&files),
            &["lora.safetensors", "unet.", "which is missing here"],
        );
    }
    write_with(&path, &read(&own), &[(key, "{")]);
    says(&error(&files), &["lora.safetensors", key]);
}

/// An autoencoder from a file of a whole model, with the names of its authors.
#[test]
fn an_autoencoder_from_a_single_file() {
    let mut files = ModelFiles::of(data().join("sd2"));
    let decoded = |files: &ModelFiles| {
        let model = Model::open(files, &Device::Cpu).unwrap();
        let latents = Batch::from_shape_fn((1, 4, 8, 12), |(_, c, y, x)| {
            (c + 3 * y + x) as f32 / 20.0 - 1.0
        });
        pipeline::decode(&model, &latents).unwrap()
    };
    let own = decoded(&files);
    files.vae = Some(data().join("sd1-extras/single.safetensors"));
    let single = decoded(&files);
    files.vae = Some(data().join("sd1/vae"));
    assert_eq!(decoded(&files), single);
    assert_ne!(own, single);
    files.vae = Some(data().join("sd1/unet/diffusion_pytorch_model.safetensors"));
    says(
        &error(&files),
        &[
            "sd1/unet/diffusion_pytorch_model.safetensors",
            "encoder.",
            "is missing",
        ],
    );
}

#[test]
fn new_words_fit_the_text_model() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cat.safetensors");
    let mut files = ModelFiles::of(data().join("sd1"));
    let mut with = |name: &str, shape: Vec<usize>, word: Option<&str>| {
        let count: usize = shape.iter().product();
        write(
            &path,
            &BTreeMap::from([(name.to_owned(), (Dtype::F16, shape, vec![1; 2 * count]))]),
        );
        files.words = vec![WordFile {
            path: path.clone(),
            word: word.map(str::to_owned),
        }];
        Model::open(&files, &Device::Cpu).map_err(|error| error.to_string())
    };
    says(
        &with("<x>", vec![2, 8], None).unwrap_err(),
        &[
            "cat.safetensors",
            "\"<x>\" has shape [2, 8], the text model needs [vectors, 16]",
        ],
    );
    // The file's own name is a token already: of the vocabulary, "cat" with its end of a word is another.
    let model = with("emb_params", vec![16], None).unwrap();
    assert_eq!(model.tokens[0].encode("a cat").unwrap().ids[2], 567);
    says(
        &with("<x>", vec![1, 16], Some("<|endoftext|>")).unwrap_err(),
        &["\"<|endoftext|>\" is a token already"],
    );
    // Three vectors where the word stands, and the rest behind them.
    let model = with("<x>", vec![3, 16], Some("<y>")).unwrap();
    let ids = model.tokens[0].encode("a <y> river").unwrap().ids;
    assert_eq!(ids[2..5], [567, 568, 569]);
    assert_eq!(ids[5], model.tokens[0].encode("river").unwrap().ids[1]);
    let mut files = ModelFiles::of(data().join("sdxl"));
    files.words = vec![WordFile { path, word: None }];
    says(
        &error(&files),
        &["a word of XL has tensors", "clip_l", "clip_g"],
    );
}

#[test]
fn control_nets_need_their_configuration() {
    let folder = TempDir::new().unwrap();
    copy(&data().join("sd1-extras/controlnet"), folder.path());
    let file = folder.path().join("diffusion_pytorch_model.safetensors");
    let mut files = ModelFiles::of(data().join("sd1"));
    files.controls = vec![file.clone()];
    says(
        &error(&files),
        &["diffusion_pytorch_model.safetensors", "--control-config"],
    );
    files.control_config = Some(folder.path().to_owned());
    assert_eq!(Model::open(&files, &Device::Cpu).unwrap().controls.len(), 1);
    let mut tensors = read(&file);
    tensors.remove("controlnet_mid_block.weight").unwrap();
    write(&file, &tensors);
    says(
        &error(&files),
        &["controlnet_mid_block.weight", "is missing"],
    );
}

/// Queries, keys and values of OpenCLIP are one matrix, of which there must be three parts.
#[test]
fn joint_projections_are_three() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("single.safetensors");
    let mut tensors = read(&data().join("sdxl-extras/single.safetensors"));
    let name = "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_bias";
    *tensors.get_mut(name).unwrap() = (Dtype::F16, vec![71], vec![0; 142]);
    write(&path, &tensors);
    let files = ModelFiles {
        config: Some(data().join("sdxl")),
        ..ModelFiles::of(path)
    };
    says(
        &error(&files),
        &["in_proj_bias", "has 71 rows, a multiple of 3 is needed"],
    );
}

#[test]
fn weights_are_read_by_name() {
    let weights = Weights::open(&data().join("sd1").join(TEXT)).unwrap();
    let (name, shape) = weights.names().next().unwrap();
    assert_eq!(weights.any(name).unwrap().dims(), shape);
    assert!(!weights.has("nothing"));
    says(
        &weights.check_all_used().unwrap_err().to_string(),
        &["model.safetensors", "nor for"],
    );
}
