//! Upload sessions: attachments that come in ranges.
//!
//! | the range | is answered with |
//! |---|---|
//! | begins at the first byte that is missing | 200 with the new state; 201 when it is the last |
//! | ends before the first byte that is missing | 200 with the state as it is |
//! | ends at the last byte, and all is done | 201 once more, whatever comes with it |
//! | anything else | 416 |
//!
//! The key in the URL is all the authorization that there is. It begins with the account's id; of
//! the whole, the store knows a hash.

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rmail_proto::{
    AccountId, InstanceId, UnixTime,
    http::{FieldName, Status},
};
use rmail_store::{AccountWrite, StoreError, StoredMessage, Upload, UploadWrite};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Cx, Failure, Outcome, attachments,
    drafts::rewrite,
    graph_messages::is_draft,
    reply::{Content, Reply},
};
use crate::{
    api::{
        compose::UploadItem,
        error::ApiError,
        resources::{Attachment, ParsedAttachment},
        routes::Param,
        time::write_time,
    },
    limits,
};

/// What an upload is for.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Document {
    /// The draft.
    message: String,
    /// The request that began it.
    request: Value,
    /// Of the whole.
    size_bytes: u64,
    /// The attachment, once it is one.
    done: Option<Done>,
}

/// What the last range was answered with.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Done {
    location: String,
    body: Value,
}

/// An upload that is under way, or done.
struct Session {
    key: [u8; 32],
    upload: Upload,
    document: Document,
}

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    if !is_draft(&message) {
        return Err(ApiError::property_not_writable().into());
    }
    let request = Value::Object(cx.json()?);
    let item = UploadItem::read(&request)?;
    check_size(cx, &message, item.size_bytes)?;
    let bounds = &cx.service().config.exchange_api.limits;
    let account = cx.account().id;
    let (count, bytes) = cx.store().uploads(account, cx.now())?;
    let is_full = count >= bounds.uploads_per_mailbox.get() as u64
        || bytes.saturating_add(item.size_bytes) > bounds.upload_bytes_per_mailbox.get();
    if is_full {
        return Err(ApiError::too_many_requests()
            .retry_after(limits::UPLOAD_LIFE)
            .into());
    }
    let text = write_key(account, cx.draw());
    let life = i64::try_from(limits::UPLOAD_LIFE.as_secs()).unwrap_or(i64::MAX);
    let session = Session {
        key: hash(&text),
        upload: Upload {
            document: String::new(),
            received: 0,
            expires_at: UnixTime(cx.now().0.saturating_add(life)),
        },
        document: Document {
            message: message.data.instance_id.to_string(),
            request,
            size_bytes: item.size_bytes,
            done: None,
        },
    };
    session.put(cx)?;
    let mut told = session.state(cx);
    told["uploadUrl"] = json!(format!("{}/v1.0/uploads/{text}", cx.exchange.base));
    Ok(Reply::created(told))
}

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    let session = Session::find(cx)?;
    Ok(Reply::ok(session.state(cx)))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let session = Session::find(cx)?;
    session.write(cx, UploadWrite::Drop { key: session.key })?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

pub(super) fn put(cx: &mut Cx<'_>) -> Outcome {
    let mut session = Session::find(cx)?;
    let range = cx.exchange.content_range.as_deref();
    let range = range.and_then(Range::parse).ok_or_else(|| {
        let message = "A Content-Range is needed.".to_owned();
        ApiError::bad_request().with_message(message)
    })?;
    let size = session.document.size_bytes;
    let is_last = range.last + 1 == size;
    if let (true, Some(done)) = (is_last, &session.document.done) {
        return Ok(done.reply());
    }
    let length = cx.content.len() as u64;
    if range.total != size || range.last >= size || length != range.last - range.first + 1 {
        return Err(ApiError::invalid_range().into());
    }
    let received = session.upload.received;
    if received == size && is_last {
        // It was not made an attachment when it was complete.
        return session.complete(cx);
    }
    if range.last < received {
        return Ok(Reply::ok(session.state(cx)));
    }
    if range.first != received {
        return Err(ApiError::invalid_range().into());
    }
    // A message that is gone needs nothing more.
    session.message(cx)?;
    session.append(cx, range.first)?;
    match session.upload.received == size {
        true => session.complete(cx),
        false => Ok(Reply::ok(session.state(cx))),
    }
}

/// That the message may grow by so much, in base64: 78 characters for 57 bytes.
fn check_size(cx: &Cx<'_>, message: &StoredMessage, size_bytes: u64) -> Result<(), Failure> {
    let max = cx.service().config.smtp.max_message_size.get();
    let encoded = size_bytes.saturating_mul(78) / 57;
    let grown = message.data.size_bytes.saturating_add(encoded);
    match size_bytes > limits::UPLOAD_BYTES || grown > max {
        true => Err(ApiError::message_too_large().into()),
        false => cx.check_room(encoded),
    }
}

fn write_key(account: AccountId, secret: [u8; 32]) -> String {
    let account = account.0.to_be_bytes();
    BASE64_URL_SAFE_NO_PAD.encode([&account[..], &secret[..]].concat())
}

fn account_of(key: &str) -> Option<AccountId> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(key).ok()?;
    let (account, secret) = bytes.split_first_chunk::<8>()?;
    (secret.len() == 32).then_some(AccountId(u64::from_be_bytes(*account)))
}

fn hash(key: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, key.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

impl Session {
    /// The one that the path names; its account is the one that acts.
    fn find(cx: &mut Cx<'_>) -> Result<Self, Failure> {
        let text = cx.exchange.param(Param::Upload);
        let gone = || Failure::from(ApiError::item_not_found());
        let account = account_of(text).ok_or_else(gone)?;
        let account = cx.store().account(account)?;
        let account = account.filter(|it| it.is_enabled).ok_or_else(gone)?;
        let key = hash(text);
        let upload = cx.store().upload(account.id, cx.now(), &key)?;
        let upload = upload.ok_or_else(gone)?;
        let document = serde_json::from_str(&upload.document).map_err(|_| gone())?;
        cx.act_for(account);
        Ok(Self {
            key,
            upload,
            document,
        })
    }

    /// The draft. One that is gone, or is no draft, takes the upload with it.
    fn message(&self, cx: &mut Cx<'_>) -> Result<StoredMessage, Failure> {
        let message = cx.message_by_id(&self.document.message);
        match message {
            Ok(message) if is_draft(&message) => Ok(message),
            Ok(_) => {
                self.write(cx, UploadWrite::Drop { key: self.key })?;
                Err(ApiError::item_not_found().into())
            }
            Err(failure) => {
                if super::message_values::is_gone(&failure) {
                    self.write(cx, UploadWrite::Drop { key: self.key })?;
                }
                Err(failure)
            }
        }
    }

    fn state(&self, cx: &Cx<'_>) -> Value {
        let (received, size) = (self.upload.received, self.document.size_bytes);
        let missing = match received < size {
            // Some clients read nothing but `start-end`.
            true => vec![format!("{received}-{}", size - 1)],
            false => Vec::new(),
        };
        json!({
            "@odata.context": cx.metadata("microsoft.graph.uploadSession"),
            "expirationDateTime": write_time(self.upload.expires_at),
            "nextExpectedRanges": missing,
        })
    }

    fn write(&self, cx: &mut Cx<'_>, write: UploadWrite) -> Result<(), Failure> {
        cx.write(vec![AccountWrite::Upload(write)])?;
        Ok(())
    }

    fn put(&self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let document = serde_json::to_string(&self.document).expect("it is JSON");
        self.write(
            cx,
            UploadWrite::Put {
                key: self.key,
                document,
                expires_at: self.upload.expires_at,
            },
        )
    }

    fn append(&mut self, cx: &mut Cx<'_>, start: u64) -> Result<(), Failure> {
        let bytes = cx.content.clone();
        let length = bytes.len() as u64;
        let key = self.key;
        match self.write(cx, UploadWrite::Append { key, start, bytes }) {
            // Another request has added to it.
            Err(Failure::Store(StoreError::NoSuchUpload)) => Err(ApiError::invalid_range().into()),
            Err(failure) => Err(failure),
            Ok(()) => {
                self.upload.received += length;
                Ok(())
            }
        }
    }

    /// All is here: it becomes an attachment.
    fn complete(&mut self, cx: &mut Cx<'_>) -> Outcome {
        let message = self.message(cx)?;
        let content = cx.store().upload_content(cx.account().id, &self.key)?;
        let item = UploadItem::read(&self.document.request)?;
        let attachment = item.into_attachment(&content);
        let instance: InstanceId = message.data.instance_id;
        let rewritten = rewrite(cx, instance, None, |draft| {
            draft.attachments.push(attachment.clone());
            Ok(())
        })?;
        let message = cx.message_by_id(&self.document.message)?;
        let added = attachments::added(cx, &message, &rewritten)?;
        let done = Done {
            location: attachments::location(cx, &message, &added.id),
            body: tell_added(&message, &added),
        };
        let reply = done.reply();
        self.document.done = Some(done);
        self.put(cx)?;
        self.write(cx, UploadWrite::Empty { key: self.key })?;
        Ok(reply)
    }
}

fn tell_added(message: &StoredMessage, added: &ParsedAttachment) -> Value {
    use crate::api::{odata::Select, schema::Schema};
    let attachment = Attachment::new(added, message.modified_at, None);
    let select = Select::parse(Schema::Attachment, "name,size");
    attachment.tell(&select.expect("an attachment has these properties"))
}

impl Done {
    fn reply(&self) -> Reply {
        Reply::new(Status::CREATED, Content::Json(self.body.clone()))
            .with(const { FieldName::new("Location") }, self.location.clone())
    }
}

/// `Content-Range: bytes first-last/total`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Range {
    first: u64,
    last: u64,
    total: u64,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_number)
        };
        let range = Self {
            first: number(first)?,
            last: number(last)?,
            total: number(total)?,
        };
        let is_range = range.first <= range.last && range.last < u64::MAX;
        (unit.eq_ignore_ascii_case("bytes") && is_range).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = Range {
            first: 0,
            last: 9,
            total: 10,
        };
        assert_eq!(Range::parse("bytes 0-9/10"), Some(range));
        assert_eq!(Range::parse("Bytes  0-9/10 "), Some(range));
        for text in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes 9-0/10",
            "bytes -9/10",
            "bytes 0-9/*",
            "items 0-9/10",
            "bytes +0-9/10",
            "bytes 0-18446744073709551615/10",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    #[test]
    fn keys_name_an_account() {
        let key = write_key(AccountId(7), [9; 32]);
        assert_eq!(account_of(&key), Some(AccountId(7)));
        for text in ["", "AAAA", &key[1..], &format!("{key}AA"), "!"] {
            assert_eq!(account_of(text), None, "{text}");
        }
        assert_ne!(hash(&key), hash(&write_key(AccountId(7), [8; 32])));
    }
}
