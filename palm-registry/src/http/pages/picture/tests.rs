use super::layout::WIDTH;
use super::{arrange, draw};
use crate::http::pages::paging::Pages;
use crate::http::pages::tone::Tone;
use crate::http::pages::view::{Bound, Card, Counted, Glance, Group, Link, Mark, View};

fn card(name: &str, copies: usize, sockets: &[&str]) -> Card {
    let bound = |name: &&str| Bound { name: (*name).to_owned(), address: "tcp://127.0.0.1:5555".to_owned() };
    let marks = if copies > 6 { 0 } else { copies };
    let group = Group {
        node: "n1".to_owned(),
        marks: (0..marks).map(|number| Mark { tone: Tone::Good, title: format!("copy {number}") }).collect(),
        counts: vec![(Tone::Good, copies)],
        ..Group::default()
    };
    Card {
        name: name.to_owned(),
        role: String::new(),
        stopped: false,
        copies,
        counts: vec![Counted { word: "ready", tone: Tone::Good, count: copies }],
        groups: vec![group],
        nodes: "n1".to_owned(),
        bound: sockets.iter().map(bound).collect(),
        cpu: String::new(),
        memory: String::new(),
        messages: String::new(),
        rate: String::new(),
    }
}

fn view(cards: Vec<Card>, links: &[(usize, usize)]) -> View {
    let link = |(from, to): &(usize, usize)| Link { from: *from, to: *to, sockets: vec!["1".to_owned()] };
    let glance = Glance {
        word: String::new(),
        tone: Tone::Good,
        running: 0,
        wanted: 0,
        nodes: 0,
        silent: 0,
        missing: Vec::new(),
    };
    View {
        glance,
        card_pages: Pages::new("", cards.len(), String::new()),
        cards,
        links: links.iter().map(link).collect(),
        nodes: Vec::new(),
        node_pages: Pages::new("", 0, String::new()),
        troubles: Vec::new(),
    }
}

#[test]
fn who_connects_is_right_of_who_binds() {
    let cards = vec![card("Launcher", 1, &[]), card("Master", 1, &["1", "2"]), card("Worker", 3, &[])];
    let arrangement = arrange(&view(cards, &[(1, 2), (1, 0), (2, 0)]));
    let layers: Vec<_> = arrangement.places.iter().map(|place| place.layer).collect();
    assert_eq!(layers, [2, 0, 1]);
    assert!(arrangement.places[1].x + WIDTH < arrangement.places[2].x);
}

#[test]
fn nothing_lies_on_anything_else_and_all_of_it_is_inside() {
    let cards: Vec<_> = (0..12).map(|index| card(&format!("c{index}"), index * 40, &["a", "b"])).collect();
    let links: Vec<_> = (1..12).map(|index| ((index - 1) / 2, index)).collect();
    let arrangement = arrange(&view(cards, &links));
    let places = &arrangement.places;
    for (index, one) in places.iter().enumerate() {
        assert!(one.x >= 0 && one.x + WIDTH <= arrangement.width, "{one:?}");
        assert!(one.y >= 0 && one.y + one.height <= arrangement.height, "{one:?}");
        for other in places.iter().skip(index + 1) {
            let apart = one.x != other.x || one.y + one.height < other.y || other.y + other.height < one.y;
            assert!(apart, "{one:?} {other:?}");
        }
    }
}

#[test]
fn lines_pass_beside_what_they_do_not_lead_to() {
    let cards = vec![card("Master", 1, &["1"]), card("a", 1, &[]), card("b", 1, &[]), card("Probe", 1, &[])];
    let arrangement = arrange(&view(cards, &[(0, 1), (0, 2), (1, 3), (0, 3)]));
    let [from, a, b, to] = arrangement.places[..] else { panic!("four places") };
    let passes = arrangement.passes(&from, &to);
    assert_eq!(passes.len(), 1);
    for (place, (x, y)) in [a, b].iter().zip([passes[0]; 2]) {
        assert!(x == place.x && (y < place.y || y > place.y + place.height), "{place:?} {y}");
    }
    assert_eq!(arrangement.passes(&from, &a), []);
}

#[test]
fn circles_and_nothing_at_all_are_drawn_too() {
    let circle = view(vec![card("a", 1, &["1"]), card("b", 1, &["2"])], &[(0, 1), (1, 0)]);
    let svg = draw(&circle, &arrange(&circle));
    assert_eq!(svg.matches("class=\"card").count(), 2);
    let empty = view(Vec::new(), &[]);
    assert!(draw(&empty, &arrange(&empty)).ends_with("</svg>"));
}

#[test]
fn names_are_not_markup_and_many_copies_are_counted() {
    let mut crowd = card("<script>&\"", 5000, &["1"]);
    crowd.rate = "25,000/s".to_owned();
    crowd.groups.push(Group { node: "n2".to_owned(), is_silent: true, ..card("", 3, &[]).groups.remove(0) });
    crowd.groups.push(Group { rest: 35, ..card("", 40, &[]).groups.remove(0) });
    let view = view(vec![crowd], &[]);
    let svg = draw(&view, &arrange(&view));
    assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;&amp;&quot;"));
    assert_eq!(svg.matches("class=\"mark").count(), 3);
    for part in ["5,000 ready", "● 5,000", "_1 127.0.0.1:5555", ">n1<", "▲ n2", "35 more nodes", "● 40", "25,000/s"]
    {
        assert!(svg.contains(part), "{part}: {svg}");
    }
}
