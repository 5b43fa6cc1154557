//! Runs: what is asked, watched, left and taken up.

use std::{fs, ops::ControlFlow};

use candle_core::{Device, Tensor};
use gaussian_diffusion::{Sampler, config::SchedulerConfig};
use serde_json::Value;
use stable_diffusion::{
    Outcome,
    cases::data,
    job::Job,
    model::{Model, ModelFiles},
    options::Options,
    parameters,
    picture::Picture,
    pipeline::{self, GuidanceRule, Place, Request, Saved, Unwatched, Watch},
    seeds::{Batch, Numbers, Seeds},
    settings,
    unet::{Told, UNet, UNetConfig},
    weights::Weights,
};

fn model() -> Model {
    Model::open(&ModelFiles::of(data().join("sd1")), &Device::Cpu).unwrap()
}

fn request() -> Request {
    Request {
        prompt: "a photo of an astronaut".to_owned(),
        negative: Some("blurry".to_owned()),
        width: Some(24),
        height: Some(16),
        steps: 4,
        seed: 3,
        ..Request::default()
    }
}

fn run(model: &Model, request: &Request) -> Batch {
    let made = pipeline::run(model, request, None, &mut Unwatched).unwrap();
    made.latents.unwrap()
}

fn error(model: &Model, request: &Request) -> String {
    let made = pipeline::run(model, request, None, &mut Unwatched);
    made.unwrap_err().to_string()
}

/// Leaves a run after so many steps.
struct Leave {
    after: usize,
    saved: Option<Saved>,
    previews: usize,
}

impl Watch for Leave {
    fn answered(&mut self, _: Place, x0: &dyn Fn() -> Outcome<Batch>) -> Outcome<()> {
        let preview = Picture::preview(&x0()?, 0, false);
        self.previews += usize::from((preview.width, preview.height) == (12, 8));
        Ok(())
    }

    fn stepped(
        &mut self,
        place: Place,
        save: &dyn Fn() -> Outcome<Saved>,
    ) -> Outcome<ControlFlow<()>> {
        if place.step < self.after {
            return Ok(ControlFlow::Continue(()));
        }
        self.saved = Some(save()?);
        Ok(ControlFlow::Break(()))
    }
}

/// A run that is left after every step, stored as text, and taken up in its place gives the same bits: with noise,
/// with what a solver and a rule remember, with a mask of either kind.
#[test]
fn a_run_that_was_left_goes_on() {
    let (first, nine) = (
        model(),
        Model::open(&ModelFiles::of(data().join("inpainting")), &Device::Cpu).unwrap(),
    );
    let picture = |name: &str| Some(data().join("sd1").join(name));
    let masked = Request {
        image: picture("init.png"),
        mask: picture("mask.png"),
        strength: 1.0,
        ..request()
    };
    let by_name = |name: &str| Request {
        sampler: Some(name.to_owned()),
        ..request()
    };
    let cases = [
        (&first, request()),
        (&first, by_name("DPM++ 3M SDE Karras")),
        (
            &first,
            Request {
                rule: GuidanceRule::Apg,
                numbers: Numbers::Own,
                count: 2,
                ..by_name("Euler a")
            },
        ),
        (
            &first,
            Request {
                sampler: Some("UniPC".to_owned()),
                ..masked.clone()
            },
        ),
        (
            &first,
            Request {
                numbers: Numbers::TorchOnDevice,
                ..masked.clone()
            },
        ),
        (
            &nine,
            Request {
                sampler: Some("Euler a".to_owned()),
                ..masked
            },
        ),
    ];
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("run.json");
    for (i, (model, request)) in cases.into_iter().enumerate() {
        let whole = run(model, &request);
        let mut saved = None;
        for after in 1..4 {
            let mut watch = Leave {
                after,
                saved: None,
                previews: 0,
            };
            let made = pipeline::run(model, &request, saved, &mut watch).unwrap();
            assert!(made.latents.is_none() && watch.previews > 0, "case {i}");
            let job = Job {
                files: ModelFiles::of("model"),
                request: request.clone(),
                out: "picture.png".into(),
                saved: watch.saved.unwrap(),
            };
            job.save(&path).unwrap();
            let job = Job::open(&path).unwrap();
            assert_eq!(job.request, request);
            saved = Some(job.saved);
        }
        let made = pipeline::run(model, &request, saved, &mut Unwatched).unwrap();
        assert_eq!(made.latents.unwrap(), whole, "case {i}");
    }
    // Of another number of steps it is the run of another plan.
    let mut watch = Leave {
        after: 1,
        saved: None,
        previews: 0,
    };
    pipeline::run(&first, &request(), None, &mut watch).unwrap();
    let other = Request {
        steps: 5,
        ..request()
    };
    let error = pipeline::run(&first, &other, watch.saved, &mut Unwatched).unwrap_err();
    assert!(error.to_string().contains("fingerprint"), "{error}");
    fs::write(&path, "{}").unwrap();
    assert!(
        Job::open(&path)
            .unwrap_err()
            .to_string()
            .contains("run.json")
    );
}

/// With the crate's own seeds the picture of a seed is the same alone and in a batch, from noise and from pictures.
#[test]
fn a_picture_of_a_batch_is_that_alone() {
    let model = model();
    let picture = |name: &str| Some(data().join("sd1").join(name));
    let plain = Request {
        numbers: Numbers::Own,
        sampler: Some("Euler a".to_owned()),
        ..request()
    };
    let from = Request {
        image: picture("init.png"),
        strength: 0.6,
        ..plain.clone()
    };
    let over = Request {
        mask: picture("mask.png"),
        ..from.clone()
    };
    for request in [plain, from, over] {
        let three = run(
            &model,
            &Request {
                count: 3,
                ..request.clone()
            },
        );
        for (i, item) in three.outer_iter().enumerate() {
            let alone = run(
                &model,
                &Request {
                    seed: request.seed + i as u64,
                    ..request.clone()
                },
            );
            // Matrix products of other sizes sum in another order.
            let off = (&item - &alone.index_axis(ndarray::Axis(0), 0)).mapv(f32::abs);
            let largest = off.fold(0.0_f32, |a, b| a.max(*b));
            assert!(largest < 1e-4 * alone.std(0.0), "picture {i}: {largest}");
        }
    }
}

/// Every name that front ends list draws something, and so does every rule of guidance.
#[test]
fn every_sampler_and_every_rule_draws() {
    let model = model();
    for sampler in Sampler::all() {
        let name = sampler.to_string();
        let is_plus_plus = name.contains("CFG++") || name.contains("cfg_pp");
        let request = Request {
            sampler: Some(name.clone()),
            rule: if is_plus_plus {
                GuidanceRule::PlusPlus
            } else {
                GuidanceRule::Cfg
            },
            guidance: if is_plus_plus { 0.6 } else { 2.0 },
            steps: 3,
            ..request()
        };
        let latents = run(&model, &request);
        assert!(
            latents.iter().all(|x| x.is_finite()) && latents.std(0.0) > 0.1,
            "{name}"
        );
    }
    let plain = run(&model, &request());
    for rule in [
        GuidanceRule::Apg,
        GuidanceRule::ZeroStar,
        GuidanceRule::Tangential,
        GuidanceRule::Magnitude,
    ] {
        assert_ne!(
            run(&model, &Request { rule, ..request() }),
            plain,
            "{rule:?}"
        );
    }
    let changes: [fn(Request) -> Request; 4] = [
        |r| Request { rescale: 0.5, ..r },
        |r| Request {
            interval: Some((0.25, 0.75)),
            ..r
        },
        |r| Request {
            numbers: Numbers::TorchOnDevice,
            ..r
        },
        |r| Request { clip_skip: 1, ..r },
    ];
    for (i, change) in changes.into_iter().enumerate() {
        assert_ne!(run(&model, &change(request())), plain, "change {i}");
    }
    // Without guidance the negative prompt does not matter.
    let unguided = Request {
        guidance: 1.0,
        ..request()
    };
    let other = Request {
        negative: Some("a cat".to_owned()),
        ..unguided.clone()
    };
    assert_eq!(run(&model, &unguided), run(&model, &other));
    // Nor does a scale below 1, of models that want none.
    let zero = Request {
        guidance: 0.0,
        ..request()
    };
    assert_eq!(run(&model, &unguided), run(&model, &zero));
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let (first, nine) = (
        model(),
        Model::open(&ModelFiles::of(data().join("inpainting")), &Device::Cpu).unwrap(),
    );
    let image = Some(data().join("sd1/init.png"));
    let says =
        |text: String, part: &str| assert!(text.contains(part), "{text:?} does not say {part:?}");
    says(error(&nine, &request()), "needs a picture and a mask");
    says(
        error(
            &first,
            &Request {
                mask: image.clone(),
                ..request()
            },
        ),
        "a mask needs a picture",
    );
    says(
        error(
            &first,
            &Request {
                count: 0,
                ..request()
            },
        ),
        "number of pictures is 0",
    );
    says(
        error(
            &first,
            &Request {
                width: Some(23),
                ..request()
            },
        ),
        "width is 23, allowed: multiples of 2",
    );
    says(
        error(
            &first,
            &Request {
                height: Some(0),
                ..request()
            },
        ),
        "height is 0",
    );
    says(
        error(
            &first,
            &Request {
                steps: 0,
                ..request()
            },
        ),
        "steps",
    );
    says(
        error(
            &first,
            &Request {
                clip_skip: 9,
                ..request()
            },
        ),
        "9 layers are to be left out, the text model has 2",
    );
    says(
        error(
            &first,
            &Request {
                sampler: Some("Eular".to_owned()),
                ..request()
            },
        ),
        "nearest: Euler",
    );
    says(
        error(
            &first,
            &Request {
                guidance: f64::NAN,
                ..request()
            },
        ),
        "NaN",
    );
    says(
        error(
            &first,
            &Request {
                rule: GuidanceRule::PlusPlus,
                ..request()
            },
        ),
        "CFG++ needs a sampler",
    );
    for strength in [0.0, 1.5, 0.1, f64::NAN] {
        says(
            error(
                &first,
                &Request {
                    image: image.clone(),
                    strength,
                    ..request()
                },
            ),
            "strength",
        );
    }
    for name in ["Restart", "DPM adaptive"] {
        let request = Request {
            sampler: Some(name.to_owned()),
            image: image.clone(),
            strength: 0.5,
            ..request()
        };
        says(error(&first, &request), "a strength of 1 is allowed");
    }
    says(
        error(
            &first,
            &Request {
                image: Some("no.png".into()),
                ..request()
            },
        ),
        "no.png",
    );
    let controls = vec![pipeline::ControlPicture {
        path: "a.png".into(),
        scale: 1.0,
    }];
    says(
        error(
            &first,
            &Request {
                controls,
                ..request()
            },
        ),
        "1 pictures to follow for 0 ControlNets",
    );
}

/// What does not fit into the text model is said, and the picture is that of the rest.
#[test]
fn long_prompts_are_cut() {
    let model = model();
    let long = Request {
        prompt: "cat ".repeat(80),
        ..request()
    };
    let made = pipeline::run(&model, &long, None, &mut Unwatched).unwrap();
    assert_eq!(made.left_out, ["cat ".repeat(5)]);
    let fits = Request {
        prompt: "cat ".repeat(75),
        ..request()
    };
    let whole = pipeline::run(&model, &fits, None, &mut Unwatched).unwrap();
    assert!(whole.left_out.is_empty());
    assert_eq!(whole.latents, made.latents);
}

/// Name, prompt and settings are in the file, in the form of the WebUI.
#[test]
fn pictures_carry_their_text() {
    let model = model();
    let folder = tempfile::TempDir::new().unwrap();
    for (prompt, kind) in [("a cat", "tEXt"), ("東京", "iTXt")] {
        let request = Request {
            prompt: prompt.to_owned(),
            sampler: Some("dpmpp_2m karras".to_owned()),
            count: 2,
            ..request()
        };
        let made = pipeline::run(&model, &request, None, &mut Unwatched).unwrap();
        let picture = &pipeline::decode(&model, made.latents.as_ref().unwrap()).unwrap()[1];
        let text = parameters::text(&model, &request, &made, picture, 1);
        let expected = format!(
            "{prompt}\nNegative prompt: blurry\nSteps: 4, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 3, Size: 24x16, \
             Model: sd1, Batch size: 2, Batch pos: 1, RNG: CPU, Version: gaussian-diffusion 0.1.0"
        );
        assert_eq!(text, expected);
        let path = folder.path().join("picture.png");
        picture.save(&path, Some(&text)).unwrap();
        assert_eq!(&Picture::open(&path).unwrap(), picture);
        let bytes = fs::read(&path).unwrap();
        let place = bytes
            .windows(14)
            .position(|part| part == [kind.as_bytes(), b"parameters"].concat())
            .unwrap();
        assert!(
            bytes[place..]
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        );
    }
}

/// Numbers of torch for a size that is not halved evenly, and for a network that is told the scale of guidance.
#[test]
fn single_calls_of_odd_networks() {
    let file = fs::read_to_string(data().join("sd1-more.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let folder = data().join("sd1-extras/lcm-unet");
    let config: UNetConfig =
        settings::read(&folder.join("config.json"), UNetConfig::FIXED).unwrap();
    let weights = Weights::open_part(&folder, "diffusion_pytorch_model").unwrap();
    let distilled = UNet::load(&weights.root(), &config, candle_core::DType::F32).unwrap();
    for (key, unet, scale) in [
        ("odd", &model().unet, None),
        ("told_the_scale", &distilled, Some(8.5)),
    ] {
        let mut seeds = Seeds::new(Numbers::Torch, 7, 1);
        let tensor = |batch: Batch| pipeline::to_tensor(&batch, &Device::Cpu).unwrap();
        let x = tensor(seeds.draw([1, 4, 7, 11]).unwrap());
        let text = tensor(seeds.draw([1, 1, 77, 16]).unwrap())
            .squeeze(0)
            .unwrap();
        let told = Told {
            text,
            added: None,
            scale,
            classes: None,
        };
        let answer: Tensor = unet.forward(&x, 501.0, &told, &[]).unwrap();
        let found: Vec<f32> = answer.flatten_all().unwrap().to_vec1().unwrap();
        let expected = file[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap());
        assert_eq!(found.len(), expected.len());
        let off = found
            .iter()
            .zip(expected)
            .map(|(a, b)| (f64::from(*a) - b).abs())
            .fold(0.0, f64::max);
        assert!(off < 3e-6, "{key}: {off}");
    }
}

/// A scheduler file with thresholds, and one that only exists for flows.
#[test]
fn scheduler_files_of_all_kinds() {
    let mut model = model();
    let plain = run(&model, &request());
    let file = r#"{"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}"#;
    model.scheduler = SchedulerConfig::from_json(file).unwrap();
    // DDIM clips to 1 unless it is told not to.
    let clipped = run(&model, &request());
    assert!(clipped.iter().all(|x| x.abs() <= 1.0 + 1e-6) && plain != clipped);
    let named = run(
        &model,
        &Request {
            sampler: Some("Euler".to_owned()),
            ..request()
        },
    );
    assert!(named.iter().all(|x| x.abs() <= 1.0 + 1e-6));
    model.scheduler =
        SchedulerConfig::from_json(r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#)
            .unwrap();
    assert!(run(&model, &request()).iter().all(|x| x.is_finite()));
}

#[test]
fn the_command_line_has_no_mistakes() {
    use clap::Parser;
    let options = Options::try_parse_from([
        "x",
        "-m",
        "m",
        "--sheet",
        "Euler a,UniPC",
        "--sheet-steps",
        "2,4",
    ])
    .unwrap();
    assert_eq!(
        (options.other.sheet.len(), &*options.other.sheet_steps),
        (2, &[2, 4][..])
    );
    let options = Options::try_parse_from(["x", "--cases"]).unwrap();
    assert_eq!(options.other.cases, Some(None));
}
