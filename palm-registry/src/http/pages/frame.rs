//! What all pages have around them.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use serde::Deserialize;

use super::assets;
use crate::http::access::Caller;
use crate::http::access::permission::General;
use crate::http::problem::Problem;

/// What surrounds a page.
pub(super) struct Frame {
    /// What it is called.
    pub(super) title: String,
    /// Which entry of the menu it belongs to.
    pub(super) here: &'static str,
    /// Who sees it; empty: nobody who is known.
    pub(super) user: String,
    /// Whether it is an admin.
    pub(super) is_admin: bool,
    /// What its forms have to carry.
    pub(super) csrf: String,
    /// What was done before.
    pub(super) notice: &'static str,
    /// What could not be done.
    pub(super) trouble: String,
}

impl Frame {
    /// For who is logged in.
    pub(super) fn new(caller: &Caller, here: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            here,
            user: caller.user.name.clone(),
            is_admin: caller.check(General::Administer).is_ok(),
            csrf: caller.csrf().unwrap_or_default(),
            notice: "",
            trouble: String::new(),
        }
    }

    /// For who is not.
    pub(super) fn of_nobody(title: impl Into<String>) -> Self {
        let (title, trouble) = (title.into(), String::new());
        Self { title, here: "", user: String::new(), is_admin: false, csrf: String::new(), notice: "", trouble }
    }

    /// Says what was done before.
    pub(super) fn after(self, done: &Done) -> Self {
        Self { notice: done.text(), ..self }
    }

    /// Says what could not be done.
    pub(super) fn troubled(self, problem: &Problem) -> Self {
        Self { trouble: problem.message.clone(), ..self }
    }

    /// Where a file of the pages is.
    pub(super) fn asset(&self, name: &str) -> &'static str {
        assets::url(name)
    }
}

/// What was done before a page is shown, as a word in its address: nobody can have a page say something else by a link.
#[derive(Default, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

/// The words, and what they say.
const NOTICES: [(&str, &str); 21] = [
    ("made", "The cluster is made. Its nodes need its key: see Settings."),
    ("saved", "The file is saved. What is still in it stays where it is."),
    ("restored", "The version is put back: it is the newest now."),
    ("start", "Started: the nodes take it up within a second."),
    ("stop", "Stopped: the nodes end it within a second, or when its grace is over."),
    ("restart", "Restarted: new processes take the place of the old ones."),
    ("scale", "Scaled."),
    ("reset", "Reset: nodes that ask again are given their places anew."),
    ("remove-node", "The node is removed: what it ran waits for another place."),
    ("deleted", "The cluster is deleted, with all that was kept of it."),
    ("settings", "The settings are saved."),
    ("new-key", "The cluster has another key: show it, and start its runners with that."),
    ("shared", "The cluster is shared."),
    ("unshared", "The cluster is shared with this user no more."),
    ("revoked", "The token is revoked: nobody gets in by it any more."),
    ("user-added", "The user is added."),
    ("user-changed", "The user is changed."),
    ("user-deleted", "The user is deleted, with all that was its own."),
    ("password", "The password is set: log in with it."),
    ("logged-out", "You are logged out."),
    ("welcome", "You are the first admin. Make a cluster, or add users."),
];

impl Done {
    fn text(&self) -> &'static str {
        NOTICES.iter().find(|(word, _)| *word == self.done).map_or("", |(_, text)| text)
    }
}

/// A page as an answer.
pub(super) fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

/// A page as an answer with a status.
pub(super) fn page_with(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!("a page cannot be made: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
