//! Drafts: written, changed, given an attachment, and sent or deleted, by Graph's endpoints.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    draft::{self, Draft},
    http_session::Request,
    http_worker::{Desk, link},
    message::Token,
    socket::Lost,
};

/// Most ranges in which an attachment comes.
const RANGES_MAX: u64 = 4;

/// A draft that this client has written, and nobody else knows of.
struct Own {
    /// Its path.
    path: String,
    token: Token,
    recipients: Vec<String>,
}

impl Desk<'_> {
    /// Writes a draft and does with it what one does, up to the first answer that says neither yes
    /// nor no: from then on nobody knows what the draft is.
    pub(super) async fn write_draft(&mut self) -> Result<(), Lost> {
        let author = self.worker.account.address.clone();
        let token = self.scene.ledger().new_message(&author);
        let recipients = self.some_recipients(token);
        {
            let mut ledger = self.scene.ledger();
            ledger.drafts.insert(token, Draft::default());
            ledger.may_come(&author, token);
        }
        let content = draft::new_draft(token, &recipients);
        let request = Request::json("POST", "/v1.0/me/messages", &content);
        let request = request.in_chunks(self.worker.chunk_bytes);
        let answer = self.session.ask(&request).await?;
        if !self.is_good(&answer, 201, &[]) {
            self.scene.ledger().refused(&author, token);
            return Ok(());
        }
        {
            let mut ledger = self.scene.ledger();
            ledger.came(&author, token);
            ledger.acknowledged += 1;
        }
        let told = answer.json();
        let id = told["id"].as_str().expect("a draft has an id");
        self.scene.ledger().saw_id(&author, id, token);
        let own = Own {
            path: format!("/v1.0/me/messages/{id}"),
            token,
            recipients,
        };
        for _ in 0..self.draw(3) {
            if !self.revise(&own).await? {
                return Ok(());
            }
        }
        let is_attached = match self.draw(3) {
            0 => self.attach(&own).await?,
            1 => self.upload(&own).await?,
            _ => true,
        };
        if !is_attached {
            return Ok(());
        }
        match self.draw(5) {
            0 => Ok(()),
            1 => self.discard(&own).await,
            _ => self.send(&own).await,
        }
    }

    /// Gives it another subject. Returns whether it has it for sure.
    async fn revise(&mut self, own: &Own) -> Result<bool, Lost> {
        let revision = self.draft(own.token, Draft::revise);
        let subject = draft::subject(own.token, revision);
        let request = Request::json("PATCH", &own.path, &json!({ "subject": subject }));
        let answer = self.session.ask(&request).await?;
        let is_done = self.is_good(&answer, 200, &[]);
        if is_done {
            assert_eq!(answer.json()["subject"], json!(subject));
            self.draft(own.token, Draft::revised);
        }
        Ok(is_done)
    }

    /// Adds its attachment in one request.
    async fn attach(&mut self, own: &Own) -> Result<bool, Lost> {
        let content = json!({
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": "numbers.bin",
            "contentType": "application/octet-stream",
            "contentBytes": STANDARD.encode(draft::attachment(own.token)),
        });
        let target = format!("{}/attachments", own.path);
        let answer = self
            .session
            .ask(&Request::json("POST", target, &content))
            .await?;
        let is_done = self.is_good(&answer, 201, &[]);
        self.draft(own.token, |draft| draft.has_attachment |= is_done);
        Ok(is_done)
    }

    /// Adds its attachment in ranges. The last one is sent again, as some clients do.
    async fn upload(&mut self, own: &Own) -> Result<bool, Lost> {
        let content = draft::attachment(own.token);
        let size = content.len();
        let item = json!({ "AttachmentItem": {
            "attachmentType": "file",
            "name": "numbers.bin",
            "size": size,
            "contentType": "application/octet-stream",
        }});
        let target = format!("{}/attachments/createUploadSession", own.path);
        let answer = self
            .session
            .ask(&Request::json("POST", target, &item))
            .await?;
        // Uploads that were not brought to an end are kept for a while.
        if !self.is_good(&answer, 201, &[429]) {
            return Ok(false);
        }
        let target = link(&answer.json(), "uploadUrl").expect("it leads to us");
        let ranges = 1 + self.draw(RANGES_MAX) as usize;
        let mut first = 0;
        for bytes in content.chunks(size.div_ceil(ranges)) {
            let last = first + bytes.len() - 1;
            let is_last = last + 1 == size;
            let range = format!("bytes {first}-{last}/{size}");
            let request = Request::new("PUT", &target)
                .with_field("Content-Range", range)
                .with_content("application/octet-stream", bytes.to_vec());
            let times = if is_last { 1 + self.draw(2) } else { 1 };
            for _ in 0..times {
                let answer = self.session.ask(&request).await?;
                let status = if is_last { 201 } else { 200 };
                if !self.is_good(&answer, status, &[]) {
                    return Ok(false);
                }
                self.draft(own.token, |draft| draft.has_attachment |= is_last);
            }
            first = last + 1;
        }
        Ok(true)
    }

    async fn discard(&mut self, own: &Own) -> Result<(), Lost> {
        let author = self.worker.account.address.clone();
        self.scene.ledger().doom(&author, own.token);
        let request = Request::new("DELETE", &own.path);
        let answer = self.session.ask(&request).await?;
        self.is_good(&answer, 204, &[]);
        Ok(())
    }

    /// Sends it; the draft itself becomes the copy in Sent Items.
    async fn send(&mut self, own: &Own) -> Result<(), Lost> {
        {
            let mut ledger = self.scene.ledger();
            for recipient in &own.recipients {
                ledger.may_come(recipient, own.token);
            }
            ledger.sends(own.token, own.recipients.clone());
        }
        let request = Request::new("POST", format!("{}/send", own.path));
        let answer = self.session.ask(&request).await?;
        let is_sent = self.is_good(&answer, 202, &[]);
        let mut ledger = self.scene.ledger();
        ledger.end_sending(own.token, &own.recipients, is_sent);
        Ok(())
    }

    fn draft<T>(&self, token: Token, change: impl FnOnce(&mut Draft) -> T) -> T {
        let mut ledger = self.scene.ledger();
        let draft = ledger.drafts.get_mut(&token);
        change(draft.expect("it was written"))
    }
}
