//! Tokens, by which programs are known.

use sqlx::Row as _;

use super::users::user;
use super::{Store, StoreError, User, now, secret};
use crate::api::account::Scope;

/// A token, without itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is revoked by: the beginning of its hash.
    pub id: String,
    /// What its user calls it.
    pub name: String,
    /// What it may do at most.
    pub scope: Scope,
    /// Since when, in microseconds since 1970.
    pub created: i64,
    /// Until when; `None`: for ever.
    pub expires: Option<i64>,
}

/// Digits of a token's hash by which it is revoked.
const ID_DIGITS: i64 = 16;

impl Store {
    /// Makes a token for a user that may do all that the user may. It is not stored, and cannot be seen again.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_token(&self, user: &User) -> Result<String, StoreError> {
        Ok(self.add_token_with(user, "", Scope::Admin, None).await?.0)
    }

    /// Makes a token for a user. It is not stored, and cannot be seen again.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_token_with(
        &self,
        user: &User,
        name: &str,
        scope: Scope,
        expires: Option<i64>,
    ) -> Result<(String, Token), StoreError> {
        let (token, created) = (secret::secret(), now());
        let hash = secret::hash(&token);
        let statement =
            "INSERT INTO tokens (hash, user_id, created, name, scope, expires) VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(statement)
            .bind(&hash)
            .bind(user.id)
            .bind(created)
            .bind(name)
            .bind(scope.name())
            .bind(expires)
            .execute(&self.pool)
            .await?;
        let id = hash.get(..ID_DIGITS as usize).unwrap_or_default().to_owned();
        Ok((token, Token { id, name: name.to_owned(), scope, created, expires }))
    }

    /// Whose token it is, and what it may do; `None` if there is none or it has expired.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn token(&self, token: &str) -> Result<Option<(User, Scope)>, StoreError> {
        let statement = "SELECT users.id, users.name, users.is_admin, tokens.scope FROM tokens \
                         JOIN users ON users.id = tokens.user_id \
                         WHERE hash = $1 AND (tokens.expires IS NULL OR tokens.expires > $2)";
        let found = sqlx::query(statement).bind(secret::hash(token)).bind(now()).fetch_optional(&self.read).await?;
        found.map(|row| Ok((user(&row)?, scope(&row, 3)?))).transpose()
    }

    /// Who may change clusters by this token, as Python's clients do. Of an admin it is one only if the token is, too.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn user_of_token(&self, token: &str) -> Result<Option<User>, StoreError> {
        Ok(self.token(token).await?.and_then(|(user, scope)| match scope {
            Scope::Admin => Some(user),
            Scope::Owner => Some(User { is_admin: false, ..user }),
            Scope::Runner | Scope::Read => None,
        }))
    }

    /// A user's tokens, the oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tokens_of(&self, user: i64) -> Result<Vec<Token>, StoreError> {
        let statement = "SELECT substr(hash, 1, 16), name, scope, created, expires FROM tokens WHERE user_id = $1 \
                         ORDER BY created, hash";
        let rows = sqlx::query(statement).bind(user).fetch_all(&self.read).await?;
        let token = |row: &sqlx::any::AnyRow| {
            Ok(Token {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                scope: scope(row, 2)?,
                created: row.try_get(3)?,
                expires: row.try_get(4)?,
            })
        };
        rows.iter().map(token).collect()
    }

    /// Revokes a token of a user. Whether it was there.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revoke_token(&self, user: i64, id: &str) -> Result<bool, StoreError> {
        let revoked = sqlx::query("DELETE FROM tokens WHERE user_id = $1 AND substr(hash, 1, 16) = $2");
        Ok(revoked.bind(user).bind(id).execute(&self.pool).await?.rows_affected() > 0)
    }
}

fn scope(row: &sqlx::any::AnyRow, column: usize) -> Result<Scope, StoreError> {
    let name: &str = row.try_get(column)?;
    Scope::from_name(name).ok_or_else(|| StoreError::Corrupt(format!("a token's scope, {name}")))
}
