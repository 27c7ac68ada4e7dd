"""Reads with the library imapclient, after STARTTLS and over TLS.

Arguments: the server's certificate, the ports imap and imaps, an address and its password.
"""

import ssl
import sys

from imapclient import IMAPClient

HOST = "127.0.0.1"
TEXT = b"Subject: appended\r\nFrom: bob@example.net\r\n\r\nAppended.\r\n"

certificate, imap, imaps, address, password = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)

with IMAPClient(HOST, port=int(imaps), ssl_context=context) as client:
    client.login(address, password)
    client.create_folder("Entwürfe/Ältere")
    client.append("Entwürfe/Ältere", TEXT, flags=[rb"\Seen", b"$Custom"])
    client.select_folder("Entwürfe/Ältere")
    [uid] = client.search(["SUBJECT", "appended"])
    fetched = client.fetch([uid], ["BODY[]", "FLAGS", "ENVELOPE", "BODYSTRUCTURE"])[uid]
    assert fetched[b"BODY[]"] == TEXT, fetched
    assert set(fetched[b"FLAGS"]) >= {rb"\Seen", b"$Custom"}, fetched
    assert fetched[b"ENVELOPE"].subject == b"appended", fetched
    assert fetched[b"BODYSTRUCTURE"][:2] == (b"text", b"plain"), fetched
    client.move([uid], "Archive")
    assert client.folder_status("Archive", ["MESSAGES"]) == {b"MESSAGES": 1}

with IMAPClient(HOST, port=int(imap), ssl=False) as client:
    client.starttls(context)
    client.plain_login(address, password)
    folders = [name for _, _, name in client.list_folders()]
    assert "Entwürfe/Ältere" in folders, folders
    assert client.find_special_folder(rb"\Archive") == "Archive"
    client.select_folder("Archive")
    client.idle()
    client.idle_done()
    [uid] = client.search()
    client.delete_messages([uid])
    client.expunge()
    assert client.search() == []
