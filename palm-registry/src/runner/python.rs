//! What Python's registry wants, which knows nothing but command lines.

use crate::cluster::Restart;
use crate::wire::{Wanted, WantedProcess};

/// Command lines as processes: nothing connects them, and nobody changes them any more.
pub(super) fn wanted(lines: &[String]) -> Wanted {
    let mut wanted = Vec::<WantedProcess>::new();
    for line in lines {
        let component = component(line);
        let copy = wanted.iter().filter(|before| before.component == component).count();
        wanted.push(WantedProcess {
            component,
            copy: u32::try_from(copy).unwrap_or(u32::MAX),
            command: line.clone(),
            environment: Default::default(),
            directory: None,
            restart: Restart::OnFailure,
            grace_seconds: 10,
            ready: None,
            run: true,
            hold: false,
            generation: 0,
            level: None,
        });
    }
    Wanted { interval_ms: 0, cluster: None, node: None, wanted }
}

/// A name for what has none here: the program and what goes before its flags.
fn component(line: &str) -> String {
    let words = line.split_whitespace().take_while(|word| !word.starts_with("--"));
    let words: Vec<_> = words.map(|word| word.rsplit('/').next().unwrap_or(word)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_named_by_their_programs() {
        let lines = ["/usr/bin/python3 /x/master.py --db a", "python3 w.py --db a", "python3 w.py --db a"];
        let wanted = super::wanted(&lines.map(str::to_owned)).wanted;
        let names: Vec<_> = wanted.iter().map(|wanted| (wanted.component.as_str(), wanted.copy)).collect();
        assert_eq!(names, [("python3 master.py", 0), ("python3 w.py", 0), ("python3 w.py", 1)]);
    }
}
