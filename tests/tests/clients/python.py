"""Sends and reads with Python's smtplib and imaplib, in cleartext, after STARTTLS and over TLS.

Arguments: the folder's certificate, the five ports (smtp, submission, smtps, imap, imaps), an
address and its password.
"""

import imaplib
import smtplib
import ssl
import sys
import time
from email.message import EmailMessage

HOST = "127.0.0.1"


def message(address, subject):
    message = EmailMessage()
    message["From"] = address
    message["To"] = address
    message["Subject"] = subject
    message.set_content("Grüße\n.\nend\n")
    return message


def send(certificate, ports, address, password):
    smtp, submission, smtps = ports
    context = ssl.create_default_context(cafile=certificate)

    with smtplib.SMTP(HOST, smtp) as client:
        client.send_message(message(address, "in cleartext"), from_addr="bob@example.net")

    with smtplib.SMTP(HOST, smtp) as client:
        client.starttls(context=context)
        client.send_message(message(address, "from a server"), from_addr="bob@example.net")
        assert not client.has_extn("auth"), "25 is no port for logins"

    with smtplib.SMTP(HOST, submission) as client:
        client.ehlo()
        assert not client.has_extn("auth"), "no passwords in cleartext"
        client.starttls(context=context)
        client.login(address, password)
        client.send_message(message(address, "after STARTTLS"))

    with smtplib.SMTP_SSL(HOST, smtps, context=context) as client:
        client.login(address, password)
        client.send_message(message(address, "over TLS"))

    with smtplib.SMTP_SSL(HOST, smtps, context=context) as client:
        try:
            client.login(address, "not " + password)
        except smtplib.SMTPAuthenticationError as error:
            assert error.smtp_code == 535, error
        else:
            raise AssertionError("a wrong password was taken")


def check(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def read(certificate, ports, address, password):
    imap, imaps = ports
    context = ssl.create_default_context(cafile=certificate)

    with imaplib.IMAP4(HOST, imap) as client:
        try:
            client.login(address, password)
        except imaplib.IMAP4.error:
            pass
        else:
            raise AssertionError("a password was taken in cleartext")
        client.starttls(ssl_context=context)
        client.login(address, password)
        wait_for_messages(client, 4)
        subjects = [
            header.split(b":", 1)[1].strip().decode()
            for _, header in check(
                client.fetch("1:4", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            )[::2]
        ]
        wanted = ["after STARTTLS", "from a server", "in cleartext", "over TLS"]
        assert sorted(subjects) == wanted, subjects

    with imaplib.IMAP4_SSL(HOST, imaps, ssl_context=context) as client:
        client.login(address, password)
        check(client.select("INBOX"))
        [found] = check(client.search(None, "SUBJECT", '"STARTTLS"'))
        assert len(found.split()) == 1, found
        text = check(client.fetch(found, "(RFC822)"))[0][1]
        assert b"\r\n.\r\nend" in text, text
        check(client.create("Kept"))
        check(client.copy(found, "Kept"))
        check(client.store(found, "+FLAGS", r"(\Deleted)"))
        check(client.expunge())
        check(client.append("Kept", r"(\Seen)", imaplib.Time2Internaldate(time.time()), text))
        assert check(client.select("Kept")) == [b"2"]
        client.close()


def wait_for_messages(client, count):
    check(client.select("INBOX"))
    until = time.monotonic() + 30
    while len(check(client.search(None, "ALL"))[0].split()) < count:
        assert time.monotonic() < until, "the messages do not arrive"
        check(client.noop())


certificate, *ports, address, password = sys.argv[1:]
ports = [int(port) for port in ports]
send(certificate, ports[:3], address, password)
read(certificate, ports[3:], address, password)
