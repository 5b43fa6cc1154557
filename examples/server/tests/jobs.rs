//! Jobs that end well, badly or not yet.

mod common;

use std::{fs, thread, time::Duration};

use common::{Server, alone, bits, of_digits, order, slow, small};
use gaussian_diffusion::Prediction;
use server::{
    Pictures,
    progress::Progress,
    service::Service,
    store::{Store, Stored},
};

const PAUSE: Duration = Duration::from_millis(20);

fn state(server: &Server, id: u64) -> Progress {
    server.service.job(id).unwrap().progress
}

/// Waits until it is at work.
fn running(server: &Server, id: u64) {
    for _ in 0..1000 {
        match state(server, id) {
            Progress::Waiting => thread::sleep(PAUSE / 4),
            Progress::Running { .. } => return,
            other => panic!("{other:?}"),
        }
    }
    panic!("job {id} does not begin");
}

#[test]
fn jobs_saved_on_shutdown_end_with_the_same_picture() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let names = ["DPM++ 2M Karras", "DPM++ 3M SDE", "UniPC", "Heun", "ddpm"];
    // More than are at work at once, so that some are saved before they begin.
    let orders: Vec<_> = (0..20).map(|i| order(names[i % 5], 12, i as u64)).collect();

    let server = Server::start(slow(small(), PAUSE), &file);
    let quick = server.order(&order("Euler", 2, 7));
    let ids: Vec<_> = orders.iter().map(|order| server.order(order)).collect();
    server.follow(quick);
    running(&server, ids[0]);
    let watching = thread::scope(|scope| {
        let watching = scope.spawn(|| server.follow(ids[1]));
        thread::sleep(5 * PAUSE);
        server.service.stop().unwrap();
        // The stream ends with the server, the job does not.
        watching.join().unwrap()
    });
    assert!(
        matches!(watching.last(), Some(Progress::Running { .. })),
        "{watching:?}"
    );
    // Whoever comes now is told so.
    let (status, _) = server.ask("POST", "/jobs", &serde_json::to_string(&orders[0]).unwrap());
    assert_eq!(status, 503);
    server.stop();

    let saved: Stored = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let begun: Vec<_> = saved
        .jobs
        .iter()
        .map(|(_, job)| job.evaluations_done() > 0)
        .collect();
    assert!(
        saved.jobs.len() == 20 && begun[0] && !begun[19],
        "{begun:?}"
    );

    let again = Server::start(small(), &file);
    let network = small();
    for (id, order) in ids.into_iter().zip(&orders) {
        let news = again.follow(id);
        let Some(Progress::Done { pixels }) = news.last() else {
            panic!("{:?}", news.last())
        };
        assert_eq!(bits(pixels), bits(&alone(&network, order)), "{order:?}");
    }
    // What was over is still known.
    assert!(matches!(state(&again, quick), Progress::Done { .. }));
    let new = again.order(&order("Euler", 1, 1));
    assert!(new > quick + 20);
    again.stop();
}

#[test]
fn a_job_that_is_cancelled_ends_and_the_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(slow(of_digits(), PAUSE), &folder.path().join("jobs.json"));
    let (long, other) = (order("ddpm", 1000, 1), order("Euler", 10, 3));
    let (long, id) = (server.order(&long), server.order(&other));
    running(&server, long);
    assert_eq!(server.ask("DELETE", &format!("/jobs/{long}"), "").0, 202);
    assert_eq!(server.follow(long).last(), Some(&Progress::Cancelled));
    let news = server.follow(id);
    let Some(Progress::Done { pixels }) = news.last() else {
        panic!("{news:?}")
    };
    assert_eq!(bits(pixels), bits(&alone(&of_digits(), &other)));
    // Once more changes nothing.
    assert_eq!(server.ask("DELETE", &format!("/jobs/{id}"), "").0, 202);
    assert!(matches!(state(&server, id), Progress::Done { .. }));
    server.stop();
}

#[test]
fn an_order_that_cannot_be_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(small(), &folder.path().join("jobs.json"));
    let cases = [
        (
            r#"{"sampler": "Eular a", "steps": 4, "seed": 1}"#,
            400,
            "nearest: Euler a",
        ),
        (
            r#"{"sampler": "Euler", "steps": 0, "seed": 1}"#,
            400,
            "steps",
        ),
        (
            r#"{"sampler": "Euler", "steps": 1001, "seed": 1}"#,
            400,
            "more than 1000",
        ),
        (
            r#"{"sampler": "DPM adaptive", "steps": 4, "seed": 1}"#,
            400,
            "fixed number of steps",
        ),
        (
            r#"{"sampler": "Euler", "steps": 4, "seed": 1, "digit": 10}"#,
            400,
            "not 0 to 9",
        ),
        (
            r#"{"sampler": "Euler", "steps": 4, "seed": -1}"#,
            422,
            "seed",
        ),
        (r#"{"sampler": "Euler", "steps": 4}"#, 422, "seed"),
        (
            r#"{"sampler": "Euler", "steps": 4, "seed": 1, "size": 9}"#,
            422,
            "size",
        ),
        ("{", 400, "EOF"),
    ];
    for (body, status, why) in cases {
        let (found, text) = server.ask("POST", "/jobs", body);
        assert!(
            found == status && text.contains(why),
            "{body}: {found} {text}"
        );
    }
    let long = format!(
        r#"{{"sampler": "{}", "steps": 4, "seed": 1}}"#,
        "x".repeat(5000)
    );
    assert_eq!(server.ask("POST", "/jobs", &long).0, 413);
    for (method, path) in [
        ("GET", "/jobs/7"),
        ("DELETE", "/jobs/7"),
        ("GET", "/jobs/7/events"),
    ] {
        let (status, text) = server.ask(method, path, "");
        assert!(
            status == 404 && text.contains("there is no job 7"),
            "{text}"
        );
    }
    // Its network is not guided as this sampler needs it, which shows when it is answered.
    let id = server.order(&order("DDIM CFG++", 4, 1));
    let news = server.follow(id);
    assert!(
        matches!(news.last(), Some(Progress::Failed { error }) if error.contains("CfgPlusPlus"))
    );
    server.stop();
}

#[test]
fn a_network_that_fails_or_says_nonsense_ends_its_jobs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut inner = small();
    let network = move |x: &Pictures, times: &[_], digits: &[_]| {
        let mut answer: Prediction<Pictures> = inner(x, times, digits)?;
        // Of this digit it has no idea.
        for (mut row, digit) in answer.value.rows_mut().into_iter().zip(digits) {
            if *digit == Some(6) {
                row.fill(f32::NAN);
            }
        }
        if digits.contains(&Some(9)) {
            return Err(gaussian_diffusion::Error::network("no more memory"));
        }
        Ok(answer)
    };
    let server = Server::start(network, &folder.path().join("jobs.json"));
    let of = |digit, steps| {
        let (digit, guidance) = (Some(digit), 1.0);
        server::job::Order {
            digit,
            guidance,
            ..order("DDIM", steps, 1)
        }
    };
    let (good, bad) = (server.order(&of(1, 30)), server.order(&of(6, 30)));
    let last = |id| server.follow(id).pop().unwrap();
    assert!(
        matches!(last(bad), Progress::Failed { error } if error.contains("not finite") || error.contains("NaN"))
    );
    assert!(matches!(last(good), Progress::Done { .. }));
    let worse = server.order(&of(9, 30));
    assert!(matches!(last(worse), Progress::Failed { error } if error.contains("no more memory")));
    assert!(matches!(
        last(server.order(&of(1, 30))),
        Progress::Done { .. }
    ));
    server.stop();
}

#[test]
fn a_damaged_file_of_jobs_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    fs::write(&file, "{\"jobs\": [").unwrap();
    let error = Service::start(small(), Store::new(&file)).unwrap_err();
    assert!(error.starts_with(&file.display().to_string()), "{error}");
}
