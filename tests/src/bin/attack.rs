//! Attacks a running master, and says of each attack whether what must hold holds.
//!
//! `cargo run -p palm-tests --bin attack -- --db tcp://127.0.0.1:5559`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use palm_tests::attack::{self, Attack, Bounds, Broken, Target, Verdict, serve};

/// Attacks a running master of anybody's, and checks that honest clients and workers are still served.
///
/// Give it a master that nobody else uses: it floods it, fills its cache, and sends its workers nonsense. Workers that are not
/// its own must answer --function with what they were sent. Exit status: 0 all held, 1 something did not, 2 wrong use.
#[derive(Debug, Parser)]
#[command(name = "attack")]
struct Arguments {
    /// Where the master's cache answers; the other sockets are asked for there
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559")]
    db: String,
    /// Where the master takes native peers; without it the attacks of its protocol are left out
    #[arg(long, value_name = "HOST:PORT")]
    native: Option<String>,
    /// File with the token of honest native peers
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Only attacks of this name, or of this family; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Say which attacks there are, and what must hold, and do nothing
    #[arg(long)]
    list: bool,
    /// Function that honest clients call
    #[arg(long, value_name = "METHOD", default_value = "echo")]
    function: String,
    /// Seconds that an honest peer waits before it is not served
    #[arg(long, value_name = "SECONDS", default_value_t = Bounds::default().patience.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,
    /// Connections that are held at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = Bounds::default().connections)]
    connections: usize,
    /// Subscriptions on one connection
    #[arg(long, value_name = "NUMBER", default_value_t = Bounds::default().subscriptions)]
    subscriptions: usize,
    /// Messages of a flood
    #[arg(long, value_name = "NUMBER", default_value_t = Bounds::default().messages)]
    messages: usize,
    /// Keys that are set in the cache
    #[arg(long, value_name = "NUMBER", default_value_t = Bounds::default().keys)]
    keys: usize,
    /// Attack a master that is not of this machine; only do that to hosts that are yours
    #[arg(long)]
    i_own_this_host: bool,
    /// The other direction: be a server that means harm, for a program that connects to it, until this is stopped; `--list` names them
    #[arg(long, value_name = "TRICK", conflicts_with_all = ["native", "only"])]
    serve: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    let done = match &arguments.serve {
        Some(trick) => serve_until_stopped(trick),
        None => attack(&arguments),
    };
    done.unwrap_or_else(|Broken(why)| {
        eprintln!("attack: {why}");
        ExitCode::from(2)
    })
}

fn list() {
    for attack in attack::all() {
        println!("{}/{}: {}; {}", attack.family, attack.name, attack.tries, attack.holds);
    }
    for trick in serve::TRICKS {
        println!("--serve {}: {}", trick.name, trick.does);
    }
}

fn attack(arguments: &Arguments) -> Result<ExitCode, Broken> {
    let target = target(arguments)?;
    let attacks = chosen(&arguments.only)?;
    let (mut held, mut broken, mut left_out) = (0, 0, 0);
    attack::run(&target, &attacks, |attack, verdict, took| {
        let name = format!("{}/{}", attack.family, attack.name);
        let seconds = took.as_secs_f32();
        match verdict {
            Verdict::Held => held += 1,
            Verdict::Broken(_) => broken += 1,
            Verdict::NotRun(_) => left_out += 1,
        }
        match verdict {
            Verdict::Held => println!("held     {name} ({seconds:.1} s): {}", attack.holds),
            Verdict::Broken(seen) => println!("BROKEN   {name} ({seconds:.1} s): {seen}"),
            Verdict::NotRun(why) => println!("not run  {name}: {why}"),
        }
    })
    .map_err(|Broken(why)| Broken(format!("the master does not serve honest peers to begin with: {why}")))?;
    println!("{held} held, {broken} broken, {left_out} not run");
    Ok(if broken > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn target(arguments: &Arguments) -> Result<Target, Broken> {
    let bounds = Bounds {
        patience: Duration::from_secs(arguments.patience),
        connections: arguments.connections,
        subscriptions: arguments.subscriptions,
        messages: arguments.messages,
        keys: arguments.keys,
    };
    let refused = |Broken(why)| Broken(format!("{why}; hosts that are yours: --i-own-this-host"));
    let abroad = arguments.i_own_this_host;
    let mut target = Target::discover(&arguments.db, bounds, abroad).map_err(refused)?;
    target.method.clone_from(&arguments.function);
    let token = match &arguments.token_file {
        Some(path) => std::fs::read(path).map_err(|cause| Broken(format!("{}: {cause}", path.display())))?,
        None => Vec::new(),
    };
    match &arguments.native {
        Some(address) => target.with_native(address, token.trim_ascii_end(), abroad).map_err(refused),
        None => Ok(target),
    }
}

/// The attacks of these names and families; all if there are none.
fn chosen(only: &[String]) -> Result<Vec<Attack>, Broken> {
    let all = attack::all();
    let is_meant = |attack: &Attack, name: &String| {
        attack.name == name || attack.family == name || format!("{}/{}", attack.family, attack.name) == *name
    };
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|attack| is_meant(attack, name))) {
        return Err(Broken(format!("there is no attack and no family {unknown:?}; --list says which there are")));
    }
    let chosen = all.into_iter().filter(|attack| only.is_empty() || only.iter().any(|name| is_meant(attack, name)));
    Ok(chosen.collect())
}

fn serve_until_stopped(name: &str) -> Result<ExitCode, Broken> {
    let trick = serve::TRICKS.iter().find(|trick| trick.name == name);
    let trick = trick.ok_or_else(|| Broken(format!("there is no trick {name:?}; --list says which there are")))?;
    let server = serve::Server::start(trick)?;
    println!("{}: {}", server.address(), trick.does);
    loop {
        std::thread::park();
    }
}
