//! Writes MAIL and RCPT with their parameters.

use alloc::{string::String, vec::Vec};
use core::fmt::Write;

use super::{Extensions, Message, Recipient};
use crate::{
    ForwardPath, limits,
    smtp::{Notify, Return},
};

/// How the content goes out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Body {
    /// Its length, or a little more where it is converted.
    pub(super) size_bytes: u64,
    /// Whether it may have bytes above 127.
    pub(super) eight_bit: bool,
    /// Whether the transaction needs SMTPUTF8.
    pub(super) smtputf8: bool,
}

/// `MAIL FROM:<...>` with `SIZE` (RFC 1870), `BODY` (RFC 6152), `SMTPUTF8` (RFC 6531), `RET` and
/// `ENVID` (RFC 3461), as far as the peer knows them.
pub(super) fn write_mail(out: &mut String, message: &Message, body: Body, peer: &Extensions) {
    write(out, format_args!("MAIL FROM:{}", message.reverse_path));
    if peer.size {
        write(out, format_args!(" SIZE={}", body.size_bytes));
    }
    if peer.eight_bit_mime && body.eight_bit {
        out.push_str(" BODY=8BITMIME");
    }
    if peer.smtputf8 && body.smtputf8 {
        out.push_str(" SMTPUTF8");
    }
    if peer.dsn {
        match message.return_of_content {
            Some(Return::Full) => out.push_str(" RET=FULL"),
            Some(Return::Headers) => out.push_str(" RET=HDRS"),
            None => {}
        }
        let id = message.envelope_id.as_deref();
        if let Some(id) = id.filter(|id| is_value(id, limits::SMTP_ENVELOPE_ID_BYTES)) {
            write(out, format_args!(" ENVID={id}"));
        }
    }
    out.push_str("\r\n");
}

/// `RCPT TO:<...>` with `NOTIFY` and `ORCPT` (RFC 3461), if the peer knows them.
pub(super) fn write_rcpt(out: &mut String, recipient: &Recipient, peer: &Extensions) {
    write(out, format_args!("RCPT TO:{}", recipient.path));
    if peer.dsn {
        write_notify(out, recipient.notify);
        let bytes_max = limits::SMTP_ORIGINAL_RECIPIENT_BYTES;
        let original = recipient.original.as_deref();
        if let Some(original) = original.filter(|original| is_value(original, bytes_max)) {
            write(out, format_args!(" ORCPT={original}"));
        }
    }
    out.push_str("\r\n");
}

/// `notify-esmtp-value = "NEVER" / 1#notify-list-element` (RFC 3461 §4.1).
fn write_notify(out: &mut String, notify: Option<Notify>) {
    let Some(Notify {
        success,
        failure,
        delay,
    }) = notify
    else {
        return;
    };
    let all = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
    let wanted = all
        .into_iter()
        .filter_map(|(wanted, word)| wanted.then_some(word));
    let wanted: Vec<&str> = wanted.collect();
    match &wanted[..] {
        [] => out.push_str(" NOTIFY=NEVER"),
        wanted => write(out, format_args!(" NOTIFY={}", wanted.join(","))),
    }
}

/// `esmtp-value = 1*(%d33-60 / %d62-126)` (RFC 5321 §4.1.2).
fn is_value(text: &str, bytes_max: usize) -> bool {
    let good = |byte: u8| byte.is_ascii_graphic() && byte != b'=';
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(good)
}

/// Whether the path can go to a peer with SMTPUTF8 only.
pub(super) fn needs_smtputf8(path: &ForwardPath) -> bool {
    match path {
        ForwardPath::Postmaster => false,
        ForwardPath::Address(address) => !address.is_ascii(),
    }
}

fn write(out: &mut String, text: core::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use bytes::Bytes;

    use super::*;
    use crate::{Address, ReversePath};

    fn message(envelope_id: &str) -> Message {
        Message {
            key: 0,
            reverse_path: ReversePath::Null,
            recipients: Vec::new(),
            size_bytes: 10,
            parts: Bytes::new(),
            eight_bit: true,
            smtputf8: true,
            return_of_content: Some(Return::Headers),
            envelope_id: Some(envelope_id.to_owned()),
        }
    }

    const BODY: Body = Body {
        size_bytes: 12,
        eight_bit: true,
        smtputf8: true,
    };

    fn all() -> Extensions {
        Extensions {
            size: true,
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
            ..Extensions::default()
        }
    }

    fn mail(message: &Message, peer: &Extensions) -> String {
        let mut out = String::new();
        write_mail(&mut out, message, BODY, peer);
        out
    }

    fn rcpt(notify: Option<Notify>, original: &str, peer: &Extensions) -> String {
        let recipient = Recipient {
            path: ForwardPath::Address(Address::parse("a@b.c").unwrap()),
            notify,
            original: Some(original.to_owned()),
        };
        let mut out = String::new();
        write_rcpt(&mut out, &recipient, peer);
        out
    }

    #[test]
    fn parameters_are_written_where_the_peer_knows_them() {
        assert_eq!(
            mail(&message("x+20y"), &all()),
            "MAIL FROM:<> SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+20y\r\n"
        );
        let none = Extensions::default();
        assert_eq!(mail(&message("x"), &none), "MAIL FROM:<>\r\n");
        let on = Notify {
            success: true,
            failure: false,
            delay: true,
        };
        assert_eq!(
            rcpt(Some(on), "rfc822;x@y.z", &all()),
            "RCPT TO:<a@b.c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y.z\r\n"
        );
        assert_eq!(rcpt(Some(on), "rfc822;x@y.z", &none), "RCPT TO:<a@b.c>\r\n");
        assert_eq!(
            rcpt(Some(Notify::default()), "", &all()),
            "RCPT TO:<a@b.c> NOTIFY=NEVER\r\n"
        );
    }

    #[test]
    fn what_is_no_value_is_not_passed_on() {
        let longest = "x".repeat(limits::SMTP_ENVELOPE_ID_BYTES);
        assert!(mail(&message(&longest), &all()).contains("ENVID="));
        for id in ["", "a b", "a\r\nDATA", "a=b", "é", &(longest + "x")] {
            assert!(!mail(&message(id), &all()).contains("ENVID="), "{id:?}");
        }
        let longest = "x".repeat(limits::SMTP_ORIGINAL_RECIPIENT_BYTES);
        assert!(rcpt(None, &longest, &all()).contains("ORCPT="));
        assert!(!rcpt(None, &(longest + "x"), &all()).contains("ORCPT="));
    }
}
