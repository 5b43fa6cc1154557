//! The page in a browser: Chromium, if there is one.

mod common;

use std::{
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use axum::{
    Json,
    response::Html,
    routing::{get, post},
};
use common::{Server, alone, slow, small};
use serde::Deserialize;
use server::job::Order;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Fills in the form of the page in a frame and looks on until all pictures are done, and one is cancelled.
const VISITOR: &str = r#"<!doctype html><title>visitor</title><iframe src="/" width="900" height="900"></iframe><script>
const frame = document.querySelector("iframe"), seen = {};
const until = async test => { while (!test()) await new Promise(wait => setTimeout(wait, 5)); };
frame.onload = async () => {
  const page = frame.contentDocument, form = page.querySelector("form");
  const draw = values => { for (const name in values) form[name].value = values[name]; form.querySelector("button").click(); };
  const figures = () => [...page.querySelectorAll("figure")];
  const pixels = figure => [...figure.querySelector("canvas").getContext("2d").getImageData(0, 0, 8, 8).data].filter((_, i) => i % 4 === 0);
  await until(() => form.sampler.options.length > 20);
  draw({ sampler: "Euler a", steps: 30, digit: "3", guidance: 2, seed: 5, count: 3 });
  await until(() => {
    for (const figure of figures()) (seen[figure.id] ??= new Set()).add(pixels(figure).join());
    return figures().length === 3 && figures().every(figure => figure.dataset.state === "done");
  });
  const done = figures().reverse().map(figure => ({ pixels: pixels(figure), states: seen[figure.id].size }));
  draw({ steps: 1000, count: 1 });
  await until(() => figures().length === 4 && figures()[0].dataset.state === "running");
  figures()[0].querySelector("button").click();
  await until(() => figures()[0].dataset.state === "cancelled");
  draw({ steps: 2000 });
  form.noValidate = true;
  draw({ steps: 2000 });
  await until(() => page.getElementById("error").textContent);
  await fetch("/result", { method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ done, error: page.getElementById("error").textContent }) });
};
</script>"#;

#[derive(Debug, Deserialize)]
struct Seen {
    done: Vec<Picture>,
    error: String,
}

#[derive(Debug, Deserialize)]
struct Picture {
    pixels: Vec<u8>,
    states: usize,
}

#[test]
fn the_page_shows_pictures_forming() {
    let found = |name: &&&str| {
        Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok()
    };
    let Some(browser) = NAMES.iter().find(found) else {
        println!("skipped: there is no Chromium (apt-get install chromium)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (told, result) = mpsc::channel();
    let server = Server::with(
        slow(small(), Duration::from_millis(20)),
        &folder.path().join("jobs.json"),
        |routes| {
            let take =
                move |Json(seen): Json<Seen>| async move { told.send(seen).unwrap_or_default() };
            routes
                .route("/visitor", get(async || Html(VISITOR)))
                .route("/result", post(take))
        },
    );
    let mut browser = Command::new(browser)
        .args(FLAGS)
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("http://{}/visitor", server.address))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let seen = result.recv_timeout(Duration::from_secs(120));
    browser.kill().unwrap();
    browser.wait().unwrap();
    // Its helpers end after it, and leave its folder then.
    thread::sleep(Duration::from_millis(200));
    let seen = seen.expect("the page was not seen to the end");
    server.stop();

    let network = small();
    for (i, picture) in seen.done.iter().enumerate() {
        let (sampler, seed) = ("Euler a".to_owned(), 5 + i as u64);
        let order = Order {
            sampler,
            steps: 30,
            seed,
            digit: Some(3),
            guidance: 2.0,
        };
        let alone = alone(&network, &order);
        let grey = alone
            .iter()
            .map(|x| (127.5 * (x.clamp(-1.0, 1.0) + 1.0)).round() as u8);
        let off = |(a, b): (&u8, u8)| a.abs_diff(b);
        // The browser rounds in f64.
        assert!(picture.pixels.iter().zip(grey).map(off).all(|off| off <= 1));
        assert!(
            picture.states >= 10,
            "{} pictures were seen on the way",
            picture.states
        );
        println!("picture {i}: {} states seen", picture.states);
    }
    assert_eq!(seen.done.len(), 3);
    assert!(seen.error.contains("more than 1000"), "{}", seen.error);
}
