"""The calls of the acceptance with o365; see rows.py."""

import base64
import datetime
import io
import logging
import os

import requests
from O365 import Account, MSGraphProtocol
from O365.mailbox import AutoReplyStatus
from O365.message import Flag
from O365.utils import BaseTokenBackend, ImportanceLevel

from rows import cannot, equal, part, read_setup, row, run, until, webhook

PAGES = 25
SMALL = bytes(range(256)) * 4
# Beyond what o365 sends in one piece.
LARGE = bytes(range(251)) * 30_000

# What it logs of refusals that are expected.
logging.getLogger("O365").setLevel(logging.CRITICAL)


class Token(BaseTokenBackend):
    def __init__(self, token):
        super().__init__()
        self.token = token

    @property
    def has_data(self):
        return True

    def get_access_token(self, *, username=None):
        return {"secret": self.token}

    def token_is_expired(self, *, username=None):
        return False

    def load_token(self):
        return True

    def save_token(self, force=False):
        return True


class World:
    """The client as Alice's and as Bob's."""

    def __init__(self, setup):
        self.setup = setup
        # What the environment names is stronger than `verify_ssl`.
        os.environ["REQUESTS_CA_BUNDLE"] = setup["certificate"]
        self.address = setup["address"]
        self.bob = setup["bob"]
        self.carol = setup["carol"]
        self.account = self.client(setup["token"])
        self.mailbox = self.account.mailbox()
        self.account_of_bob = self.client(setup["bob_token"])
        self.mailbox_of_bob = self.account_of_bob.mailbox()

    def client(self, token, scheme="https"):
        class Protocol(MSGraphProtocol):
            _protocol_url = self.setup[scheme] + "/"

        return Account(
            ("client", "secret"),
            protocol=Protocol(timezone="UTC"),
            token_backend=Token(token),
            verify_ssl=self.setup["certificate"],
            requests_delay=0,
            request_retries=0,
            timeout=60,
        )

    def received(self, subject, attachment=None):
        """A message that Alice got from Bob, who had sent it to Carol, too."""
        message = self.mailbox_of_bob.new_message()
        message.to.add(self.address)
        message.cc.add(self.carol)
        message.subject = subject
        message.body = "<p>Hello <b>there</b>.</p>"
        if attachment:
            message.attachments.add([attachment])
        assert message.send()
        return until(lambda: self.find(self.mailbox.inbox_folder(), subject))

    def find(self, folder, subject):
        """The message with this subject in a folder, if there is one."""
        query = folder.new_query().equals("subject", subject)
        found = list(folder.get_messages(limit=1, query=query))
        return found[0] if found else None

    def draft(self, subject):
        message = self.mailbox.new_message()
        message.subject = subject
        message.body = "Some text."
        return message


def refused(status, call):
    """The error object of a refusal."""
    try:
        call()
    except requests.HTTPError as error:
        equal(error.response.status_code, status)
        told = error.response.json()["error"]
        assert told["code"] and told["message"], told
    else:
        raise AssertionError(f"nothing was refused with {status}")


def in_memory(name, content):
    """An attachment that is no file."""
    return (io.BytesIO(content), name)


def content_of(attachment):
    return base64.b64decode(attachment.content)


@row("current user")
def current_user(world):
    for scheme in ["http", "https"]:
        user = world.client(world.setup["token"], scheme).get_current_user_data()
        equal(user.mail, world.address)
        equal(user.user_principal_name, world.address)
        assert user.object_id and user.display_name


@row("user by address and by GUID")
def user_by_key(world):
    user = world.account.directory(resource="me").get_current_user()
    directory = world.account.directory()
    for key in [world.address, user.object_id]:
        equal(directory.get_user(key).object_id, user.object_id)


@row("bad, forged, expired token")
def bad_tokens(world):
    for name in ["bad", "forged", "expired"]:
        mailbox = world.client(world.setup[name]).mailbox()
        refused(401, lambda: list(mailbox.get_messages(limit=1)))


@row("list folders, well-known names in any case")
def list_folders(world):
    folders = list(world.mailbox.get_folders())
    names = {folder.name for folder in folders}
    assert {"Inbox", "Drafts", "Sent Items", "Deleted Items"} <= names, names
    for folder in folders:
        counts = [folder.total_items_count, folder.unread_items_count, folder.child_folders_count]
        assert all(isinstance(count, int) for count in counts), folder
    for name in ["SentItems", "Inbox", "deleteditems"]:
        assert world.mailbox.get_folder(folder_id=name).folder_id
    for folder in [
        world.mailbox.inbox_folder(),
        world.mailbox.junk_folder(),
        world.mailbox.deleted_folder(),
        world.mailbox.drafts_folder(),
        world.mailbox.sent_folder(),
        world.mailbox.archive_folder(),
    ]:
        assert folder.refresh_folder(), folder.name


@row("create, rename, child, find by name, duplicate 409")
def change_folders(world):
    made = world.mailbox.create_child_folder("O Projects")
    refused(409, lambda: world.mailbox.create_child_folder("o projects"))
    assert made.update_folder_name("O Plans")
    child = made.create_child_folder("Child")
    equal(child.parent_id, made.folder_id)
    equal(made.get_folder(folder_name="Child").folder_id, child.folder_id)
    found = world.mailbox.get_folder(folder_name="O Plans")
    equal((found.folder_id, found.child_folders_count), (made.folder_id, 1))
    equal(world.mailbox.get_folder(folder_name="O nothing"), None)


@row("move folder, delete folder")
def move_folders(world):
    above = world.mailbox.create_child_folder("O Above")
    below = world.mailbox.create_child_folder("O Below")
    assert below.move_folder(above)
    below.refresh_folder()
    equal(below.parent_id, above.folder_id)
    refused(403, world.mailbox.inbox_folder().delete)
    # It forgets the id of what it deletes.
    folder_id = above.folder_id
    assert above.delete()
    deleted = world.mailbox.get_folder(folder_id="deleteditems")
    found = world.mailbox.get_folder(folder_id=folder_id)
    equal(found.parent_id, deleted.folder_id)
    assert found.delete()
    refused(404, lambda: world.mailbox.get_folder(folder_id=folder_id))


@row("create draft, update, etag and If-Match")
def drafts(world):
    draft = world.draft("O draft")
    draft.to.add([("X", "x@example.net")])
    assert draft.save_draft()
    assert draft.object_id and draft.created and draft.modified
    drafts = world.mailbox.get_folder(folder_id="drafts")
    equal(draft.folder_id, drafts.folder_id)
    draft.subject = "O draft, again"
    draft.body = "<p>Other</p>"
    draft.cc.add("y@example.net")
    draft.importance = ImportanceLevel.High
    assert draft.save_draft()
    found = world.mailbox.get_message(draft.object_id)
    equal((found.subject, found.is_draft), ("O draft, again", True))
    equal(found.importance, ImportanceLevel.High)
    equal([cc.address for cc in found.cc], ["y@example.net"])
    equal([(to.name, to.address) for to in found.to], [("X", "x@example.net")])
    part("create draft, update, etag and If-Match", "If-Match: it keeps no etag and sends none")


@row("draft with attachments in one POST")
def draft_with_attachments(world):
    draft = world.draft("O attached")
    draft.attachments.add([in_memory("a.bin", SMALL), in_memory("é.txt", b"text\r\n")])
    assert draft.save_draft()
    found = world.mailbox.get_message(draft.object_id, download_attachments=True)
    contents = {attachment.name: content_of(attachment) for attachment in found.attachments}
    equal(contents, {"a.bin": SMALL, "é.txt": b"text\r\n"})


@row("small attachment: add, list, get, $value, delete")
def small_attachment(world):
    draft = world.draft("O small")
    assert draft.save_draft()
    draft.attachments.add([in_memory("small.bin", SMALL)])
    draft.save_draft()
    found = world.mailbox.get_message(draft.object_id, download_attachments=True)
    equal([(at.name, content_of(at)) for at in found.attachments], [("small.bin", SMALL)])
    found.attachments.remove([list(found.attachments)[0]])
    found.save_draft()
    found = world.mailbox.get_message(draft.object_id)
    equal((found.has_attachments, found.subject), (False, "O small"))
    part(
        "small attachment: add, list, get, $value, delete",
        "get, $value: it reads files from the list, and $value of attached messages alone",
    )


@row("upload session, one and several ranges")
def upload_session(world):
    draft = world.draft("O large")
    assert draft.save_draft()
    draft.attachments.add([in_memory("several.bin", LARGE)])
    draft.save_draft()
    found = world.mailbox.get_message(draft.object_id, download_attachments=True)
    [attachment] = found.attachments
    equal(attachment.name, "several.bin")
    assert content_of(attachment) == LARGE, "it is not what was sent"
    part("upload session, one and several ranges", "one: whatever fits into one range goes as JSON")


@row("send draft; Sent copy; draft gone")
def send_draft(world):
    draft = world.draft("O sent draft")
    draft.to.add(world.bob)
    assert draft.save_draft()
    assert draft.send()
    until(lambda: world.find(world.mailbox_of_bob.inbox_folder(), "O sent draft"))
    assert world.find(world.mailbox.sent_folder(), "O sent draft")
    equal(world.find(world.mailbox.drafts_folder(), "O sent draft"), None)


@row("sendMail with header, attachment, not saved")
def send_mail(world):
    message = world.draft("O sendMail")
    message.to.add(world.address)
    message.body = "<p>Grüße</p>"
    message.attachments.add([in_memory("sent.bin", SMALL)])
    message.add_message_header("x-colour", "blue")
    assert message.send(save_to_sent_folder=False)
    got = until(lambda: world.find(world.mailbox.inbox_folder(), "O sendMail"))
    stored = got.get_mime_content()
    assert b"x-colour: blue\r\n" in stored.lower(), stored[:600]
    got.attachments.download_attachments()
    equal([content_of(attachment) for attachment in got.attachments], [SMALL])
    equal(world.find(world.mailbox.sent_folder(), "O sendMail"), None)
    message = world.draft("O forged")
    message.to.add(world.address)
    message.sender = "other@example.net"
    refused(403, message.send)


cannot("sendMail as MIME", "it sends JSON alone")


@row("get message, $select, $expand=attachments, MIME $value")
def get_message(world):
    got = world.received("O get", in_memory("got.bin", SMALL))
    query = world.mailbox.new_query().select("subject", "sender")
    few = world.mailbox.get_message(got.object_id, query=query)
    equal((few.object_id, few.subject), (got.object_id, "O get"))
    query = world.mailbox.new_query()
    query = query.equals("subject", "O get") & query.expand("attachments")
    [whole] = world.mailbox.inbox_folder().get_messages(limit=1, query=query)
    equal([content_of(attachment) for attachment in whole.attachments], [SMALL])
    equal(got.sender.address, world.bob)
    equal([to.address for to in got.to], [world.address])
    assert "there" in got.get_body_text()
    assert b"\r\nSubject: O get\r\n" in got.get_mime_content()


@row("isRead, categories, flag with dates")
def flags(world):
    got = world.received("O flags")
    equal(got.is_read, False)
    assert got.mark_as_read()
    got.categories = ["Red category", "plain"]
    day = datetime.datetime(2030, 1, 2, tzinfo=datetime.timezone.utc)
    got.flag.set_flagged(start_date=day, due_date=day)
    assert got.save_message()
    found = world.mailbox.get_message(got.object_id)
    equal((found.is_read, sorted(found.categories)), (True, ["Red category", "plain"]))
    equal((found.flag.status, found.flag.is_flagged), (Flag.Flagged, True))
    equal(found.flag.due_date.date().isoformat(), "2030-01-02")
    found.flag.set_completed()
    assert found.save_message()
    found = world.mailbox.get_message(got.object_id)
    equal(found.flag.status, Flag.Complete)
    found.flag.delete_flag()
    assert found.save_message() and found.mark_as_unread()
    found = world.mailbox.get_message(got.object_id)
    equal((found.flag.status, found.is_read), (Flag.NotFlagged, False))


@row("list with filter, orderby, top, skip, count, all pages")
def list_messages(world):
    folder = world.mailbox.create_child_folder("O Pages")
    for number in range(PAGES):
        message = folder.new_message()
        message.subject = f"page {number:02}"
        if number % 5 == 0:
            message.to.add("five@example.net")
        if number % 2 == 0:
            message.importance = ImportanceLevel.High
        assert message.save_draft(target_folder=folder)
    subjects = [f"page {number:02}" for number in range(PAGES)]
    query = folder.new_query()
    found = folder.get_messages(limit=None, batch=10, query=query.orderby("subject"))
    equal([message.subject for message in found], subjects)
    late = query.greater("subject", "page 20") & query.negate(query.equals("importance", "high"))
    found = folder.get_messages(limit=10, query=late, order_by="subject")
    equal([message.subject for message in found], ["page 21", "page 23"])
    to_five = query.equals("to", "five@example.net")
    equal(len(list(folder.get_messages(limit=20, query=to_five))), 5)
    hour_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    recent = query.greater("created_date_time", hour_ago)
    equal(len(list(folder.get_messages(limit=50, query=recent))), PAGES)
    folder.refresh_folder()
    equal(folder.total_items_count, PAGES)
    part(
        "list with filter, orderby, top, skip, count, all pages",
        "skip, count: it follows nextLink instead, and has no parameter for $count",
    )


@row("search")
def search(world):
    world.received("O needle in a haystack")
    for query in [
        world.mailbox.new_query().search("needle"),
        world.mailbox.new_query().search("haystack", "subject"),
    ]:
        subjects = [message.subject for message in world.mailbox.get_messages(query=query)]
        assert "O needle in a haystack" in subjects, subjects
    query = world.mailbox.new_query().search("nothinglikeit")
    equal(list(world.mailbox.get_messages(query=query)), [])


@row("createReply/All, createForward, reply, replyAll, forward")
def replies(world):
    got = world.received("O question")
    answer = got.reply(to_all=False)
    equal((answer.subject, answer.is_draft), ("RE: O question", True))
    equal([to.address for to in answer.to], [world.bob])
    answer.body = "<p>Indeed</p>"
    assert answer.save_draft() and answer.send()
    heard = until(lambda: world.find(world.mailbox_of_bob.inbox_folder(), "RE: O question"))
    assert "Indeed" in heard.body and "there" in heard.body, heard.body
    to_all = got.reply(to_all=True)
    equal([cc.address for cc in to_all.cc], [world.carol])
    forward = got.forward()
    equal(forward.subject, "FW: O question")
    forward.to.add(world.bob)
    assert forward.send()
    until(lambda: world.find(world.mailbox_of_bob.inbox_folder(), "FW: O question"))
    part(
        "createReply/All, createForward, reply, replyAll, forward",
        "reply, replyAll, forward: it makes drafts and sends these",
    )


@row("move, copy, delete twice, permanentDelete")
def move_messages(world):
    draft = world.draft("O moved")
    assert draft.save_draft()
    assert draft.move("archive")
    archive = world.mailbox.get_folder(folder_id="archive")
    found = world.mailbox.get_message(draft.object_id)
    equal(found.folder_id, archive.folder_id)
    copy = found.copy(world.mailbox.drafts_folder())
    assert copy.object_id != found.object_id
    assert found.delete()
    deleted = world.find(world.mailbox.deleted_folder(), "O moved")
    assert deleted, "it is in Deleted Items"
    assert deleted.delete()
    refused(404, lambda: world.mailbox.get_message(deleted.object_id))
    equal(world.find(world.mailbox.deleted_folder(), "O moved"), None)
    part("move, copy, delete twice, permanentDelete", "permanentDelete: it knows no such action")


@row("subscriptions: create, notify, renew, list, delete")
def subscriptions(world):
    subscriptions = world.account.subscriptions()
    with webhook() as (url, notified):
        made = subscriptions.create_subscription(
            url,
            "me/mailFolders('inbox')/messages",
            ["created", "updated"],
            expiration_minutes=60,
            client_state="O state",
        )
        got = world.received("O notified")

        def is_told():
            return [told for told in notified if told["resourceData"]["id"] == got.object_id]

        told = until(is_told)[0]
        equal((told["clientState"], told["subscriptionId"]), ("O state", made["id"]))
        renewed = subscriptions.update_subscription(made["id"], expiration_minutes=120)
        assert renewed["expirationDateTime"] > made["expirationDateTime"]
        assert made["id"] in {found["id"] for found in subscriptions.list_subscriptions()}
        equal(subscriptions.get_subscription(made["id"])["id"], made["id"])
        assert subscriptions.delete_subscription(made["id"])
        refused(404, lambda: subscriptions.get_subscription(made["id"]))


@row("master categories, mailbox settings")
def categories_and_settings(world):
    categories = world.account.outlook_categories()
    made = categories.create_category("O category", color="blue")
    equal((made.name, made.color.name.lower()), ("O category", "blue"))
    refused(409, lambda: categories.create_category("O category", color="red"))
    assert made.update_color("red")
    found = categories.get_category(made.object_id)
    equal(found.color.name.lower(), "red")
    assert "O category" in {found.name for found in categories.get_categories()}
    assert found.delete()
    settings = world.mailbox.get_settings()
    equal(settings.automaticrepliessettings.status, AutoReplyStatus.DISABLED)
    day = datetime.datetime(2030, 1, 2, tzinfo=datetime.timezone.utc)
    assert world.mailbox.set_automatic_reply(
        "inside", "outside", scheduled_start_date_time=day,
        scheduled_end_date_time=day + datetime.timedelta(days=1),
    )
    settings = world.mailbox.get_settings()
    equal(settings.automaticrepliessettings.status, AutoReplyStatus.SCHEDULED)
    equal(settings.automaticrepliessettings.internal_reply_message, "inside")
    assert world.mailbox.set_disable_reply()
    settings = world.mailbox.get_settings()
    equal(settings.automaticrepliessettings.status, AutoReplyStatus.DISABLED)


@row("another user's mailbox 403, foreign ids 404, Bcc hidden")
def others(world):
    other = world.account.mailbox(resource=world.bob)
    refused(403, lambda: list(other.get_messages(limit=1)))
    bobs = world.mailbox_of_bob.new_message()
    bobs.subject = "O of Bob"
    assert bobs.save_draft()
    refused(404, lambda: world.mailbox.get_message(bobs.object_id))
    message = world.draft("O hidden")
    message.to.add(world.carol)
    message.bcc.add(world.bob)
    assert message.send()
    got = until(lambda: world.find(world.mailbox_of_bob.inbox_folder(), "O hidden"))
    equal(len(got.bcc), 0)
    assert b"bcc:" not in got.get_mime_content().lower()
    sent = world.find(world.mailbox.sent_folder(), "O hidden")
    equal([bcc.address for bcc in sent.bcc], [world.bob])


cannot("immutable ids", "a header for the whole connection alone; ids are always immutable here")
cannot("message delta, folder delta", "it has no delta queries")
cannot("batch", "it has no batches")
cannot("CORS preflight", "it runs in no browser")

run(World(read_setup()))
