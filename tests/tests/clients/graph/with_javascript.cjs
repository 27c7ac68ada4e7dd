// The calls of the acceptance with @microsoft/microsoft-graph-client; prints what rows.py says.
// Needs NODE_PATH, for where the client is, and NODE_EXTRA_CA_CERTS, for the daemon's certificate.

"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const {
    BatchRequestContent,
    BatchResponseContent,
    Client,
    FileUpload,
    LargeFileUploadTask,
    PageIterator,
    ResponseType,
} = require("@microsoft/microsoft-graph-client");

const PATIENCE_MS = 120_000;
const PAGES = 25;
const SMALL = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 256));

const setup = JSON.parse(fs.readFileSync(0, "utf8"));

function client(token) {
    return Client.initWithMiddleware({
        baseUrl: `${setup.https}/`,
        customHosts: new Set(["127.0.0.1"]),
        authProvider: { getAccessToken: async () => token },
    });
}

const graph = client(setup.token);
const graphOfBob = client(setup.bob_token);

const rows = [];
const row = (name, check) => rows.push([name, check]);

function tell(outcome, name, reason = "") {
    console.log([outcome, name, reason.replace(/\s+/g, " ")].join("\t"));
}

async function until(look) {
    const end = Date.now() + PATIENCE_MS;
    while (Date.now() < end) {
        const found = await look();
        if (found) {
            return found;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("waited in vain");
}

async function refused(status, code, call) {
    await assert.rejects(call, (error) => {
        assert.equal(error.statusCode, status, `${error}`);
        assert.ok(error.code && error.message && error.requestId, `${error.body}`);
        assert.equal(error.code, code ?? error.code);
        return true;
    });
}

const recipient = (address, name) => ({ emailAddress: { address, name } });

const file = (name, content, properties) => ({
    "@odata.type": "#microsoft.graph.fileAttachment",
    name,
    contentType: "application/octet-stream",
    contentBytes: content.toString("base64"),
    ...properties,
});

const contentOf = (attachment) => Buffer.from(attachment.contentBytes, "base64");

const draft = (subject, properties) =>
    graph.api("/me/messages").post({
        subject,
        body: { contentType: "text", content: "Some text." },
        ...properties,
    });

async function find(folder, subject, of = graph) {
    const found = await of
        .api(`/me/mailFolders/${folder}/messages`)
        .filter(`subject eq '${subject}'`)
        .get();
    return found.value[0];
}

async function received(subject, properties) {
    const message = {
        subject,
        body: { contentType: "HTML", content: "<p>Hello <b>there</b>.</p>" },
        toRecipients: [recipient(setup.address)],
        ...properties,
    };
    await graphOfBob.api("/me/sendMail").post({ message });
    return until(() => find("inbox", subject));
}

const subjectsOf = (page) => page.value.map((message) => message.subject);

const mime = (from, to, subject) =>
    Buffer.from(`From: ${from}\r\nTo: ${to}\r\nSubject: ${subject}\r\n\r\nThis is it.\r\n`);

async function all(stream) {
    const pieces = [];
    for await (const piece of stream) {
        pieces.push(piece);
    }
    return Buffer.concat(pieces);
}

row("current user", async () => {
    const user = await graph.api("/me").get();
    assert.equal(user.mail, setup.address);
    assert.equal(user.userPrincipalName, setup.address);
    assert.ok(user.id && user.displayName);
});

row("user by address and by GUID", async () => {
    const user = await graph.api("/me").get();
    for (const key of [setup.address, user.id]) {
        assert.equal((await graph.api(`/users/${key}`).get()).id, user.id);
    }
});

row("bad, forged, expired token", async () => {
    for (const name of ["bad", "forged", "expired"]) {
        const call = () => client(setup[name]).api("/me/messages").get();
        await refused(401, "InvalidAuthenticationToken", call);
    }
});

row("list folders, well-known names in any case", async () => {
    const folders = (await graph.api("/me/mailFolders").top(100).get()).value;
    const names = folders.map((folder) => folder.displayName);
    for (const name of ["Inbox", "Drafts", "Sent Items", "Deleted Items"]) {
        assert.ok(names.includes(name), `${name} is not among ${names}`);
    }
    for (const folder of folders) {
        for (const count of ["totalItemCount", "unreadItemCount", "childFolderCount"]) {
            assert.equal(typeof folder[count], "number");
        }
    }
    for (const name of ["inbox", "SentItems", "DELETEDITEMS", "msgfolderroot"]) {
        assert.ok((await graph.api(`/me/mailFolders/${name}`).get()).id);
    }
    assert.ok((await graph.api("/me/mailFolders('inbox')").get()).id);
});

row("create, rename, child, find by name, duplicate 409", async () => {
    const folders = () => graph.api("/me/mailFolders");
    const made = await folders().post({ displayName: "J Projects" });
    await refused(409, "ErrorFolderExists", () => folders().post({ displayName: "j projects" }));
    const path = `/me/mailFolders/${made.id}`;
    const renamed = await graph.api(path).patch({ displayName: "J Plans" });
    assert.deepEqual([renamed.id, renamed.displayName], [made.id, "J Plans"]);
    const child = await graph.api(`${path}/childFolders`).post({ displayName: "Child's" });
    assert.equal(child.parentFolderId, made.id);
    const found = await folders().filter("displayName eq 'J Plans'").top(1).get();
    assert.equal(found.value[0].id, made.id);
    assert.equal(found.value[0].childFolderCount, 1);
    const children = await graph
        .api(`${path}/childFolders`)
        .filter("displayName eq 'Child''s'")
        .get();
    assert.equal(children.value[0].id, child.id);
});

row("move folder, delete folder", async () => {
    const make = (displayName) => graph.api("/me/mailFolders").post({ displayName });
    const [above, below] = [await make("J Above"), await make("J Below")];
    const moved = await graph
        .api(`/me/mailFolders/${below.id}/move`)
        .post({ destinationId: above.id });
    assert.deepEqual([moved.id, moved.parentFolderId], [below.id, above.id]);
    await refused(403, undefined, () => graph.api("/me/mailFolders/inbox").delete());
    const path = `/me/mailFolders/${above.id}`;
    await graph.api(path).delete();
    const deleted = await graph.api("/me/mailFolders/deleteditems").get();
    assert.equal((await graph.api(path).get()).parentFolderId, deleted.id);
    await graph.api(path).delete();
    await refused(404, "ErrorItemNotFound", () => graph.api(path).get());
});

row("create draft, update, etag and If-Match", async () => {
    const made = await draft("J draft", { toRecipients: [recipient("x@example.net", "X")] });
    assert.ok(made.id && made.createdDateTime && made.lastModifiedDateTime && made.isDraft);
    const drafts = await graph.api("/me/mailFolders/drafts").get();
    assert.equal(made.parentFolderId, drafts.id);
    const message = (etag) => graph.api(`/me/messages/${made.id}`).header("If-Match", etag);
    const etag = made["@odata.etag"];
    const changed = await message(etag).patch({
        subject: "J draft, again",
        ccRecipients: [recipient("y@example.net")],
        importance: "high",
    });
    assert.deepEqual([changed.id, changed.subject], [made.id, "J draft, again"]);
    assert.equal(changed.ccRecipients[0].emailAddress.address, "y@example.net");
    assert.equal(changed.toRecipients[0].emailAddress.name, "X");
    assert.notEqual(changed["@odata.etag"], etag);
    const late = () => message(etag).patch({ subject: "J never" });
    await refused(412, "ErrorIrresolvableConflict", late);
    await message("*").patch({ subject: "J any" });
});

row("draft with attachments in one POST", async () => {
    const made = await draft("J attached", {
        attachments: [file("a.bin", SMALL), file("é.txt", Buffer.from("text\r\n"))],
    });
    const { value } = await graph.api(`/me/messages/${made.id}/attachments`).get();
    const contents = Object.fromEntries(value.map((found) => [found.name, contentOf(found)]));
    assert.deepEqual(contents, { "a.bin": SMALL, "é.txt": Buffer.from("text\r\n") });
});

row("small attachment: add, list, get, $value, delete", async () => {
    const { id } = await draft("J small");
    const attachments = () => graph.api(`/me/messages/${id}/attachments`);
    const added = await attachments().post(file("small.bin", SMALL));
    assert.equal(added["@odata.type"], "#microsoft.graph.fileAttachment");
    assert.ok(added.size);
    assert.equal((await attachments().get()).value[0].name, "small.bin");
    const path = `/me/messages/${id}/attachments/${added.id}`;
    assert.deepEqual(contentOf(await graph.api(path).get()), SMALL);
    const value = graph.api(`${path}/$value`).responseType(ResponseType.ARRAYBUFFER);
    assert.deepEqual(Buffer.from(await value.get()), SMALL);
    await graph.api(path).delete();
    assert.deepEqual((await attachments().get()).value, []);
    await refused(404, "ErrorItemNotFound", () => graph.api(path).get());
});

row("upload session, one and several ranges", async () => {
    const { id } = await draft("J large");
    const content = Buffer.alloc(1_000_003, "0123456789 and so on ");
    const begin = async (name, rangeSize) => {
        const session = await LargeFileUploadTask.createUploadSession(
            graph,
            `/me/messages/${id}/attachments/createUploadSession`,
            { AttachmentItem: { attachmentType: "file", name, size: content.length } },
        );
        const upload = new FileUpload(new Uint8Array(content), name, content.length);
        return new LargeFileUploadTask(graph, upload, session, { rangeSize });
    };
    for (const [name, rangeSize] of [["one.bin", 4 << 20], ["several.bin", 320 << 10]]) {
        const task = await begin(name, rangeSize);
        const status = await task.getStatus();
        assert.deepEqual(status.nextExpectedRanges, [`0-${content.length - 1}`]);
        const result = await task.upload();
        assert.match(result.location, /\/attachments\//);
    }
    const cancelled = await begin("cancelled.bin", 320 << 10);
    await cancelled.cancel();
    await refused(404, "ErrorItemNotFound", () => cancelled.getStatus());
    const { value } = await graph.api(`/me/messages/${id}/attachments`).get();
    assert.deepEqual(value.map((found) => found.name).sort(), ["one.bin", "several.bin"]);
    value.forEach((found) => assert.ok(contentOf(found).equals(content), found.name));
});

row("send draft; Sent copy; draft gone", async () => {
    const made = await draft("J sent draft", { toRecipients: [recipient(setup.bob)] });
    await graph.api(`/me/messages/${made.id}/send`).post({});
    await until(() => find("inbox", "J sent draft", graphOfBob));
    const sent = await find("sentitems", "J sent draft");
    assert.deepEqual([sent.isDraft, sent.isRead], [false, true]);
    assert.equal(await find("drafts", "J sent draft"), undefined);
});

row("sendMail with header, attachment, not saved", async () => {
    const message = {
        subject: "J sendMail",
        body: { contentType: "html", content: "<p>Grüße</p>" },
        toRecipients: [recipient(setup.address)],
        attachments: [file("sent.bin", SMALL)],
        internetMessageHeaders: [{ name: "x-colour", value: "blue" }],
    };
    const send = (message) =>
        graph.api("/me/sendMail").post({ message, saveToSentItems: false });
    await send(message);
    const { id } = await until(() => find("inbox", "J sendMail"));
    const got = await graph
        .api(`/me/messages/${id}`)
        .select("internetMessageHeaders")
        .expand("attachments")
        .get();
    const header = ({ name }) => name.toLowerCase() === "x-colour";
    assert.equal(got.internetMessageHeaders.find(header).value, "blue");
    assert.deepEqual(contentOf(got.attachments[0]), SMALL);
    assert.equal(await find("sentitems", "J sendMail"), undefined);
    const forged = { ...message, from: recipient("other@example.net") };
    await refused(403, "ErrorSendAsDenied", () => send(forged));
});

row("sendMail as MIME", async () => {
    const send = (content) =>
        graph.api("/me/sendMail").header("Content-Type", "text/plain").post(content);
    await send(mime(setup.address, setup.bob, "J MIME").toString("base64"));
    const got = await until(() => find("inbox", "J MIME", graphOfBob));
    assert.match(got.body.content, /This is it\./);
    await refused(400, "ErrorMimeContentInvalidBase64String", () => send("%%%"));
});

row("get message, $select, $expand=attachments, MIME $value", async () => {
    const { id } = await received("J get", { attachments: [file("got.bin", SMALL)] });
    const message = () => graph.api(`/me/messages/${id}`);
    const few = await message().select(["subject", "from"]).get();
    assert.equal(few.from.emailAddress.address, setup.bob);
    assert.equal(few.body, undefined);
    const whole = await message().expand("attachments").get();
    assert.deepEqual(contentOf(whole.attachments[0]), SMALL);
    assert.equal(whole.body.contentType, "html");
    const text = await message().header("Prefer", 'outlook.body-content-type="text"').get();
    assert.equal(text.body.contentType, "text");
    const stored = await graph.api(`/me/messages/${id}/$value`).get();
    assert.equal(typeof stored, "string");
    assert.match(stored, /\r\nSubject: J get\r\n/);
    await refused(400, undefined, () => message().select("noSuchProperty").get());
});

row("isRead, categories, flag with dates", async () => {
    const { id, isRead } = await received("J flags");
    assert.equal(isRead, false);
    const message = () => graph.api(`/me/messages/${id}`);
    const day = { dateTime: "2030-01-02T00:00:00", timeZone: "UTC" };
    await message().patch({
        isRead: true,
        categories: ["Red category", "plain"],
        flag: { flagStatus: "flagged", startDateTime: day, dueDateTime: day },
    });
    const found = await message().get();
    assert.equal(found.isRead, true);
    assert.deepEqual(found.categories.sort(), ["Red category", "plain"]);
    assert.equal(found.flag.flagStatus, "flagged");
    assert.match(found.flag.dueDateTime.dateTime, /^2030-01-02T00:00:00/);
    const none = await message().patch({ categories: [], flag: { flagStatus: "notFlagged" } });
    assert.deepEqual([none.categories, none.flag.flagStatus], [[], "notFlagged"]);
    const other = () => message().patch({ subject: "J other" });
    await refused(400, "ErrorInvalidPropertySet", other);
});

row("list with filter, orderby, top, skip, count, all pages", async () => {
    const folder = await graph.api("/me/mailFolders").post({ displayName: "J Pages" });
    const path = `/me/mailFolders/${folder.id}/messages`;
    const subjects = [];
    for (let number = 0; number < PAGES; number += 1) {
        const subject = `page ${String(number).padStart(2, "0")}`;
        subjects.push(subject);
        await graph.api(path).post({ subject, isRead: number % 2 === 0 });
    }
    const first = await graph.api(path).orderby("subject").top(10).count(true).get();
    assert.equal(first["@odata.count"], PAGES);
    assert.deepEqual(subjectsOf(first), subjects.slice(0, 10));
    const seen = [];
    const iterator = new PageIterator(graph, first, (message) => seen.push(message.subject) > 0);
    await iterator.iterate();
    assert.deepEqual(seen, subjects);
    assert.ok(iterator.isComplete());
    const skipped = await graph.api(path).orderby("subject desc").top(5).skip(3).get();
    assert.deepEqual(subjectsOf(skipped), [...subjects].reverse().slice(3, 8));
    const filtered = await graph
        .api(path)
        .filter("isRead eq false and (subject gt 'page 20')")
        .orderby("subject")
        .get();
    assert.deepEqual(subjectsOf(filtered), ["page 21", "page 23"]);
    assert.equal(`${await graph.api(`${path}/$count`).get()}`, `${PAGES}`);
    await refused(400, undefined, () => graph.api(path).filter("subject eq").get());
});

row("search", async () => {
    await received("J needle in a haystack");
    const search = (words) => graph.api("/me/messages").search(words).get();
    for (const words of ['"needle"', '"subject:haystack"', '"from:bob AND needle"']) {
        const subjects = subjectsOf(await search(words));
        assert.ok(subjects.includes("J needle in a haystack"), `${words}: ${subjects}`);
    }
    assert.deepEqual((await search('"subject:nothinglikeit"')).value, []);
});

row("createReply/All, createForward, reply, replyAll, forward", async () => {
    const { id } = await received("J question", { ccRecipients: [recipient(setup.carol)] });
    const act = (action, content) => graph.api(`/me/messages/${id}/${action}`).post(content);
    const reply = await act("createReply", { comment: "Indeed" });
    assert.equal(reply.subject, "RE: J question");
    assert.equal(reply.toRecipients[0].emailAddress.address, setup.bob);
    assert.match(reply.body.content, /<body[^]*Indeed/i);
    const toAll = await act("createReplyAll", {});
    assert.deepEqual(toAll.ccRecipients.map((cc) => cc.emailAddress.address), [setup.carol]);
    const toRecipients = [recipient(setup.bob)];
    const forward = await act("createForward", { comment: "See", toRecipients });
    assert.equal(forward.subject, "FW: J question");
    await act("reply", { comment: "by reply" });
    await act("replyAll", { comment: "by replyAll" });
    await act("forward", { comment: "by forward", toRecipients });
    const got = await until(() => find("inbox", "RE: J question", graphOfBob));
    assert.match(got.body.content, /by reply/);
    await until(() => find("inbox", "FW: J question", graphOfBob));
});

row("move, copy, delete twice, permanentDelete", async () => {
    const made = await draft("J moved");
    const path = `/me/messages/${made.id}`;
    const archive = await graph.api("/me/mailFolders/archive").get();
    const moved = await graph.api(`${path}/move`).post({ destinationId: "archive" });
    assert.equal(moved.parentFolderId, archive.id);
    const copy = await graph
        .api(`/me/messages/${moved.id}/copy`)
        .post({ destinationId: "drafts" });
    assert.notEqual(copy.id, moved.id);
    await graph.api(`/me/messages/${moved.id}`).delete();
    const deleted = await find("deleteditems", "J moved");
    await graph.api(`/me/messages/${deleted.id}`).delete();
    const gone = () => graph.api(`/me/messages/${deleted.id}`).get();
    await refused(404, "ErrorItemNotFound", gone);
    await graph.api(`/me/messages/${copy.id}/permanentDelete`).post({});
    assert.equal(await find("deleteditems", "J moved"), undefined);
});

row("immutable ids", async () => {
    const { id } = await draft("J immutable");
    const moved = await graph
        .api(`/me/messages/${id}/move`)
        .header("Prefer", 'IdType="ImmutableId"')
        .post({ destinationId: "archive" });
    assert.equal(moved.id, id);
});

async function round(link) {
    const items = [];
    let page = await graph.api(link).get();
    while (page["@odata.nextLink"]) {
        items.push(...page.value);
        page = await graph.api(page["@odata.nextLink"]).get();
    }
    items.push(...page.value);
    return [items, page["@odata.deltaLink"]];
}

row("message delta, folder delta", async () => {
    const [, folderLink] = await round("/me/mailFolders/delta");
    const folder = await graph.api("/me/mailFolders").post({ displayName: "J Delta" });
    const path = `/me/mailFolders/${folder.id}/messages`;
    const made = [];
    for (let number = 0; number < 12; number += 1) {
        made.push((await graph.api(path).post({ subject: `J delta ${number}` })).id);
    }
    const [items, link] = await round(`${path}/delta()`);
    assert.deepEqual(items.map((item) => item.id).sort(), [...made].sort());
    await graph.api(`/me/messages/${made[0]}/move`).post({ destinationId: "archive" });
    await graph.api(`/me/messages/${made[1]}`).patch({ isRead: false });
    const [changed, next] = await round(link);
    assert.deepEqual(changed.map((item) => item.id).sort(), made.slice(0, 2).sort());
    const removed = changed.find((item) => item.id === made[0]);
    assert.equal(removed["@removed"].reason, "deleted");
    assert.deepEqual((await round(next))[0], []);
    const [folders] = await round(folderLink);
    assert.ok(folders.some((item) => item.id === folder.id));
    await refused(410, undefined, () => graph.api(`${link.slice(0, -6)}AAAAAA`).get());
});

row("batch", async () => {
    const base = "https://graph.microsoft.com";
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ subject: "J batched" });
    const content = new BatchRequestContent([
        { id: "1", request: new Request(`${base}/me/messages`, { method: "POST", headers, body }) },
        {
            id: "2",
            request: new Request(`${base}/me/messages?$filter=subject eq 'J batched'`),
            dependsOn: ["1"],
        },
    ]);
    const answer = await graph.api("/$batch").post(await content.getContent());
    const responses = new BatchResponseContent(answer);
    assert.equal(responses.getResponseById("1").status, 201);
    const listed = await responses.getResponseById("2").json();
    assert.deepEqual(subjectsOf(listed), ["J batched"]);
});

row("subscriptions: create, notify, renew, list, delete", async () => {
    const notified = [];
    const server = http.createServer(async (request, response) => {
        const content = await all(request);
        const query = new URL(request.url, "http://127.0.0.1").searchParams;
        if (!query.has("validationToken")) {
            notified.push(...JSON.parse(content).value);
        }
        response.setHeader("Content-Type", "text/plain");
        response.end(query.get("validationToken") ?? "");
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
        const inHours = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();
        const made = await graph.api("/subscriptions").post({
            changeType: "created,updated",
            notificationUrl: `http://127.0.0.1:${server.address().port}/hook`,
            resource: "me/mailFolders('inbox')/messages",
            expirationDateTime: inHours(1),
            clientState: "J state",
        });
        const { id } = await received("J notified");
        const isTold = () => notified.find((told) => told.resourceData.id === id);
        assert.equal((await until(isTold)).clientState, "J state");
        const path = `/subscriptions/${made.id}`;
        const renewed = await graph.api(path).patch({ expirationDateTime: inHours(2) });
        assert.ok(renewed.expirationDateTime > made.expirationDateTime);
        const listed = await graph.api("/subscriptions").get();
        assert.ok(listed.value.some((found) => found.id === made.id));
        await graph.api(path).delete();
        await refused(404, undefined, () => graph.api(path).get());
    } finally {
        server.closeAllConnections();
        server.close();
    }
});

row("master categories, mailbox settings", async () => {
    const path = "/me/outlook/masterCategories";
    const made = await graph.api(path).post({ displayName: "J category", color: "preset3" });
    assert.ok((await graph.api(path).get()).value.some((found) => found.id === made.id));
    await graph.api(`${path}/${made.id}`).delete();
    const settings = await graph.api("/me/mailboxSettings").get();
    assert.equal(settings.automaticRepliesSetting.status, "disabled");
    const changed = await graph.api("/me/mailboxSettings").patch({ timeZone: "UTC" });
    assert.equal(changed.timeZone, "UTC");
});

row("another user's mailbox 403, foreign ids 404, Bcc hidden", async () => {
    const other = () => graph.api(`/users/${setup.bob}/messages`).get();
    await refused(403, "ErrorAccessDenied", other);
    const { id } = await graphOfBob.api("/me/messages").post({ subject: "J of Bob" });
    await refused(404, "ErrorItemNotFound", () => graph.api(`/me/messages/${id}`).get());
    const made = await draft("J hidden", {
        toRecipients: [recipient(setup.carol)],
        bccRecipients: [recipient(setup.bob)],
    });
    await graph.api(`/me/messages/${made.id}/send`).post({});
    const got = await until(() => find("inbox", "J hidden", graphOfBob));
    assert.deepEqual(got.bccRecipients, []);
    const stored = await graphOfBob.api(`/me/messages/${got.id}/$value`).get();
    assert.doesNotMatch(stored, /^bcc:/im);
});

row("CORS preflight", async () => {
    // What a browser asks before the client's own request, and what it looks for in the answer.
    const origin = "https://webmail.example.net";
    const wanted = ["authorization", "sdkversion", "client-request-id", "content-type"];
    const preflight = await fetch(`${setup.https}/v1.0/me/messages`, {
        method: "OPTIONS",
        headers: {
            Origin: origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": wanted.join(","),
        },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
    assert.match(preflight.headers.get("access-control-allow-methods"), /\bPOST\b/);
    const allowed = preflight.headers.get("access-control-allow-headers").toLowerCase();
    wanted.forEach((name) => assert.ok(allowed.split(/, */).includes(name), name));
    assert.equal(preflight.headers.get("access-control-allow-credentials"), null);
    const answer = await graph
        .api("/me")
        .header("Origin", origin)
        .responseType(ResponseType.RAW)
        .get();
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    assert.match(answer.headers.get("access-control-expose-headers"), /request-id/);
});

async function run() {
    for (const [name, check] of rows) {
        try {
            await check();
            tell("pass", name);
        } catch (error) {
            console.error(error);
            tell("fail", name, `${error}`);
        }
    }
}

run();
