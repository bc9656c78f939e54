//! Users and their tokens.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use uuid::Uuid;

use super::{Store, StoreError, now};

/// Somebody who has clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The store's number for it.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub is_admin: bool,
}

impl Store {
    /// Adds a user, or finds that the name is taken: then `None`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_user(&self, name: &str, is_admin: bool) -> Result<Option<User>, StoreError> {
        let added = sqlx::query(
            "INSERT INTO users (name, is_admin, created) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING RETURNING id",
        )
        .bind(name)
        .bind(i64::from(is_admin))
        .bind(now())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = added else { return Ok(None) };
        Ok(Some(User { id: row.try_get(0)?, name: name.to_owned(), is_admin }))
    }

    /// A user by its name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let found = sqlx::query("SELECT id, name, is_admin FROM users WHERE name = $1");
        found.bind(name).fetch_optional(&self.pool).await?.map(|row| user(&row)).transpose()
    }

    /// Makes a token for a user, with 244 random bits. It is not stored, and cannot be seen again.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_token(&self, user: &User) -> Result<String, StoreError> {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        sqlx::query("INSERT INTO tokens (hash, user_id, created) VALUES ($1, $2, $3)")
            .bind(hash(&token))
            .bind(user.id)
            .bind(now())
            .execute(&self.pool)
            .await?;
        Ok(token)
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn user_of_token(&self, token: &str) -> Result<Option<User>, StoreError> {
        let found = sqlx::query(
            "SELECT users.id, users.name, users.is_admin FROM tokens JOIN users ON users.id = tokens.user_id WHERE hash = $1",
        );
        found.bind(hash(token)).fetch_optional(&self.pool).await?.map(|row| user(&row)).transpose()
    }
}

fn user(row: &sqlx::any::AnyRow) -> Result<User, StoreError> {
    let is_admin: i64 = row.try_get(2)?;
    Ok(User { id: row.try_get(0)?, name: row.try_get(1)?, is_admin: is_admin != 0 })
}

/// As a token is random, one round is enough; and as it is looked up by it, no time tells anything of the token.
fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
