//! Sessions of users at a browser, codes for the first admin, and log-ins that were tried.

use sqlx::Row as _;

use super::users::{number, user};
use super::{Store, StoreError, User, now, secret};

impl Store {
    /// Begins a session that ends at an instant, and forgets those that are over. What is returned is the cookie: it is not stored.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin_session(&self, user: &User, expires: i64) -> Result<String, StoreError> {
        let cookie = secret::secret();
        sqlx::query("DELETE FROM sessions WHERE expires <= $1").bind(now()).execute(&self.pool).await?;
        sqlx::query("INSERT INTO sessions (hash, user_id, created, expires) VALUES ($1, $2, $3, $4)")
            .bind(secret::hash(&cookie))
            .bind(user.id)
            .bind(now())
            .bind(expires)
            .execute(&self.pool)
            .await?;
        Ok(cookie)
    }

    /// Whose session it is; `None` if there is none or it is over.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn session(&self, cookie: &str) -> Result<Option<User>, StoreError> {
        let statement = "SELECT users.id, users.name, users.is_admin FROM sessions \
                         JOIN users ON users.id = sessions.user_id WHERE hash = $1 AND expires > $2";
        let found = sqlx::query(statement).bind(secret::hash(cookie)).bind(now());
        found.fetch_optional(&self.read).await?.map(|row| user(&row)).transpose()
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_session(&self, cookie: &str) -> Result<(), StoreError> {
        let ended = sqlx::query("DELETE FROM sessions WHERE hash = $1").bind(secret::hash(cookie));
        ended.execute(&self.pool).await?;
        Ok(())
    }

    /// Makes a code by which the first admin can be made until an instant; earlier ones are void.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_setup_code(&self, expires: i64) -> Result<String, StoreError> {
        let code = secret::secret();
        let mut transaction = self.pool.begin().await?;
        sqlx::query("DELETE FROM setup_codes").execute(&mut *transaction).await?;
        let added = sqlx::query("INSERT INTO setup_codes (hash, expires) VALUES ($1, $2)");
        added.bind(secret::hash(&code)).bind(expires).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(code)
    }

    /// Whether a code would be taken now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn is_setup_code(&self, code: &str) -> Result<bool, StoreError> {
        let found = sqlx::query("SELECT 1 FROM setup_codes WHERE hash = $1 AND expires > $2");
        Ok(found.bind(secret::hash(code)).bind(now()).fetch_optional(&self.read).await?.is_some())
    }

    /// Makes the first admin. `None`, and nothing has changed: the code is not valid, or there is a user already.
    ///
    /// # Errors
    /// If the store fails; then the code is as good as before.
    pub async fn use_setup_code(&self, code: &str, name: &str, password: &str) -> Result<Option<User>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let used = sqlx::query("DELETE FROM setup_codes WHERE hash = $1 AND expires > $2");
        let used = used.bind(secret::hash(code)).bind(now()).execute(&mut *transaction).await?;
        if used.rows_affected() == 0 {
            return Ok(None);
        }
        let added = sqlx::query(
            "INSERT INTO users (name, is_admin, created, password) SELECT $1, 1, $2, $3 \
             WHERE NOT EXISTS (SELECT 1 FROM users) RETURNING id",
        );
        let added = added.bind(name).bind(now()).bind(password).fetch_optional(&mut *transaction).await?;
        let Some(row) = added else { return Ok(None) };
        let user = User { id: row.try_get(0)?, name: name.to_owned(), is_admin: true };
        transaction.commit().await?;
        Ok(Some(user))
    }

    /// Notes that somebody tries to log in. Returns how many have tried for this subject since an instant, this one included, and
    /// when the first of them did.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_attempt(&self, subject: &str, since: i64) -> Result<(i64, i64), StoreError> {
        sqlx::query("DELETE FROM attempts WHERE at <= $1").bind(since).execute(&self.pool).await?;
        let added = sqlx::query("INSERT INTO attempts (subject, at) VALUES ($1, $2)").bind(subject).bind(now());
        added.execute(&self.pool).await?;
        let counted = sqlx::query("SELECT COUNT(*), MIN(at) FROM attempts WHERE subject = $1 AND at > $2");
        let row = counted.bind(subject).bind(since).fetch_one(&self.read).await?;
        Ok((number(&row, 0)?, row.try_get::<Option<i64>, _>(1)?.unwrap_or(since)))
    }

    /// Takes the last attempt of a subject back: it was none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn take_attempt_back(&self, subject: &str) -> Result<(), StoreError> {
        let deleted = sqlx::query(
            "DELETE FROM attempts WHERE id = (SELECT id FROM attempts WHERE subject = $1 ORDER BY id DESC LIMIT 1)",
        );
        deleted.bind(subject).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets a subject's attempts: one has succeeded.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn forget_attempts(&self, subject: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM attempts WHERE subject = $1").bind(subject).execute(&self.pool).await?;
        Ok(())
    }
}
