//! What is kept for an account besides its mail: documents, and uploads that are under way.

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use rmail_proto::UnixTime;

use super::{
    account::AccountDatabase,
    batch::Batch,
    database::{from_sql, to_sql},
};
use crate::{AccountWritten, StoreError, Upload, UploadWrite, limits, store::Result};

impl AccountDatabase {
    pub(super) fn document(&mut self, name: &str) -> Result<Option<String>> {
        let mut statement = self
            .database
            .connection()
            .prepare_cached("SELECT value FROM documents WHERE name = ?1")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }

    pub(super) fn upload(&mut self, now: UnixTime, key: &[u8; 32]) -> Result<Option<Upload>> {
        let mut statement = self.database.connection().prepare_cached(
            "SELECT document, received, expires_at FROM uploads WHERE key = ?1 AND expires_at > ?2",
        )?;
        let found = statement.query_row(params![key, now.0], |row| {
            Ok(Upload {
                document: row.get(0)?,
                received: from_sql(row.get(1)?),
                expires_at: UnixTime(row.get(2)?),
            })
        });
        Ok(found.optional()?)
    }

    pub(super) fn upload_content(&mut self, key: &[u8; 32]) -> Result<Bytes> {
        let transaction = self.database.read()?;
        let received: Option<i64> = transaction
            .prepare_cached("SELECT received FROM uploads WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        let received = received.ok_or(StoreError::NoSuchUpload)?;
        let mut content = Vec::with_capacity(usize::try_from(received).unwrap_or(0));
        let mut statement = transaction
            .prepare_cached("SELECT bytes FROM upload_pieces WHERE key = ?1 ORDER BY start")?;
        let mut rows = statement.query([key])?;
        while let Some(row) = rows.next()? {
            content.extend_from_slice(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
        }
        Ok(content.into())
    }

    pub(super) fn uploads(&mut self, now: UnixTime) -> Result<(u64, u64)> {
        let mut statement = self.database.connection().prepare_cached(
            "SELECT count(*), coalesce(sum(received), 0) FROM uploads u WHERE expires_at > ?1 \
             AND (received = 0 OR EXISTS (SELECT 1 FROM upload_pieces p WHERE p.key = u.key))",
        )?;
        let found = statement.query_row([now.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((from_sql(found.0), from_sql(found.1)))
    }
}

impl Batch<'_> {
    pub(super) fn set_document(
        &mut self,
        name: &str,
        value: Option<&str>,
    ) -> Result<AccountWritten> {
        match value {
            Some(value) if value.len() > limits::DOCUMENT_BYTES => {
                return Err(StoreError::TooMany("bytes in the document"));
            }
            Some(value) => self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO documents VALUES (?1, ?2)")?
                .execute([name, value])?,
            None => self
                .connection
                .prepare_cached("DELETE FROM documents WHERE name = ?1")?
                .execute([name])?,
        };
        Ok(AccountWritten::Done)
    }

    pub(super) fn swap_document(
        &mut self,
        name: &str,
        old: Option<&str>,
        new: &str,
    ) -> Result<AccountWritten> {
        let present: Option<String> = self
            .connection
            .prepare_cached("SELECT value FROM documents WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        match present.as_deref() == old {
            true => self.set_document(name, Some(new)),
            false => Err(StoreError::ChangedSince),
        }
    }

    pub(super) fn write_upload(&mut self, write: &UploadWrite) -> Result<AccountWritten> {
        match write {
            UploadWrite::Put {
                key,
                document,
                expires_at,
            } => {
                self.drop_expired_uploads()?;
                self.connection
                    .prepare_cached(
                        "INSERT INTO uploads VALUES (?1, ?2, 0, ?3) ON CONFLICT (key) \
                         DO UPDATE SET document = ?2, expires_at = ?3",
                    )?
                    .execute(params![key, document, expires_at.0])?;
            }
            UploadWrite::Append { key, start, bytes } => self.append(key, *start, bytes)?,
            UploadWrite::Empty { key } => self.drop_pieces(key)?,
            UploadWrite::Drop { key } => {
                self.drop_pieces(key)?;
                self.connection
                    .prepare_cached("DELETE FROM uploads WHERE key = ?1")?
                    .execute([key])?;
            }
        }
        Ok(AccountWritten::Done)
    }

    fn append(&self, key: &[u8; 32], start: u64, bytes: &Bytes) -> Result<()> {
        if bytes.len() > limits::UPLOAD_PIECE_BYTES {
            return Err(StoreError::TooMany("bytes in a piece of an upload"));
        }
        let fitting = self
            .connection
            .prepare_cached(
                "UPDATE uploads SET received = received + ?3 WHERE key = ?1 AND received = ?2 \
                 AND expires_at > ?4",
            )?
            .execute(params![
                key,
                to_sql(start),
                to_sql(bytes.len() as u64),
                self.now.0
            ])?;
        if fitting == 0 {
            return Err(StoreError::NoSuchUpload);
        }
        self.connection
            .prepare_cached("INSERT INTO upload_pieces VALUES (?1, ?2, ?3)")?
            .execute(params![key, to_sql(start), &bytes[..]])?;
        Ok(())
    }

    fn drop_pieces(&self, key: &[u8; 32]) -> Result<()> {
        self.connection
            .prepare_cached("DELETE FROM upload_pieces WHERE key = ?1")?
            .execute([key])?;
        Ok(())
    }

    fn drop_expired_uploads(&self) -> Result<()> {
        for sql in [
            "DELETE FROM upload_pieces WHERE key IN \
             (SELECT key FROM uploads WHERE expires_at <= ?1)",
            "DELETE FROM uploads WHERE expires_at <= ?1",
        ] {
            self.connection.prepare_cached(sql)?.execute([self.now.0])?;
        }
        Ok(())
    }
}
