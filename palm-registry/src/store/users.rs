//! Users.

use sqlx::Row as _;

use super::{Store, StoreError, keys, now};

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

/// A user, as a list of them tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// Who it is.
    pub user: User,
    /// Since when, in microseconds since 1970.
    pub created: i64,
    /// Whether it can log in with a password.
    pub has_password: bool,
}

/// What becomes of a change of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// It is made.
    Done,
    /// It would leave nobody who can administer the registry.
    LastAdmin,
}

/// Holds if there is another admin than `$1`.
const ANOTHER_ADMIN: &str = "EXISTS (SELECT 1 FROM users AS other WHERE other.is_admin = 1 AND other.id <> $1)";

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
        found.bind(name).fetch_optional(&self.read).await?.map(|row| user(&row)).transpose()
    }

    /// All users, by name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn users(&self) -> Result<Vec<UserEntry>, StoreError> {
        let statement = "SELECT id, name, is_admin, created, CASE WHEN password IS NULL THEN 0 ELSE 1 END \
                         FROM users ORDER BY name";
        let rows = sqlx::query(statement).fetch_all(&self.read).await?;
        let entry = |row: &sqlx::any::AnyRow| {
            let has_password = number(row, 4)? != 0;
            Ok(UserEntry { user: user(row)?, created: row.try_get(3)?, has_password })
        };
        rows.iter().map(entry).collect()
    }

    /// Whether there is nobody yet.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_no_users(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(&self.read).await?.is_none())
    }

    /// A user of this name, and what its password is known by, if it has one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn password_of(&self, name: &str) -> Result<Option<(User, Option<String>)>, StoreError> {
        let found = sqlx::query("SELECT id, name, is_admin, password FROM users WHERE name = $1");
        let found = found.bind(name).fetch_optional(&self.read).await?;
        found.map(|row| Ok((user(&row)?, row.try_get(3)?))).transpose()
    }

    /// Sets what a user's password is known by, and ends all its sessions.
    ///
    /// # Errors
    /// If the store fails; then nothing has changed.
    pub async fn set_password(&self, user: i64, hash: &str) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let set = sqlx::query("UPDATE users SET password = $1 WHERE id = $2");
        set.bind(hash).bind(user).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Makes an admin of a user, or of an admin a user.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn set_admin(&self, user: &User, is_admin: bool) -> Result<UserChange, StoreError> {
        let statement = format!("UPDATE users SET is_admin = $2 WHERE id = $1 AND ($2 = 1 OR {ANOTHER_ADMIN})");
        let set = sqlx::query(&statement).bind(user.id).bind(i64::from(is_admin));
        let changed = set.execute(&self.pool).await?.rows_affected() > 0;
        Ok(if changed { UserChange::Done } else { UserChange::LastAdmin })
    }

    /// Deletes a user with its clusters, tokens and sessions.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete_user(&self, user: &User) -> Result<UserChange, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let clusters = "DELETE FROM clusters WHERE owner = $1 RETURNING secret, id, owner";
        let clusters = sqlx::query(clusters).bind(user.id).fetch_all(&mut *transaction).await?;
        keys::retire_deleted(&mut transaction, &clusters).await?;
        let statement = format!("DELETE FROM users WHERE id = $1 AND {ANOTHER_ADMIN}");
        if sqlx::query(&statement).bind(user.id).execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(UserChange::LastAdmin);
        }
        transaction.commit().await?;
        Ok(UserChange::Done)
    }
}

pub(super) fn user(row: &sqlx::any::AnyRow) -> Result<User, StoreError> {
    Ok(User { id: row.try_get(0)?, name: row.try_get(1)?, is_admin: number(row, 2)? != 0 })
}

/// A number of whichever width: PostgreSQL makes a literal or a count another than a column.
pub(super) fn number(row: &sqlx::any::AnyRow, column: usize) -> Result<i64, StoreError> {
    Ok(match row.try_get::<i64, _>(column) {
        Ok(number) => number,
        Err(_) => i64::from(row.try_get::<i32, _>(column)?),
    })
}
