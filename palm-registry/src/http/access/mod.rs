//! Who asks, and what they may do (`docs/registry.md`, section 7).
//!
//! - [`Caller`]: who asks, by a session's cookie or `Authorization: Bearer`. A handler that takes one is never called without.
//! - [`permission`]: who may do what on which cluster, as a table.
//! - [`SignedForm`]: a form of a page, which only that page can have sent.
//! - [`log_in`], [`log_out`], [`set_password`], [`first_admin`]: what pages and the API do alike.
//! - `guard`: hosts, origins and headers, before and after every request.

mod audit;
mod caller;
mod form;
mod guard;
mod login;
mod node;
mod password;
mod peer;
pub mod permission;
mod python;
mod session;
mod setup;

pub use audit::record;
pub(super) use audit::record_of;
pub use caller::{Caller, ClusterFor, Credential, MANAGE, OPERATE, SEE};
pub use form::SignedForm;
pub(super) use guard::guard;
pub use login::{change_password, log_in, log_out, set_password};
pub(super) use node::cluster_of;
pub use password::{check_name, check_password};
pub use peer::Peer;
pub(super) use python::answers_python;
pub use session::{cookie_name, csrf_token, expired_cookie, session_cookie};
pub use setup::{first_admin, setup_link};
