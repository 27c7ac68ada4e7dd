//! Automatic replies as drafts.

use super::draft::{Draft, DraftBody, DraftField};
use crate::api::resources::EmailAddress;

impl Draft {
    /// An automatic reply (RFC 3834 §3.1). The text may be HTML. It has neither date nor
    /// identifier yet.
    pub fn automatic_reply(
        from: EmailAddress,
        to: EmailAddress,
        subject: String,
        message: &str,
        original: Option<&str>,
    ) -> Self {
        let is_html = message.trim_start().starts_with('<');
        let body = match is_html {
            true => DraftBody {
                text: None,
                html: Some(message.to_owned()),
            },
            false => DraftBody {
                text: Some(message.to_owned()),
                html: None,
            },
        };
        let mut fields = vec![DraftField::Own {
            name: "Auto-Submitted".to_owned(),
            value: "auto-replied".to_owned(),
        }];
        if let Some(original) = original {
            let ids = |name| DraftField::Ids {
                name,
                ids: vec![original.to_owned()],
            };
            fields.push(ids("In-Reply-To"));
            fields.push(ids("References"));
        }
        Self {
            from: Some(from),
            to: vec![to],
            subject,
            body,
            fields,
            ..Self::default()
        }
    }
}
