use super::*;

const FILE: &str =
    "[Master]\nScript = m\n--db = _1\n[Worker]\nScript = w\n--db = _1\nConnected = Master\nReplicas = 1\n";

fn process(copy: u32, node: Option<&str>, state: Option<&str>) -> ProcessStatus {
    ProcessStatus {
        copy,
        node: node.map(str::to_owned),
        state: state.map(str::to_owned),
        since: None,
        pid: None,
        restarts: 0,
        exit_code: None,
        exit_signal: None,
        cpu_seconds: 0.0,
        memory_bytes: 0,
        messages: Some(10),
        rate: Some(0.5),
    }
}

fn component(name: &str, processes: Vec<ProcessStatus>) -> ComponentStatus {
    ComponentStatus {
        name: name.to_owned(),
        role: None,
        connected: Vec::new(),
        sockets: Vec::new(),
        replicas: u32::try_from(processes.len()).unwrap() - 1,
        stopped: false,
        generation: 0,
        processes,
    }
}

fn node(name: String, silent: bool) -> NodeStatus {
    NodeStatus { name, ip: "h".to_owned(), processors: 10, placed: 10, seen: Some(1), silent }
}

fn status(components: Vec<ComponentStatus>, nodes: Vec<NodeStatus>) -> Status {
    Status { ready: true, components, sockets: Vec::new(), nodes, missing: Vec::new() }
}

#[test]
fn of_a_node_that_says_nothing_nobody_knows_what_it_runs() {
    let is = |process: &ProcessStatus, stopped| tone::of_process(process, stopped, |node| node == "silent");
    assert_eq!(is(&process(0, Some("n"), Some("ready")), false).0, "ready");
    assert_eq!(is(&process(0, Some("silent"), Some("ready")), false).0, "unknown");
    assert_eq!(is(&process(0, None, Some("ready")), false).1, Tone::Lacks);
    let ended = process(0, Some("n"), Some("exited"));
    assert_eq!((is(&ended, true).0, is(&ended, false).0), ("stopped", "exited"));
    assert_eq!(is(&process(0, Some("n"), Some("crash-loop")), false).1, Tone::Bad);
}

#[test]
fn who_will_bind_a_socket_is_known_before_it_is_placed() {
    let cluster = Cluster::from_ini(FILE).unwrap();
    let status = status(Vec::new(), Vec::new());
    let (found, binds) = links(&cluster, &status);
    assert_eq!(found, [Link { from: 0, to: 1, sockets: vec!["1".to_owned()] }]);
    assert_eq!(binds.get("1"), Some(&0));
}

#[test]
fn counts_are_words() {
    assert_eq!(
        (counted(1, "silent node"), counted(2, "silent node")),
        ("1 silent node".into(), "2 silent nodes".into())
    );
    assert_eq!((counted(2, "failing process"), counted(0, "copy")), ("2 failing processes".into(), "0 copies".into()));
    assert_eq!((some(&["a", "b"]), some(&["a", "b", "c", "d", "e"])), ("a, b".into(), "a, b, c, d, e".into()));
    assert_eq!(some(&["a", "b", "c", "d", "e", "f"]), "a, b, c, d and 2 more");
}

#[test]
fn few_copies_are_shown_by_node_each_by_itself() {
    let processes = vec![
        process(0, Some("b"), Some("ready")),
        process(1, Some("a"), Some("failed")),
        process(2, None, None),
        process(3, Some("b"), Some("ready")),
    ];
    let card = Card::new(&component("Worker", processes), Vec::new(), &HashSet::from(["b"]));
    let groups: Vec<_> =
        card.groups.iter().map(|group| (group.node.as_str(), group.is_silent, group.marks.len())).collect();
    assert_eq!(groups, [("", false, 1), ("a", false, 1), ("b", true, 2)]);
    assert_eq!((card.summary().as_str(), card.tone()), ("2 unknown, 1 failed, 1 no place", Tone::Bad));
    assert_eq!((card.nodes.as_str(), card.messages.as_str(), card.rate.as_str()), ("a, b", "40", "2/s"));
}

#[test]
fn of_many_nodes_those_in_trouble_are_shown_and_the_rest_is_counted() {
    let name = |number: u32| format!("node-{number:04}");
    let state = |copy: u32| if copy == 7777 { "failed" } else { "running" };
    let processes = (0..10_000).map(|copy| process(copy, Some(&name(copy % 1000)), Some(state(copy)))).collect();
    let nodes = (0..1000).map(|number| node(name(number), number == 900)).collect();
    let status = status(vec![component("Worker", processes)], nodes);
    let cluster = Cluster::from_ini("[Worker]\nScript = w\nReplicas = 9999\n").unwrap();
    let view = View::new(&cluster, &status, "", "2");
    let card = &view.cards[0];
    assert_eq!((card.copies, card.groups.len()), (10_000, GROUPS + 1));
    assert_eq!(card.groups[0].counts, [(Tone::Bad, 1), (Tone::Good, 9)]);
    assert_eq!((card.groups[1].node.as_str(), card.groups[1].is_silent), ("node-0900", true));
    assert_eq!((card.groups[GROUPS].rest, card.groups[GROUPS].copies()), (995, 9950));
    assert_eq!(card.nodes, "node-0000, node-0001, node-0002, node-0003 and 996 more");
    assert_eq!((view.nodes.len(), view.node_pages.says().as_str()), (100, "101 to 200 of 1000"));
    assert_eq!((view.nodes[0].name.as_str(), view.nodes[0].runs.as_str()), ("node-0099", "Worker ×10"));
    assert_eq!(View::new(&cluster, &status, "", "").nodes[0].word, "silent");
    assert_eq!((view.troubles.len(), view.glance.word.as_str()), (1, "1 silent node"));
    let picture = crate::http::pages::picture::draw(&view, &crate::http::pages::picture::arrange(&view));
    assert!(picture.len() < 4000, "{} bytes", picture.len());
}
