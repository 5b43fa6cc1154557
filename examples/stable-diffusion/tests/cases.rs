//! What diffusers makes of tiny models: tokens, single calls, whole runs, pictures.

use stable_diffusion::cases::{data, of_model};

fn check(model: &str) {
    let mut wrong = Vec::new();
    of_model(&data(), model, |row| {
        println!(
            "{:10} {:40} {:.1e} {:?}",
            row.model, row.name, row.difference, row.bytes
        );
        if !row.is_right() && row.note.is_none() {
            wrong.push(row);
        }
    })
    .unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn stable_diffusion_1() {
    check("sd1");
}

#[test]
fn stable_diffusion_2() {
    check("sd2");
}

#[test]
fn stable_diffusion_xl() {
    check("sdxl");
}

#[test]
fn painting_over_with_nine_channels() {
    check("inpainting");
}
