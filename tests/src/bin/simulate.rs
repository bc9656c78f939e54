//! Runs simulated clusters, one for each seed, until one breaks a promise; replays one.
//!
//! `cargo run --release -p palm-tests --bin simulate -- [--seeds N] [--from S] [--messages M] [--seed S] [--trace]
//! [--scenario zeromq|native|mixed|restarts|tight|full-speed]`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use palm_tests::simulation::{Kind, Listener, Summary};

struct Options {
    seeds: u64,
    from: u64,
    messages: u32,
    trace: bool,
    kind: Kind,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seeds: 1_000, from: 0, messages: 300, trace: false, kind: Kind::Zeromq };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
            value.ok_or(format!("{argument} needs a number"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--messages" => options.messages = number()?.try_into().map_err(|_| "too many messages")?,
            "--seed" => (options.from, options.seeds) = (number()?, 1),
            "--trace" => options.trace = true,
            "--full-speed" => options.kind = Kind::FullSpeed,
            "--scenario" => {
                let name = arguments.next().unwrap_or_default();
                let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
                options.kind = kind.ok_or(format!("there is no scenario {name:?}"))?;
            }
            _ => return Err(format!("what is {argument}?")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let (mut taken, mut failures, mut excused, mut redispatched, mut duplicates) = (0, 0, 0, 0, 0);
    for seed in options.from..options.from + options.seeds {
        match one(seed, &options) {
            Ok(summary) => {
                taken += summary.taken;
                failures += summary.failures;
                excused += summary.excused;
                redispatched += summary.redispatched;
                duplicates += summary.duplicates;
                if options.seeds == 1 {
                    println!("{summary:#?}");
                }
            }
            Err(violation) => {
                println!("seed {seed}: {violation}");
                let (kind, messages) = (options.kind.name(), options.messages);
                println!("replay with: --scenario {kind} --seed {seed} --messages {messages} --trace");
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds, {taken} messages in {seconds:.1} s: {:.1} seeds/s, {:.0} messages/s",
        options.seeds,
        options.seeds as f64 / seconds,
        taken as f64 / seconds
    );
    println!(
        "{failures} failures, {excused} lost with a client's connection, {redispatched} dispatched again, {duplicates} duplicates dropped"
    );
    ExitCode::SUCCESS
}

fn one(seed: u64, options: &Options) -> Result<Summary, String> {
    let (messages, kind, trace) = (options.messages, options.kind, options.trace);
    let run = move || {
        let listener = trace.then(|| Box::new(|line: String| println!("{line}")) as Listener);
        kind.run(seed, messages, listener)
    };
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
    })
}
