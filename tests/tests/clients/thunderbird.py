"""Sets an account up in Thunderbird by autoconfig, and reads a message with it.

Thunderbird runs without a screen and is driven over Marionette, in its own code: it looks for
the configuration at autoconfig.DOMAIN and at DOMAIN as always, makes the account from what it
found, logs in and reads INBOX. It reaches hosts through a SOCKS proxy here, which leads the names
of the domain to the daemon's listeners, and refuses all others. The self-signed certificate is
excepted as a user would do it.

Standard input: JSON with `address`, `password`, `certificate`, `hosts` (their names), `ports`
(those of URLs, and where these are listened on), `subject` (of the message in INBOX), `folder`
(for the profile).
"""

import json
import pathlib
import re
import select
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time

PATIENCE_SECONDS = 120

PREFERENCES = {
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_remote_dns": True,
    "network.proxy.allow_hijacking_localhost": True,
    "network.proxy.no_proxies_on": "",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "marionette.port": 0,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.spotlight.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "mailnews.auto_config_url": "",
    "mailnews.mx_service_url": "",
    "toolkit.telemetry.enabled": False,
}

# With `[setup]` and a callback as arguments.
SET_UP = """
const [setup, done] = arguments;
const load = (name) => ChromeUtils.importESModule(`resource:///modules/${name}.sys.mjs`);
const accountModule = (name) => load(`accountcreation/${name}`)[name];
const until = async (look, what) => {
    for (let tries = 0; tries < 600; tries += 1) {
        const found = await look();
        if (found) {
            return found;
        }
        await new Promise((resolve) => ChromeUtils.importESModule(
            "resource://gre/modules/Timer.sys.mjs").setTimeout(resolve, 100));
    }
    throw new Error(`waited in vain for ${what}`);
};
const setUp = async () => {
    const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
    const certificate = database.constructX509FromBase64(setup.certificate);
    const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(
        Ci.nsICertOverrideService);
    for (const host of setup.hosts) {
        for (const port of setup.tls_ports) {
            overrides.rememberValidityOverride(host, port, {}, certificate, true);
        }
    }
    const never = new AbortController().signal;
    const domain = setup.address.split("@")[1];
    const FetchConfig = accountModule("FetchConfig");
    const config = await FetchConfig.fromISP(domain, setup.address, never);
    const found = {
        source: config.subSource ?? config.source,
        incoming: [config.incoming.type, config.incoming.hostname, config.incoming.port],
        outgoing: [config.outgoing.type, config.outgoing.hostname, config.outgoing.port],
    };
    const { AccountConfig } = load("accountcreation/AccountConfig");
    AccountConfig.replaceVariables(config, "Alice", setup.address, setup.password);
    found.username = config.incoming.username;
    config.rememberPassword = true;
    const account = await accountModule("CreateInBackend").createAccountInBackend(config);
    const server = account.incomingServer;
    server.password = setup.password;
    const inbox = await until(() => {
        try {
            server.performExpand(null);
        } catch (error) {
            // It is at it.
        }
        return server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
    }, "INBOX");
    const header = await until(() => {
        inbox.updateFolder(null);
        return [...inbox.messages].find((message) => message.mime2DecodedSubject == setup.subject);
    }, "the message");
    found.text = await new Promise((resolve, reject) => {
        let text = "";
        const listener = {
            QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
            onStartRequest() {},
            onDataAvailable(request, stream, offset, count) {
                const input = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(
                    Ci.nsIScriptableInputStream);
                input.init(stream);
                text += input.read(count);
            },
            onStopRequest(request, status) {
                Components.isSuccessCode(status) ? resolve(text) : reject(new Error(`${status}`));
            },
        };
        const uri = inbox.getUriForMsg(header);
        const { MailServices } = load("MailServices");
        MailServices.messageServiceFromURI(uri).streamMessage(uri, listener, null, null, false, "");
    });
    return found;
};
setUp().then(done, (error) => done({ error: `${error} ${error.stack}` }));
"""


class Proxy(socketserver.StreamRequestHandler):
    """SOCKS5 (RFC 1928), CONNECT alone, by name."""

    def handle(self):
        stream = self.request
        _, count = self.rfile.read(2)
        self.rfile.read(count)
        stream.sendall(b"\x05\x00")
        _, _, _, kind = self.rfile.read(4)
        length = self.rfile.read(1)[0] if kind == 3 else 4
        name = self.rfile.read(length).decode("latin-1")
        (port,) = struct.unpack("!H", self.rfile.read(2))
        self.server.asked.append((name, port))
        if kind != 3 or name not in self.server.hosts:
            stream.sendall(b"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00")
            return
        target = self.server.ports.get(str(port), port)
        with socket.create_connection(("127.0.0.1", target)) as daemon:
            stream.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            pump(stream, daemon)


def pump(one, other):
    ways = {one: other, other: one}
    while True:
        for ready in select.select([one, other], [], [])[0]:
            try:
                data = ready.recv(65536)
                ways[ready].sendall(data)
            except OSError:
                return
            if not data:
                return


class Marionette:
    """Its protocol: `LENGTH:JSON`, both ways."""

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.file = self.stream.makefile("rb")
        self.commands = 0
        self.read()

    def read(self):
        digits = b""
        while (byte := self.file.read(1)) != b":":
            assert byte, "Thunderbird has ended"
            digits += byte
        return json.loads(self.file.read(int(digits)))

    def do(self, command, parameters):
        self.commands += 1
        text = json.dumps([0, self.commands, command, parameters]).encode()
        self.stream.sendall(b"%d:%s" % (len(text), text))
        _, _, error, result = self.read()
        assert error is None, error
        return result


def wait_for_port(profile, process):
    file = profile / "MarionetteActivePort"
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, "Thunderbird has ended"
        if file.exists() and file.read_text():
            return int(file.read_text())
        time.sleep(0.1)
    raise AssertionError("Thunderbird does not listen")


def write_profile(folder, proxy_port):
    profile = folder / "thunderbird"
    profile.mkdir()
    preferences = PREFERENCES | {"network.proxy.socks_port": proxy_port}
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
        for name, value in preferences.items()
    ]
    (profile / "user.js").write_text("".join(lines))
    return profile


def main():
    setup = json.load(sys.stdin)
    pem = pathlib.Path(setup["certificate"]).read_text()
    setup["certificate"] = re.sub(r"-----[A-Z ]+-----|\s", "", pem)
    proxy = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    proxy.hosts, proxy.ports, proxy.asked = setup["hosts"], setup["ports"], []
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    folder = pathlib.Path(setup["folder"])
    profile = write_profile(folder, proxy.server_address[1])
    process = subprocess.Popen(
        ["thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    try:
        thunderbird = Marionette(wait_for_port(profile, process))
        thunderbird.do("WebDriver:NewSession", {})
        thunderbird.do("Marionette:SetContext", {"value": "chrome"})
        thunderbird.do("WebDriver:SetTimeouts", {"script": PATIENCE_SECONDS * 1000})
        script = {"script": SET_UP, "args": [setup], "newSandbox": True, "sandbox": "system"}
        found = thunderbird.do("WebDriver:ExecuteAsyncScript", script)["value"]
        asked = [name for name, port in proxy.asked if port in (80, 443)]
        print(json.dumps(found | {"asked": asked}))
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


main()
