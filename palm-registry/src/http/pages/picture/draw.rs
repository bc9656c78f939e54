//! An arrangement as SVG. Colours are the style sheet's business.

use std::fmt::Write as _;

use super::layout::{Arrangement, HEAD, LINE, NODE, Place, SOCKETS, WIDTH};
use crate::http::pages::show;
use crate::http::pages::tone::Tone;
use crate::http::pages::view::{Card, Group, Link, Mark, View, counted};

/// Letters of a text that have room, of a name, of one beside a rate, and of a node's.
const LETTERS: usize = 30;
const NAME: usize = 24;
const NAME_BESIDE_RATE: usize = 15;
const LABEL: usize = 16;
/// Letters of what the copies do, which is bold.
const SUMMARY: usize = 25;

/// Draws a cluster. What it shows is also in the table below it, and so it has a name and no more for who cannot see it.
pub(in crate::http::pages) fn draw(view: &View, arrangement: &Arrangement) -> String {
    let Arrangement { places, width, height } = arrangement;
    let mut svg = format!(
        "<svg class=\"picture\" role=\"img\" aria-label=\"The cluster's components and how they are connected; the table below says the \
         same\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">"
    );
    for (index, link) in view.links.iter().enumerate() {
        // Lines into one component end below each other.
        let same = |other: &&Link| other.to == link.to;
        let count = view.links.iter().filter(same).count();
        let nth = view.links.iter().take(index).filter(same).count();
        if let (Some(from), Some(to)) = (places.get(link.from), places.get(link.to)) {
            line(&mut svg, link, (from, to), &arrangement.passes(from, to), (nth, count));
        }
    }
    for (card, place) in view.cards.iter().zip(places) {
        component(&mut svg, card, place);
    }
    svg.push_str("</svg>");
    svg
}

fn line(
    svg: &mut String,
    link: &Link,
    (from, to): (&Place, &Place),
    passes: &[(i32, i32)],
    (nth, count): (usize, usize),
) {
    let part = |height: i32| height * (i32::try_from(nth).unwrap_or(0) + 1) / (i32::try_from(count).unwrap_or(1) + 1);
    let (x1, y1) = (from.x + WIDTH, from.y + from.height / 2);
    let (x2, y2) = (to.x, to.y + part(to.height));
    let kind = if link.sockets.is_empty() { "line after" } else { "line" };
    let _ = write!(svg, "<path class=\"{kind}\" d=\"M{x1} {y1}");
    let (mut x, mut y) = (x1, y1);
    let mut curve = |svg: &mut String, (to_x, to_y): (i32, i32), ahead: i32| {
        let bend = ((to_x - x).abs() / 2).max(40);
        let _ = write!(svg, "C{} {y} {} {to_y} {to_x} {to_y}h{ahead}", x + bend, to_x - bend);
        (x, y) = (to_x + ahead, to_y);
    };
    for pass in passes {
        curve(svg, *pass, WIDTH);
    }
    curve(svg, (x2, y2), 0);
    let _ = write!(
        svg,
        "\"/><circle class=\"end\" cx=\"{x1}\" cy=\"{y1}\" r=\"3\"/><path class=\"end\" d=\"M{x2} {y2}l-7 -4v8z\"/>"
    );
    if !link.sockets.is_empty() {
        let name = short(&link.sockets.iter().map(|name| format!("_{name}")).collect::<Vec<_>>().join(" "), 13);
        let _ = write!(svg, "<text class=\"socket\" x=\"{}\" y=\"{}\">{}</text>", x2 - 12, y2 - 6, escaped(&name));
    }
}

fn component(svg: &mut String, card: &Card, place: &Place) {
    let Place { x, y, height, .. } = *place;
    let name = if card.rate.is_empty() { NAME } else { NAME_BESIDE_RATE };
    let _ = write!(
        svg,
        "<g class=\"card {}\" transform=\"translate({x} {y})\"><title>{}: {}</title><rect class=\"box\" width=\"{WIDTH}\" \
         height=\"{height}\" rx=\"8\"/><rect class=\"edge\" width=\"4\" height=\"{height}\" rx=\"2\"/>\
         <text class=\"name\" x=\"16\" y=\"22\">{}</text><text class=\"role\" x=\"16\" y=\"38\">{}</text>",
        card.tone().class(),
        escaped(&card.name),
        escaped(&card.summary()),
        escaped(&short(&card.name, name)),
        escaped(&short(&role(card), LETTERS)),
    );
    if !card.rate.is_empty() {
        let _ = write!(svg, "<text class=\"rate\" x=\"{}\" y=\"22\">{}</text>", WIDTH - 12, escaped(&card.rate));
    }
    let mut baseline = HEAD + 12;
    let _ = write!(
        svg,
        "<text class=\"summary\" x=\"16\" y=\"{baseline}\">{}</text>",
        escaped(&short(&card.summary(), SUMMARY))
    );
    let mut top = HEAD + LINE + 2;
    for group in &card.groups {
        node(svg, group, top);
        top += NODE;
    }
    baseline = top + 14;
    let mut text = |text: &str| {
        let _ =
            write!(svg, "<text class=\"address\" x=\"16\" y=\"{baseline}\">{}</text>", escaped(&short(text, LETTERS)));
        baseline += LINE;
    };
    for socket in card.bound.iter().take(SOCKETS) {
        let address =
            if socket.address.is_empty() { "no address yet" } else { socket.address.trim_start_matches("tcp://") };
        text(&format!("_{} {address}", socket.name));
    }
    if card.bound.len() > SOCKETS {
        text(&format!("and {} sockets more", card.bound.len() - SOCKETS));
    }
    svg.push_str("</g>");
}

/// A node with the copies that it has: few each by itself, many as numbers.
fn node(svg: &mut String, group: &Group, top: i32) {
    let (label, class) = match group {
        Group { rest: 1.., .. } => (counted(group.rest, "more node"), "node rest"),
        Group { node, .. } if node.is_empty() => ("no place".to_owned(), "node rest"),
        Group { is_silent: true, node, .. } => (format!("▲ {node}"), "node silent"),
        Group { node, .. } => (node.clone(), "node"),
    };
    let (width, middle) = (WIDTH - 28, (NODE - 4) / 2);
    let count =
        |(tone, count): &(Tone, usize)| (tone.class(), format!("{} {}", tone.glyph(), show::count(*count as u64)));
    let counts: Vec<_> = if group.marks.is_empty() { group.counts.iter().map(count).collect() } else { Vec::new() };
    // What is at the right takes room from the name, which is shown whole when somebody points at it.
    let taken = group.marks.len() * 2 + counts.iter().map(|(_, text)| text.chars().count() + 2).sum::<usize>();
    let letters = (LABEL + 11).saturating_sub(taken).clamp(4, LABEL);
    let _ = write!(
        svg,
        "<g class=\"{class}\" transform=\"translate(16 {top})\"><title>{}: {}{}</title><rect width=\"{width}\" height=\"{}\" rx=\"4\"/>\
         <text class=\"place\" x=\"8\" y=\"14\">{}</text>",
        escaped(&label),
        counted(group.copies(), "copy"),
        if group.is_silent { "; the node is silent" } else { "" },
        NODE - 4,
        escaped(&short(&label, letters)),
    );
    for (index, one) in group.marks.iter().rev().enumerate() {
        mark(svg, one, width - 13 - i32::try_from(index).unwrap_or(0) * 16, middle);
    }
    if !counts.is_empty() {
        let _ = write!(svg, "<text class=\"counts\" x=\"{}\" y=\"14\">", width - 8);
        for (index, (class, text)) in counts.iter().enumerate() {
            let apart = if index > 0 { " dx=\"6\"" } else { "" };
            let _ = write!(svg, "<tspan class=\"{class}\"{apart}>{text}</tspan>");
        }
        svg.push_str("</text>");
    }
    svg.push_str("</g>");
}

fn role(card: &Card) -> String {
    let copies = counted(card.copies, "copy");
    if card.role.is_empty() { copies } else { format!("{copies} · {}", card.role) }
}

/// A copy; shapes differ, so that it does not take colours to tell them.
fn mark(svg: &mut String, mark: &Mark, x: i32, y: i32) {
    let shape = match mark.tone {
        Tone::Good => "<circle r=\"5\"/>",
        Tone::Busy => "<circle class=\"hollow\" r=\"5\"/><path d=\"M0 -5a5 5 0 0 0 0 10z\"/>",
        Tone::Bad => "<path d=\"M0 -6L6 5H-6z\"/>",
        Tone::Off => "<rect x=\"-4.5\" y=\"-4.5\" width=\"9\" height=\"9\"/>",
        Tone::Lacks => "<circle class=\"hollow\" r=\"5\"/>",
        Tone::Unknown => "<path class=\"hollow\" d=\"M0 -6L6 0L0 6L-6 0z\"/>",
    };
    let _ = write!(
        svg,
        "<g class=\"mark {}\" transform=\"translate({x} {y})\"><title>{}</title>{shape}</g>",
        mark.tone.class(),
        escaped(&mark.title)
    );
}

fn short(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let begin: String = text.chars().take(letters - 1).collect();
    format!("{begin}…")
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, letter| {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
        escaped
    })
}
