"""The calls of the acceptance with msgraph-sdk; see rows.py."""

import base64
import datetime
import io
import ssl
from contextlib import contextmanager

import httpx
from kiota_abstractions.api_error import APIError
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.headers_collection import HeadersCollection
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.attachment_item import AttachmentItem
from msgraph.generated.models.attachment_type import AttachmentType
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.category_color import CategoryColor
from msgraph.generated.models.date_time_time_zone import DateTimeTimeZone
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.file_attachment import FileAttachment
from msgraph.generated.models.followup_flag import FollowupFlag
from msgraph.generated.models.followup_flag_status import FollowupFlagStatus
from msgraph.generated.models.importance import Importance
from msgraph.generated.models.internet_message_header import InternetMessageHeader
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.mail_folder import MailFolder
from msgraph.generated.models.mailbox_settings import MailboxSettings
from msgraph.generated.models.message import Message
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.outlook_category import OutlookCategory
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.models.subscription import Subscription
from msgraph.generated.users.item.mail_folders.item.copy.copy_post_request_body import (
    CopyPostRequestBody as CopyFolder,
)
from msgraph.generated.users.item.mail_folders.item.move.move_post_request_body import (
    MovePostRequestBody as MoveFolder,
)
from msgraph.generated.users.item.messages.item.attachments.create_upload_session.create_upload_session_post_request_body import (  # noqa: E501
    CreateUploadSessionPostRequestBody as CreateUploadSession,
)
from msgraph.generated.users.item.messages.item.copy.copy_post_request_body import (
    CopyPostRequestBody as Copy,
)
from msgraph.generated.users.item.messages.item.create_forward.create_forward_post_request_body import (  # noqa: E501
    CreateForwardPostRequestBody as CreateForward,
)
from msgraph.generated.users.item.messages.item.create_reply.create_reply_post_request_body import (  # noqa: E501
    CreateReplyPostRequestBody as CreateReply,
)
from msgraph.generated.users.item.messages.item.create_reply_all.create_reply_all_post_request_body import (  # noqa: E501
    CreateReplyAllPostRequestBody as CreateReplyAll,
)
from msgraph.generated.users.item.messages.item.forward.forward_post_request_body import (
    ForwardPostRequestBody as Forward,
)
from msgraph.generated.users.item.messages.item.move.move_post_request_body import (
    MovePostRequestBody as Move,
)
from msgraph.generated.users.item.messages.item.reply.reply_post_request_body import (
    ReplyPostRequestBody as Reply,
)
from msgraph.generated.users.item.messages.item.reply_all.reply_all_post_request_body import (
    ReplyAllPostRequestBody as ReplyAll,
)
from msgraph.generated.users.item.send_mail.send_mail_post_request_body import (
    SendMailPostRequestBody as SendMail,
)
from msgraph.graph_request_adapter import options
from msgraph_core import GraphClientFactory
from msgraph_core.requests.batch_request_builder import BatchRequestBuilder
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem
from msgraph_core.tasks import LargeFileUploadTask, PageIterator

from rows import cannot, equal, mime, read_setup, row, run, until_async, webhook

PAGES = 25
SMALL = bytes(range(256)) * 4


class Token(AccessTokenProvider):
    def __init__(self, token):
        self.token = token

    async def get_authorization_token(self, uri, additional_authentication_context={}):
        return self.token

    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator([])


class World:
    """The client as Alice's and as Bob's."""

    def __init__(self, setup):
        self.setup = setup
        self.address = setup["address"]
        self.bob = setup["bob"]
        self.carol = setup["carol"]
        self.graph = self.client(setup["token"])
        self.graph_of_bob = self.client(setup["bob_token"])

    def client(self, token, scheme="https"):
        trust = ssl.create_default_context(cafile=self.setup["certificate"])
        http_client = GraphClientFactory.create_with_default_middleware(
            client=httpx.AsyncClient(verify=trust, timeout=60), options=options
        )
        authentication = BaseBearerTokenAuthenticationProvider(Token(token))
        adapter = GraphRequestAdapter(authentication, client=http_client)
        adapter.base_url = self.setup[scheme] + "/v1.0"
        return GraphServiceClient(request_adapter=adapter)

    async def draft(self, subject, **properties):
        """A new draft."""
        message = Message(subject=subject, body=text_body("Some text."), **properties)
        return await self.graph.me.messages.post(message)

    async def received(self, subject, sender=None, **properties):
        """A message that Alice got from Bob."""
        properties.setdefault("to_recipients", [recipient(self.address)])
        message = Message(
            subject=subject, body=html_body("<p>Hello <b>there</b>.</p>"), **properties
        )
        await self.graph_of_bob.me.send_mail.post(SendMail(message=message))
        return await until_async(lambda: self.find("inbox", subject))

    async def find(self, folder, subject, graph=None):
        """The message with this subject in a folder, if there is one."""
        messages = (graph or self.graph).me.mail_folders.by_mail_folder_id(folder).messages
        found = await messages.get(asking(messages, filter=f"subject eq '{subject}'"))
        return found.value[0] if found.value else None

    def message(self, message):
        return self.graph.me.messages.by_message_id(message.id)

    async def request(self, method, url, content=None, content_type=None, **headers):
        """A request below the level of the generated builders."""
        info = RequestInformation()
        info.http_method = method
        info.url = url
        for name, value in headers.items():
            info.headers.try_add(name.replace("_", "-"), value)
        if content is not None:
            info.set_stream_content(content, content_type)
        errors = {"4XX": ODataError, "5XX": ODataError}
        return await self.graph.request_adapter.send_primitive_async(info, "bytes", errors)


def asking(builder, headers=None, **parameters):
    """A request configuration with these query parameters, and these header fields."""
    query = getattr(type(builder), f"{type(builder).__name__}GetQueryParameters", None)
    configuration = RequestConfiguration()
    if parameters:
        configuration.query_parameters = query(**parameters)
    configuration.headers = HeadersCollection()
    for name, value in (headers or {}).items():
        configuration.headers.add(name, value)
    return configuration


def recipient(address, name=None):
    return Recipient(email_address=EmailAddress(address=address, name=name))


def text_body(content):
    return ItemBody(content_type=BodyType.Text, content=content)


def html_body(content):
    return ItemBody(content_type=BodyType.Html, content=content)


def file(name, content, content_type="application/octet-stream", **properties):
    return FileAttachment(
        odata_type="#microsoft.graph.fileAttachment",
        name=name,
        content_bytes=content,
        content_type=content_type,
        **properties,
    )


@contextmanager
def refused(status, code=None):
    try:
        yield
    except APIError as error:
        equal(error.response_status_code, status)
        assert error.error.message, "an error says something"
        assert error.error.code, "an error has a code"
        if code:
            equal(error.error.code, code)
    else:
        raise AssertionError(f"nothing was refused with {status}")


@row("current user")
async def current_user(world):
    for scheme in ["http", "https"]:
        user = await world.client(world.setup["token"], scheme).me.get()
        equal(user.mail, world.address)
        equal(user.user_principal_name, world.address)
        assert user.id and user.display_name
        equal(user.business_phones, [])


@row("user by address and by GUID")
async def user_by_key(world):
    user = await world.graph.me.get()
    for key in [world.address, user.id]:
        found = await world.graph.users.by_user_id(key).get()
        equal(found.id, user.id)


@row("bad, forged, expired token")
async def bad_tokens(world):
    for name in ["bad", "forged", "expired"]:
        graph = world.client(world.setup[name])
        with refused(401, "InvalidAuthenticationToken"):
            await graph.me.messages.get()


@row("list folders, well-known names in any case")
async def list_folders(world):
    folders = world.graph.me.mail_folders
    found = await folders.get(asking(folders, top=100))
    names = {folder.display_name for folder in found.value}
    assert {"Inbox", "Drafts", "Sent Items", "Deleted Items"} <= names, names
    for folder in found.value:
        counts = [
            folder.total_item_count,
            folder.unread_item_count,
            folder.child_folder_count,
        ]
        assert all(isinstance(count, int) for count in counts), folder
    for name in ["inbox", "Inbox", "SENTITEMS", "deletedItems", "msgfolderroot"]:
        folder = await folders.by_mail_folder_id(name).get()
        assert folder.id and folder.display_name


@row("create, rename, child, find by name, duplicate 409")
async def change_folders(world):
    folders = world.graph.me.mail_folders
    made = await folders.post(MailFolder(display_name="P Projects"))
    with refused(409, "ErrorFolderExists"):
        await folders.post(MailFolder(display_name="p projects"))
    folder = folders.by_mail_folder_id(made.id)
    renamed = await folder.patch(MailFolder(display_name="P Plans"))
    equal((renamed.id, renamed.display_name), (made.id, "P Plans"))
    child = await folder.child_folders.post(MailFolder(display_name="Child's"))
    equal(child.parent_folder_id, made.id)
    children = await folder.child_folders.get(
        asking(folder.child_folders, filter="displayName eq 'Child''s'")
    )
    equal([found.id for found in children.value], [child.id])
    found = await folders.get(asking(folders, filter="displayName eq 'P Plans'", top=1))
    equal([(found.id, found.child_folder_count) for found in found.value], [(made.id, 1)])


@row("move folder, delete folder")
async def move_folders(world):
    folders = world.graph.me.mail_folders
    above = await folders.post(MailFolder(display_name="P Above"))
    below = await folders.post(MailFolder(display_name="P Below"))
    moved = await folders.by_mail_folder_id(below.id).move.post(MoveFolder(destination_id=above.id))
    equal((moved.id, moved.parent_folder_id), (below.id, above.id))
    copy = await folders.by_mail_folder_id(below.id).copy.post(
        CopyFolder(destination_id="msgfolderroot")
    )
    assert copy.id != below.id
    with refused(403):
        await folders.by_mail_folder_id("inbox").delete()
    await folders.by_mail_folder_id(above.id).delete()
    deleted = await folders.by_mail_folder_id("deleteditems").get()
    found = await folders.by_mail_folder_id(above.id).get()
    equal(found.parent_folder_id, deleted.id)
    await folders.by_mail_folder_id(above.id).delete()
    with refused(404, "ErrorItemNotFound"):
        await folders.by_mail_folder_id(above.id).get()
    await folders.by_mail_folder_id(copy.id).permanent_delete.post()
    with refused(404, "ErrorItemNotFound"):
        await folders.by_mail_folder_id(copy.id).get()


@row("create draft, update, etag and If-Match")
async def drafts(world):
    draft = await world.draft("P draft", to_recipients=[recipient("x@example.net", "X")])
    assert draft.is_draft and draft.created_date_time and draft.last_modified_date_time
    drafts = await world.graph.me.mail_folders.by_mail_folder_id("drafts").get()
    equal(draft.parent_folder_id, drafts.id)
    etag = draft.additional_data["@odata.etag"]
    message = world.message(draft)
    changed = await message.patch(
        Message(
            subject="P draft, again",
            body=html_body("<p>Other</p>"),
            cc_recipients=[recipient("y@example.net")],
            importance=Importance.High,
        ),
        asking(message, headers={"If-Match": etag}),
    )
    equal((changed.id, changed.subject), (draft.id, "P draft, again"))
    equal(changed.importance, Importance.High)
    equal(changed.cc_recipients[0].email_address.address, "y@example.net")
    equal(changed.to_recipients[0].email_address.name, "X")
    assert changed.change_key != draft.change_key
    with refused(412, "ErrorIrresolvableConflict"):
        await message.patch(
            Message(subject="P never"), asking(message, headers={"If-Match": etag})
        )
    await message.patch(Message(subject="P any"), asking(message, headers={"If-Match": "*"}))
    equal((await message.get()).subject, "P any")


@row("draft with attachments in one POST")
async def draft_with_attachments(world):
    draft = await world.draft(
        "P attached",
        attachments=[
            file("a.bin", SMALL),
            file("é.txt", b"text\r\n", "text/plain", is_inline=True, content_id="cid1"),
        ],
    )
    assert draft.has_attachments
    found = await world.message(draft).attachments.get()
    contents = {attachment.name: attachment for attachment in found.value}
    equal(contents["a.bin"].content_bytes, SMALL)
    equal(contents["é.txt"].content_bytes, b"text\r\n")
    equal(contents["é.txt"].content_id, "cid1")


@row("small attachment: add, list, get, $value, delete")
async def small_attachment(world):
    draft = await world.draft("P small")
    attachments = world.message(draft).attachments
    added = await attachments.post(file("small.bin", SMALL))
    assert isinstance(added, FileAttachment), type(added)
    assert added.id and added.size
    found = await attachments.get()
    equal([attachment.name for attachment in found.value], ["small.bin"])
    attachment = attachments.by_attachment_id(found.value[0].id)
    got = await attachment.get()
    assert isinstance(got, FileAttachment), type(got)
    equal(got.content_bytes, SMALL)
    url = attachment.to_get_request_information().url + "/$value"
    equal(await world.request(Method.GET, url), SMALL)
    await attachment.delete()
    equal((await attachments.get()).value, [])
    with refused(404, "ErrorItemNotFound"):
        await attachment.get()


async def upload(world, message, name, content, range_bytes):
    session = await message.attachments.create_upload_session.post(
        CreateUploadSession(
            attachment_item=AttachmentItem(
                attachment_type=AttachmentType.File, name=name, size=len(content)
            )
        )
    )
    task = LargeFileUploadTask(
        session, world.graph.request_adapter, io.BytesIO(content), max_chunk_size=range_bytes
    )
    await task.upload()
    return session


@row("upload session, one and several ranges")
async def upload_session(world):
    message = world.message(await world.draft("P large"))
    content = bytes(range(251)) * 4000
    await upload(world, message, "one.bin", content, 5 * 1024 * 1024)
    await upload(world, message, "several.bin", content, 320 * 1024)
    found = (await message.attachments.get()).value
    equal(sorted(attachment.name for attachment in found), ["one.bin", "several.bin"])
    for attachment in found:
        got = await message.attachments.by_attachment_id(attachment.id).get()
        assert got.content_bytes == content, f"{got.name} is not what was sent"


@row("send draft; Sent copy; draft gone")
async def send_draft(world):
    draft = await world.draft("P sent draft", to_recipients=[recipient(world.bob)])
    await world.message(draft).send.post()
    await until_async(lambda: world.find("inbox", "P sent draft", world.graph_of_bob))
    assert await world.find("sentitems", "P sent draft")
    equal(await world.find("drafts", "P sent draft"), None)
    sent = await world.message(draft).get()
    equal((sent.is_draft, sent.is_read), (False, True))


@row("sendMail with header, attachment, not saved")
async def send_mail(world):
    message = Message(
        subject="P sendMail",
        body=html_body("<p>Grüße</p>"),
        to_recipients=[recipient(world.address)],
        attachments=[file("sent.bin", SMALL)],
        internet_message_headers=[InternetMessageHeader(name="x-colour", value="blue")],
    )
    await world.graph.me.send_mail.post(SendMail(message=message, save_to_sent_items=False))
    got = await until_async(lambda: world.find("inbox", "P sendMail"))
    builder = world.message(got)
    got = await builder.get(
        asking(builder, select=["internetMessageHeaders"], expand=["attachments"])
    )
    headers = {header.name.lower(): header.value for header in got.internet_message_headers}
    equal(headers["x-colour"], "blue")
    equal(got.attachments[0].content_bytes, SMALL)
    equal(await world.find("sentitems", "P sendMail"), None)
    with refused(403, "ErrorSendAsDenied"):
        message.from_ = recipient("other@example.net")
        await world.graph.me.send_mail.post(SendMail(message=message))


@row("sendMail as MIME")
async def send_mime(world):
    url = world.setup["https"] + "/v1.0/me/sendMail"
    text = mime(world.address, world.bob, "P MIME")
    await world.request(Method.POST, url, base64.b64encode(text), "text/plain")
    got = await until_async(lambda: world.find("inbox", "P MIME", world.graph_of_bob))
    assert "This is it." in got.body.content
    with refused(400, "ErrorMimeContentInvalidBase64String"):
        await world.request(Method.POST, url, b"%%%", "text/plain")


@row("get message, $select, $expand=attachments, MIME $value")
async def get_message(world):
    got = await world.received("P get", attachments=[file("got.bin", SMALL)])
    builder = world.message(got)
    few = await builder.get(asking(builder, select=["subject", "from"]))
    equal((few.id, few.subject), (got.id, "P get"))
    equal(few.from_.email_address.address, world.bob)
    equal(few.body, None)
    whole = await builder.get(asking(builder, expand=["attachments"]))
    equal(whole.attachments[0].content_bytes, SMALL)
    equal(whole.body.content_type, BodyType.Html)
    assert "there" in whole.body.content
    as_text = await builder.get(
        asking(builder, headers={"Prefer": 'outlook.body-content-type="text"'})
    )
    equal(as_text.body.content_type, BodyType.Text)
    stored = await builder.content.get()
    assert b"\r\nSubject: P get\r\n" in stored, stored[:300]
    with refused(400):
        await builder.get(asking(builder, select=["noSuchProperty"]))


@row("isRead, categories, flag with dates")
async def flags(world):
    got = await world.received("P flags")
    equal(got.is_read, False)
    builder = world.message(got)
    day = DateTimeTimeZone(date_time="2030-01-02T00:00:00", time_zone="UTC")
    flag = FollowupFlag(
        flag_status=FollowupFlagStatus.Flagged, start_date_time=day, due_date_time=day
    )
    changed = await builder.patch(
        Message(is_read=True, categories=["Red category", "plain"], flag=flag)
    )
    for found in [changed, await builder.get()]:
        equal(found.is_read, True)
        equal(sorted(found.categories), ["Red category", "plain"])
        equal(found.flag.flag_status, FollowupFlagStatus.Flagged)
        assert found.flag.due_date_time.date_time.startswith("2030-01-02T00:00:00")
    done = await builder.patch(Message(flag=FollowupFlag(flag_status=FollowupFlagStatus.Complete)))
    equal(done.flag.flag_status, FollowupFlagStatus.Complete)
    none = await builder.patch(
        Message(
            categories=[], is_read=False, flag=FollowupFlag(flag_status=FollowupFlagStatus.NotFlagged)
        )
    )
    equal((none.categories, none.is_read), ([], False))
    equal(none.flag.flag_status, FollowupFlagStatus.NotFlagged)
    equal(none.flag.due_date_time, None)
    with refused(400, "ErrorInvalidPropertySet"):
        await builder.patch(Message(subject="P other"))


@row("list with filter, orderby, top, skip, count, all pages")
async def list_messages(world):
    folder = await world.graph.me.mail_folders.post(MailFolder(display_name="P Pages"))
    messages = world.graph.me.mail_folders.by_mail_folder_id(folder.id).messages
    for number in range(PAGES):
        await messages.post(Message(subject=f"page {number:02}", is_read=number % 2 == 0))
    subjects = [f"page {number:02}" for number in range(PAGES)]
    first = await messages.get(asking(messages, orderby=["subject"], top=10, count=True))
    equal(first.odata_count, PAGES)
    equal([message.subject for message in first.value], subjects[:10])
    assert first.odata_next_link.startswith(world.setup["https"]), first.odata_next_link
    seen = []
    pages = PageIterator(first, world.graph.request_adapter)
    await pages.iterate(lambda message: seen.append(message.subject) or True)
    equal(seen, subjects)
    skipped = await messages.get(asking(messages, orderby=["subject desc"], top=5, skip=3))
    equal([message.subject for message in skipped.value], subjects[-4:-9:-1])
    filtered = await messages.get(
        asking(messages, filter="isRead eq false and subject gt 'page 20'", orderby=["subject"])
    )
    equal([message.subject for message in filtered.value], ["page 21", "page 23"])
    equal(await messages.count.get(), PAGES)
    with refused(400):
        await messages.get(asking(messages, filter="subject eq"))


@row("search")
async def search(world):
    await world.received("P needle in Häystack")
    messages = world.graph.me.messages
    for words in ['"needle"', '"subject:haystack"', '"from:bob AND needle"']:
        found = await messages.get(asking(messages, search=words))
        subjects = [message.subject for message in found.value]
        assert "P needle in Häystack" in subjects, (words, subjects)
    found = await messages.get(asking(messages, search='"subject:nothinglikeit"'))
    equal(found.value, [])
    with refused(400):
        await messages.get(asking(messages, search='"a"', filter="isRead eq true"))


@row("createReply/All, createForward, reply, replyAll, forward")
async def replies(world):
    got = await world.received("P question", cc_recipients=[recipient(world.carol)])
    builder = world.message(got)
    draft = await builder.create_reply.post(CreateReply(comment="Indeed"))
    equal(draft.subject, "RE: P question")
    equal([to.email_address.address for to in draft.to_recipients], [world.bob])
    assert "<body" in draft.body.content.lower() and "Indeed" in draft.body.content
    draft = await builder.create_reply_all.post(CreateReplyAll(comment="All"))
    addresses = {cc.email_address.address for cc in draft.cc_recipients}
    equal(addresses, {world.carol})
    draft = await builder.create_forward.post(
        CreateForward(comment="See", to_recipients=[recipient("dave@example.net")])
    )
    equal(draft.subject, "FW: P question")
    equal(draft.to_recipients[0].email_address.address, "dave@example.net")
    await builder.reply.post(Reply(comment="by reply"))
    answer = await until_async(
        lambda: world.find("inbox", "RE: P question", world.graph_of_bob)
    )
    assert "by reply" in answer.body.content
    equal(answer.conversation_id is not None, True)
    await builder.reply_all.post(ReplyAll(comment="by replyAll"))
    await builder.forward.post(
        Forward(comment="by forward", to_recipients=[recipient(world.bob)])
    )
    await until_async(lambda: world.find("inbox", "FW: P question", world.graph_of_bob))


@row("move, copy, delete twice, permanentDelete")
async def move_messages(world):
    draft = await world.draft("P moved")
    archive = await world.graph.me.mail_folders.by_mail_folder_id("archive").get()
    moved = await world.message(draft).move.post(Move(destination_id="archive"))
    equal((moved.subject, moved.parent_folder_id), ("P moved", archive.id))
    copy = await world.message(moved).copy.post(Copy(destination_id="drafts"))
    assert copy.id != moved.id
    await world.message(moved).delete()
    deleted = await world.find("deleteditems", "P moved")
    assert deleted, "it is in Deleted Items"
    await world.message(deleted).delete()
    with refused(404, "ErrorItemNotFound"):
        await world.message(deleted).get()
    await world.message(copy).permanent_delete.post()
    equal(await world.find("deleteditems", "P moved"), None)


@row("immutable ids")
async def immutable_ids(world):
    draft = await world.draft("P immutable")
    moving = world.message(draft).move
    moved = await moving.post(
        Move(destination_id="archive"), asking(moving, headers={"Prefer": 'IdType="ImmutableId"'})
    )
    equal(moved.id, draft.id)
    equal((await world.message(draft).get()).subject, "P immutable")


async def read_delta(builder, **parameters):
    """All items of a round, and its delta link."""
    items = []
    page = await builder.get(asking(builder, **parameters))
    while True:
        items += page.value
        if page.odata_next_link is None:
            return items, page.odata_delta_link
        page = await builder.with_url(page.odata_next_link).get()


@row("message delta, folder delta")
async def delta(world):
    folders = world.graph.me.mail_folders
    _, folder_link = await read_delta(folders.delta)
    folder = await folders.post(MailFolder(display_name="P Delta"))
    messages = folders.by_mail_folder_id(folder.id).messages
    made = [await messages.post(Message(subject=f"P delta {number}")) for number in range(12)]
    items, link = await read_delta(messages.delta)
    equal({item.id for item in items}, {message.id for message in made})
    await world.message(made[0]).delete()
    await world.message(made[1]).patch(Message(is_read=False))
    changed = await messages.delta.with_url(link).get()
    found = {item.id: item for item in changed.value}
    equal(set(found), {made[0].id, made[1].id})
    equal(found[made[0].id].additional_data["@removed"]["reason"], "deleted")
    equal(found[made[1].id].is_read, False)
    changed = await messages.delta.with_url(changed.odata_delta_link).get()
    equal(changed.value, [])
    changed = await folders.delta.with_url(folder_link).get()
    assert folder.id in {item.id for item in changed.value}
    with refused(410):
        await messages.delta.with_url(link[:-6] + "AAAAAA").get()


@row("batch")
async def batch(world):
    me = world.graph.me
    errors = {"4XX": ODataError, "5XX": ODataError}
    first = me.messages.to_post_request_information(Message(subject="P batched"))
    second = me.messages.to_get_request_information()
    missing = me.messages.by_message_id("A" * 40).to_get_request_information()
    items = [
        BatchRequestItem(first, "1"),
        BatchRequestItem(second, "2", depends_on=["1"]),
        BatchRequestItem(missing, "3"),
    ]
    content = BatchRequestContent({item.id: item for item in items})
    answer = await BatchRequestBuilder(world.graph.request_adapter).post(content, errors)
    equal(answer.get_response_status_codes(), {"1": 201, "2": 200, "3": 404})
    assert await world.find("drafts", "P batched")


@row("subscriptions: create, notify, renew, list, delete")
async def subscriptions(world):
    subscriptions = world.graph.subscriptions
    with webhook() as (url, notified):
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        made = await subscriptions.post(
            Subscription(
                change_type="created,updated",
                notification_url=url,
                resource="me/mailFolders('inbox')/messages",
                expiration_date_time=end,
                client_state="P state",
            )
        )
        assert made.id
        got = await world.received("P notified")

        async def is_told():
            return [told for told in notified if told["resourceData"]["id"] == got.id]

        told = (await until_async(is_told))[0]
        equal((told["clientState"], told["subscriptionId"]), ("P state", made.id))
        builder = subscriptions.by_subscription_id(made.id)
        later = end + datetime.timedelta(hours=1)
        renewed = await builder.patch(Subscription(expiration_date_time=later))
        assert renewed.expiration_date_time > end
        assert made.id in {found.id for found in (await subscriptions.get()).value}
        await builder.delete()
        with refused(404):
            await builder.get()


@row("master categories, mailbox settings")
async def categories_and_settings(world):
    categories = world.graph.me.outlook.master_categories
    made = await categories.post(
        OutlookCategory(display_name="P category", color=CategoryColor.Preset3)
    )
    assert made.id in {found.id for found in (await categories.get()).value}
    await categories.by_outlook_category_id(made.id).delete()
    settings = await world.graph.me.mailbox_settings.get()
    assert settings.automatic_replies_setting.status is not None
    changed = await world.graph.me.mailbox_settings.patch(MailboxSettings(time_zone="UTC"))
    equal(changed.time_zone, "UTC")


@row("another user's mailbox 403, foreign ids 404, Bcc hidden")
async def others(world):
    with refused(403, "ErrorAccessDenied"):
        await world.graph.users.by_user_id(world.bob).messages.get()
    bobs = await world.graph_of_bob.me.messages.post(Message(subject="P of Bob"))
    with refused(404, "ErrorItemNotFound"):
        await world.message(bobs).get()
    draft = await world.draft(
        "P hidden", to_recipients=[recipient(world.carol)], bcc_recipients=[recipient(world.bob)]
    )
    await world.message(draft).send.post()
    got = await until_async(lambda: world.find("inbox", "P hidden", world.graph_of_bob))
    equal(got.bcc_recipients, [])
    stored = await world.graph_of_bob.me.messages.by_message_id(got.id).content.get()
    assert b"bcc:" not in stored.lower()
    sent = await world.find("sentitems", "P hidden")
    equal([bcc.email_address.address for bcc in sent.bcc_recipients], [world.bob])


cannot("CORS preflight", "it runs in no browser")

run(World(read_setup()))
