//! Phase 7: tokens, folders, sending, and what sets mail programs up, by the HTTP API.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    account::{TestAccount, WRONG_PASSWORD},
    doors::{Door, Tools},
    letter::Letter,
    report::Findings,
    trouble::Trouble,
};
use crate::{
    config::Config,
    outside::http_client::{HttpAnswer, HttpClient, HttpRequest},
};

/// Requests to one listener.
pub(super) struct ApiClient<'a> {
    client: HttpClient,
    door: &'a Door,
    host: &'a str,
}

impl<'a> ApiClient<'a> {
    pub(super) fn new(tools: &Tools, config: &'a Config, door: &'a Door) -> Self {
        let allowed = config.exchange_api.allowed_hosts.iter().flatten().next();
        let dialer = &tools.dialer;
        Self {
            client: HttpClient::new(Arc::clone(&dialer.tls), dialer.server_name.clone()),
            door,
            host: allowed.map_or(config.hostname.as_str(), String::as_str),
        }
    }

    /// GET.
    pub(super) fn get(&self, target: &str, token: Option<&str>) -> Result<HttpAnswer, Trouble> {
        self.ask(target, token, None)
    }

    /// POST of JSON.
    fn post(
        &self,
        target: &str,
        token: Option<&str>,
        content: &Value,
    ) -> Result<HttpAnswer, Trouble> {
        self.ask(target, token, Some(&content.to_string()))
    }

    fn ask(
        &self,
        target: &str,
        token: Option<&str>,
        content: Option<&str>,
    ) -> Result<HttpAnswer, Trouble> {
        let scheme = match self.door.kind.is_implicit_tls() {
            true => "https",
            false => "http",
        };
        let url = format!("{scheme}://{}{target}", self.door.address);
        let answer = self.client.ask(&HttpRequest {
            content,
            url: &url,
            host: self.host,
            token,
        })?;
        match answer.status {
            429 => Err(Trouble::Limited(
                self.door.address.ip(),
                told(&answer, target),
            )),
            _ => Ok(answer),
        }
    }
}

/// A login, folders, a message and discovery at each listener; the messages that were accepted.
pub(super) fn check(
    tools: &Tools,
    config: &Config,
    account: &TestAccount,
    doors: &[Door],
    findings: &mut Findings,
) -> Vec<Letter> {
    let mut letters = Vec::new();
    for door in doors {
        let client = ApiClient::new(tools, config, door);
        match visit(tools, config, account, &client, findings) {
            Ok(letter) => letters.push(letter),
            Err(trouble) => findings.trouble(&door.to_string(), &trouble),
        }
    }
    letters
}

fn visit(
    tools: &Tools,
    config: &Config,
    account: &TestAccount,
    client: &ApiClient<'_>,
    findings: &mut Findings,
) -> Result<Letter, Trouble> {
    let door = client.door;
    let answer = client.get("/folders", None)?;
    let what = format!("{door}: a request without a token");
    findings.refusal(&what, &told(&answer, "/folders"), answer.status == 401);
    let address = account.address.to_string();
    let log_in = |password: &str| {
        let login = json!({"username": address, "password": password});
        client.post("/auth/login", None, &login)
    };
    if tools.may_guess(door) {
        let answer = log_in(WRONG_PASSWORD)?;
        let what = format!("{door}: a wrong password");
        findings.refusal(&what, &told(&answer, "/auth/login"), answer.status == 401);
    }
    let answer = expect(log_in(account.password.reveal())?, 200, "/auth/login")?;
    let token = text_of(&answer, "token").ok_or_else(|| strange(&answer, "/auth/login"))?;
    let token = Some(token.as_str());
    let folders = expect(client.get("/folders", token)?, 200, "/folders")?;
    if !folders.content.contains("INBOX") {
        return Err(strange(&folders, "/folders"));
    }
    let target = "/v1.0/me/mailFolders";
    expect(client.get(target, token)?, 200, target)?;
    findings.ok(format!(
        "{door}: the right password gets a token, which opens the folders"
    ));
    let letter = send(account, client, token, findings)?;
    discover(config, &address, client, findings)?;
    expect(
        client.post("/auth/logout", token, &json!({}))?,
        204,
        "/auth/logout",
    )?;
    let answer = client.get("/folders", token)?;
    let what = format!("{door}: a token after its logout");
    findings.refusal(&what, &told(&answer, "/folders"), answer.status == 401);
    Ok(letter)
}

fn send(
    account: &TestAccount,
    client: &ApiClient<'_>,
    token: Option<&str>,
    findings: &mut Findings,
) -> Result<Letter, Trouble> {
    let letter = Letter::new(client.door.kind.name());
    let message = json!({
        "to": [account.address.to_string()],
        "subject": letter.subject(),
        "text": letter.token,
        "save_to_sent": false,
    });
    let target = "/messages/send";
    let answer = expect(client.post(target, token, &message)?, 202, target)?;
    let queue_id = text_of(&answer, "queue_id").ok_or_else(|| strange(&answer, target))?;
    findings.ok(format!(
        "{}: a message is accepted, as {queue_id}",
        client.door
    ));
    Ok(letter)
}

/// As Thunderbird and Outlook ask.
fn discover(
    config: &Config,
    address: &str,
    client: &ApiClient<'_>,
    findings: &mut Findings,
) -> Result<(), Trouble> {
    let thunderbird =
        format!("/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress={address}");
    let answer = expect(client.get(&thunderbird, None)?, 200, &thunderbird)?;
    if !answer.content.contains(config.hostname.as_str()) {
        return Err(strange(&answer, &thunderbird));
    }
    let outlook =
        format!("/autodiscover/autodiscover.json?Email={address}&Protocol=AutodiscoverV1");
    let answer = expect(client.get(&outlook, None)?, 200, &outlook)?;
    let url = text_of(&answer, "Url").ok_or_else(|| strange(&answer, &outlook))?;
    findings.ok(format!(
        "{}: mail programs are told the servers (Outlook is led to {url})",
        client.door
    ));
    Ok(())
}

fn expect(answer: HttpAnswer, status: u16, target: &str) -> Result<HttpAnswer, Trouble> {
    match answer.status == status {
        true => Ok(answer),
        false => Err(strange(&answer, target)),
    }
}

fn strange(answer: &HttpAnswer, target: &str) -> Trouble {
    Trouble::Answer(told(answer, target))
}

/// Status and content, in one line that is not long.
fn told(answer: &HttpAnswer, target: &str) -> String {
    let content = answer
        .content
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let content: String = content
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    let path = target.split('?').next().unwrap_or(target);
    format!("{} {content} (to {path})", answer.status)
}

/// A member of the answer's object that is a text.
fn text_of(answer: &HttpAnswer, member: &str) -> Option<String> {
    let value: Value = serde_json::from_str(&answer.content).ok()?;
    value[member].as_str().map(str::to_owned)
}
