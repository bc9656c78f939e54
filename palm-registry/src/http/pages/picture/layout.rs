//! Where everything is.

use crate::http::pages::view::View;

/// Width of a component.
pub(super) const WIDTH: i32 = 232;
/// Room between layers, for lines and their names.
const ACROSS: i32 = 112;
/// Room between components of a layer.
const BETWEEN: i32 = 20;
/// Room around everything.
const MARGIN: i32 = 16;
/// Height of a line of text.
pub(super) const LINE: i32 = 18;
/// Height of a node that has copies of a component.
pub(super) const NODE: i32 = 24;
/// Components that are drawn; of more a picture tells nobody anything.
const COMPONENTS: usize = 60;
/// Where what follows the heading of a component begins.
pub(super) const HEAD: i32 = 46;
/// Lines of sockets that a component shows.
pub(super) const SOCKETS: usize = 6;

/// Where a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::pages) struct Place {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) height: i32,
    pub(super) layer: usize,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http::pages) struct Arrangement {
    /// Of each component, in the view's order.
    pub(super) places: Vec<Place>,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// Whether a cluster is not too large to be drawn.
pub(in crate::http::pages) const fn can_draw(components: usize) -> bool {
    components <= COMPONENTS
}

/// Says where the components of a cluster are: each in the layer after the last that it is connected to, near to those.
pub(in crate::http::pages) fn arrange(view: &View) -> Arrangement {
    let layers = layers(view);
    let depth = layers.iter().max().map_or(0, |deepest| deepest + 1);
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (index, layer) in layers.iter().enumerate() {
        columns[*layer].push(index);
    }
    let heights: Vec<_> = view.cards.iter().map(|card| height(card.groups.len(), card.bound.len())).collect();
    let total = |column: &[usize]| {
        let rooms = i32::try_from(column.len().saturating_sub(1)).unwrap_or(0) * BETWEEN;
        column.iter().map(|index| heights[*index]).sum::<i32>() + rooms
    };
    let tallest = columns.iter().map(|column| total(column)).max().unwrap_or(0);
    let mut places = vec![Place { x: 0, y: 0, height: 0, layer: 0 }; view.cards.len()];
    for (layer, column) in columns.iter_mut().enumerate() {
        column.sort_by_key(|index| (middle_of_earlier(view, &layers, &places, *index), *index));
        let mut y = MARGIN + (tallest - total(column)) / 2;
        let x = MARGIN + i32::try_from(layer).unwrap_or(0) * (WIDTH + ACROSS);
        for index in column {
            let height = heights[*index];
            places[*index] = Place { x, y, height, layer };
            y += height + BETWEEN;
        }
    }
    let depth = i32::try_from(depth).unwrap_or(0);
    let width = 2 * MARGIN + depth * WIDTH + (depth - 1).max(0) * ACROSS;
    Arrangement { places, width, height: tallest + 2 * MARGIN }
}

impl Arrangement {
    /// Where a line from one component to another passes the layers between them: beside what is there, as near to the straight way as
    /// that can be.
    pub(super) fn passes(&self, from: &Place, to: &Place) -> Vec<(i32, i32)> {
        let (begin, end) = (from.y + from.height / 2, to.y + to.height / 2);
        let (first, last) = (from.layer.saturating_add(1), to.layer);
        let steps = i32::try_from(last.saturating_sub(from.layer)).unwrap_or(1).max(1);
        let pass = |layer: usize| {
            let step = i32::try_from(layer - from.layer).unwrap_or(0);
            let straight = begin + (end - begin) * step / steps;
            let mut column: Vec<_> = self.places.iter().filter(|place| place.layer == layer).collect();
            column.sort_by_key(|place| place.y);
            let x = column.first().map_or(0, |place| place.x);
            let above = column.first().map(|place| place.y - BETWEEN / 2);
            let below = column.iter().map(|place| place.y + place.height + BETWEEN / 2);
            let nearest = above.into_iter().chain(below).min_by_key(|y| (y - straight).abs());
            (x, nearest.unwrap_or(straight))
        };
        (first..last).map(pass).collect()
    }
}

/// The layer of each component. Lines that lead back, which there are once a cluster was changed, do not count.
fn layers(view: &View) -> Vec<usize> {
    let mut layers = vec![0; view.cards.len()];
    // Without a circle nothing changes after as many rounds as there are layers.
    for _ in 0..view.cards.len() {
        let before = layers.clone();
        for link in &view.links {
            let least = layers[link.from] + 1;
            if layers[link.to] < least && least < view.cards.len() {
                layers[link.to] = least;
            }
        }
        if layers == before {
            break;
        }
    }
    layers
}

fn middle_of_earlier(view: &View, layers: &[usize], places: &[Place], index: usize) -> i32 {
    let earlier = view.links.iter().filter(|link| link.to == index && layers[link.from] < layers[index]);
    let middles: Vec<_> = earlier.map(|link| places[link.from].y + places[link.from].height / 2).collect();
    let count = i32::try_from(middles.len()).unwrap_or(1).max(1);
    middles.iter().sum::<i32>() / count
}

fn height(nodes: usize, sockets: usize) -> i32 {
    let lines = i32::try_from(sockets.min(SOCKETS)).unwrap_or(0) + i32::from(sockets > SOCKETS);
    // What the copies do, the nodes that have them, and the sockets.
    HEAD + LINE + i32::try_from(nodes).unwrap_or(0) * NODE + lines * LINE + 10
}
