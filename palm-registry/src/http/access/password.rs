//! Passwords: Argon2id, on threads of their own.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use axum::http::StatusCode;

use crate::http::app::App;
use crate::http::connections::whose;
use crate::http::problem::Problem;
use crate::work::Undone;

/// Characters that a password has at least.
const LENGTH_MIN: usize = 10;
/// Bytes that it has at most.
const LENGTH_MAX: usize = 1024;
/// Characters that a user's name has at most.
const NAME_MAX: usize = 64;

/// What is compared with if there is no user of a name, so that it takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$WVsYRB4pF+4f4n9iBhyTDmbe6NPcNJJ6t5fGGpbiBWk";

/// Whether a password can be set.
///
/// # Errors
/// If it cannot: why.
pub fn check_password(password: &str) -> Result<(), Problem> {
    if password.chars().count() < LENGTH_MIN || password.len() > LENGTH_MAX {
        return Err(Problem::invalid(format!(
            "expected a password of {LENGTH_MIN} characters or more, and {LENGTH_MAX} bytes at most"
        )));
    }
    Ok(())
}

/// Whether a user can have a name.
///
/// # Errors
/// If it cannot: why.
pub fn check_name(name: &str) -> Result<(), Problem> {
    let allowed = |c: char| c.is_alphanumeric() || "._-@+".contains(c);
    if name.is_empty() || name.chars().count() > NAME_MAX || !name.chars().all(allowed) || name.starts_with('.') {
        return Err(Problem::invalid(format!(
            "expected a name of at most {NAME_MAX} letters, digits, or any of `-_@+.`, the last not at its beginning"
        )));
    }
    Ok(())
}

/// By what a password is known from now on.
///
/// # Errors
/// If it cannot be a password.
pub(super) async fn hashed(app: &App, password: &str) -> Result<String, Problem> {
    check_password(password)?;
    let password = password.to_owned();
    slowly(app, move || Argon2::default().hash_password(password.as_bytes()).ok().map(|hash| hash.to_string()))
        .await?
        .ok_or_else(failed)
}

/// Whether it is the password that is known by this. Takes as long if nothing is.
///
/// # Errors
/// If the machine cannot say.
pub(super) async fn is_right(app: &App, password: &str, hash: Option<String>) -> Result<bool, Problem> {
    if password.len() > LENGTH_MAX {
        return Ok(false);
    }
    let (password, is_somebody) = (password.to_owned(), hash.is_some());
    let right = slowly(app, move || {
        let hash = PasswordHash::new(hash.as_deref().unwrap_or(NOBODY)).ok()?;
        Some(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    Ok(right.await?.ok_or_else(failed)? && is_somebody)
}

/// Does something that takes long, when it is the turn of who asks.
async fn slowly<T: Send + 'static>(app: &App, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    app.hashing.run(&whose(), work).await.map_err(|undone| match undone {
        Undone::Busy => Problem::busy("too many passwords are being checked at the same time: try again"),
        Undone::Failed => failed(),
    })
}

fn failed() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the password cannot be checked at the moment: try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_checked_like_somebody() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let somebody = Argon2::default().hash_password(b"a password").unwrap();
        let costs = |hash: &PasswordHash| (hash.algorithm, hash.version, hash.params.to_string());
        assert_eq!(costs(&nobody), costs(&somebody));
        let wrong = Argon2::default().verify_password(b"nobody", &nobody);
        assert_eq!(wrong, Err(argon2::password_hash::Error::PasswordInvalid));
    }

    #[test]
    fn names_and_passwords_have_bounds() {
        for name in ["ann", "ann@example.org", "a.b-c_d+e", "Ännchen"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "a\nb", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_password("too short").is_err() && check_password(&"a".repeat(1025)).is_err());
        assert!(check_password("long enough").is_ok());
    }
}
